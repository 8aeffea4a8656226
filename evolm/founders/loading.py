"""Where a search starts from: founders given on the command line, in files, in runs, in founding populations.

A founder that comes from a run brings along what its lineage has seen: the content keys of all items that it was
selected on or learned from. If one of them stands in the new campaign's test split, the founder is refused: its
test score would be the score of something that was chosen on it.

A founder is a prompt, or a prompt with a delta that was evolved under it. Where deltas evolve alone, all founders
must have the same prompt; one without a delta stands for the unchanged model. A campaign that evolves no deltas
refuses founders that bring one: their prompts alone are not what was found to be good.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from evolm.config import CampaignConfig
from evolm.errors import GenomeError
from evolm.founders.files import Record, Source, founder_record
from evolm.founders.generated import target_name, written_founders
from evolm.founders.sources import FROM, read_source
from evolm.genomes import DeltaSpace, HybridGenome, PromptGenome, PromptSpace
from evolm.randomness import Randomness, derive_seed
from evolm.tasks import Item, Task
from evolm.wording import counted

WRITTEN = "written from the task"


Given: TypeAlias = PromptGenome | HybridGenome  # a founder as it was given: a prompt, perhaps with a delta


@dataclass(frozen=True)
class Founders:
    """What a search starts from.

    Attributes:
        given: distinct, in order.
        genomes: the same as genomes of the campaign's kind.
        names: digest, of what was given and of the genome, -> where it comes from.
        seen: content keys of all items that their lineages have seen.
        written: whether they were made from nothing but the task.
    """

    given: list[Given]
    genomes: list[Any]
    names: dict[str, str] = field(default_factory=dict)
    seen: frozenset[str] = frozenset()
    written: bool = False

    @property
    def prompts(self) -> list[PromptGenome]:
        """Their distinct prompts, in order."""
        prompts = [prompt_of(founder) for founder in self.given]
        return list({prompt.digest: prompt for prompt in prompts}.values())

    def made_into(self, genomes: Sequence[Any]) -> Founders:
        """Return the founders as other genomes, one for each that was given."""
        pairs = zip(genomes, self.given, strict=True)
        names = {genome.digest: self.names[founder.digest] for genome, founder in pairs}
        return replace(self, genomes=list(genomes), names=self.names | names)

    def records(self, deltas: DeltaSpace | None = None) -> list[Record]:
        """Return the founders as a file has them, with where each comes from.

        Args:
            deltas: the space of their deltas.
        """
        space = deltas.identity() if deltas else {}
        return [{**_record(founder, space), FROM: self.names[founder.digest]} for founder in self.given]


def prompt_of(founder: Given) -> PromptGenome:
    """Return a founder's prompt."""
    return founder.prompt if isinstance(founder, HybridGenome) else founder


def _record(founder: Given, space: Mapping[str, Any]) -> Record:
    if isinstance(founder, PromptGenome):
        return founder.to_record()
    return founder_record(founder.prompt.to_record(), founder.delta.to_record(), space)


def load_founders(
    config: CampaignConfig,
    task: Task,
    space: PromptSpace,
    instructions: Sequence[str] = (),
    warm_starts: Sequence[Path] = (),
    deltas: DeltaSpace | None = None,
) -> Founders:
    """Return the distinct founders in order.

    Those of the command line come first, then the campaign's; where there are none, they are written from the task.

    Args:
        config: its ``founders``, absolute places, and its seed.
        task: the campaign's task.
        space: where their prompts must lie.
        instructions: given on the command line.
        warm_starts: runs, founding populations or files given on the command line.
        deltas: where their deltas must lie; None where the campaign evolves none, and then it takes none.

    Raises:
        GenomeError: if a place holds no founders, or a founder lies outside the space, changes a model that the
            campaign leaves as it is, or has seen the test split.
    """
    rng = Randomness(derive_seed("founders", config.seed)).numpy
    sources = [Source([({"instruction": text}, f"--founder {i + 1}") for i, text in enumerate(instructions)])]
    sources += [read_source(path, path.name) for path in warm_starts]
    sources += [read_source(Path(place), Path(place).name) for place in config.founders]
    founders = [placed for source in sources for placed in _admitted(source, task, space, deltas, rng)]
    written = not founders
    if written:
        founders = [(founder, WRITTEN) for founder in written_genomes(config, task, space, rng)]
    distinct: dict[str, tuple[Given, str]] = {}
    for founder, name in founders:
        distinct.setdefault(founder.digest, (founder, name))
    given = [founder for founder, _ in distinct.values()]
    return Founders(
        given=given,
        genomes=list(given),
        names={digest: name for digest, (_, name) in distinct.items()},
        seen=frozenset[str]().union(*(source.seen for source in sources)),
        written=written,
    )


def _admitted(
    source: Source, task: Task, space: PromptSpace, deltas: DeltaSpace | None, rng: np.random.Generator
) -> Iterator[tuple[Given, str]]:
    """Yield a source's founders, and where each comes from."""
    refuse_seen(source, task)
    for record, where in source.records:
        founder = _founder({key: value for key, value in record.items() if key != FROM}, space, deltas, rng, where)
        refuse_shown(prompt_of(founder), task, where)
        yield founder, str(record.get(FROM, where))


def _founder(
    record: Record, space: PromptSpace, deltas: DeltaSpace | None, rng: np.random.Generator, where: str
) -> Given:
    if record.get("kind") != HybridGenome.kind:
        return space.founder(record, rng, where)
    if deltas is None:
        raise GenomeError(
            f"{where}: expected a prompt alone, found one that changes the model's weights, which this campaign does "
            "not evolve; add [space.delta], or name its instruction with --founder"
        )
    prompt, delta = space.founder(record["prompt"], rng, where), deltas.founder(record["delta"], where)
    return HybridGenome(prompt, delta) if delta.genes.any() else prompt


def written_genomes(
    config: CampaignConfig, task: Task, space: PromptSpace, rng: np.random.Generator
) -> list[PromptGenome]:
    """Return founders made from nothing but the task.

    One that is too long shows fewer demonstrations; one that then still lies outside the space is left out.

    Raises:
        GenomeError: if none lies inside.
    """
    shown = space.demonstrations if task.demonstrable else (0, 0)
    target = target_name(str(config.task.columns.get("label", "")))
    fitting, reason = [], ""
    for record in written_founders(task.kind, task.fields, task.labels, target, shown):
        drawn = space.draw_demonstrations(rng, record.get("demonstrations", 0))
        founder = space.shortened(PromptGenome(record["instruction"], drawn))
        reason = space.outside(founder)
        fitting += [] if reason else [founder]
    if not fitting:
        raise GenomeError(f"founders {WRITTEN}: {reason}")
    return fitting


# -- what must not be tested on ------------------------------------------------------------------------------


def refuse_seen(source: Source, task: Task) -> None:
    """Raise GenomeError where the source's lineage has seen an item of the test split."""
    known = [item for item in task.test if item.content_key in source.seen]
    if known:
        raise GenomeError(
            f"founders from {source.name}: their lineage has seen {counted(len(known), 'item')} of the "
            f"{len(task.test)} in the test split (the first: {known[0].digest}); keep the split they were evolved on "
            "(task.split), or test on other rows"
        )


def refuse_shown(founder: PromptGenome, task: Task, where: str) -> None:
    """Raise GenomeError where a founder shows an item of the test split, which it brought along as text."""
    for demo in founder.demonstrations:
        shown = Item.of(task.kind, dict(demo.fields), demo.label, demo.options)
        if demo.item not in task.train_digests and shown.content_key in task.test_keys:
            raise GenomeError(f"{where}: a demonstration is an item of the test split: {dict(demo.fields)}")


def refuse_unknown(prompt: PromptGenome, task: Task, where: str) -> None:
    """Raise GenomeError if a prompt names labels that neither the task nor a demonstration's options have."""
    for demo in prompt.demonstrations:
        known = task.labels or demo.options
        if known and demo.label not in known:
            raise GenomeError(f"{where}: a demonstration's label is {demo.label!r}, expected one of {list(known)}")
    for label, _ in prompt.verbalizers:
        if task.labels and label not in task.labels:
            raise GenomeError(f"{where}: a verbalizer stands for {label!r}, expected one of {list(task.labels)}")
