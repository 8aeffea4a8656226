"""The founders of a campaign: given on the command line, in files, in runs, in founding populations, or written.

A founder that comes from a run brings the content keys of all items that its lineage was selected on or learned from.
If one of them stands in the new campaign's test split, the founder is refused: the test would score a choice that was
made on its own rows.

A founder is a prompt, perhaps with other chromosomes. If the prompt does not evolve, all founders must have the same
one. A kind of chromosome that a founder lacks is neutral. Founders with chromosomes that the campaign does not evolve
are refused: without these chromosomes, their scores do not hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from evolm.config import CampaignConfig
from evolm.errors import ConfigError, GenomeError
from evolm.founders.files import FROM, Record, Source, chromosomes_of, founder_record
from evolm.founders.generated import target_name, written_founders
from evolm.founders.sources import read_source
from evolm.genomes import PROMPT, Chromosome, ChromosomeSpace, Genome, Prompt, PromptSpace, Space
from evolm.randomness import Randomness, derive_seed
from evolm.tasks import Item, Task
from evolm.wording import counted, listed

WRITTEN = "written from the task"


@dataclass(frozen=True)
class Founders:
    """The first genomes of a search.

    Attributes:
        genomes: distinct, in order.
        names: digest of a genome -> its source.
        seen: content keys of all items that their lineages have seen.
        written: whether they were made from nothing but the task.
    """

    genomes: list[Genome]
    names: dict[str, str] = field(default_factory=dict)
    seen: frozenset[str] = frozenset()
    written: bool = False

    @property
    def prompts(self) -> list[Prompt]:
        """Their distinct prompts, in order."""
        return list({genome.prompt.digest: genome.prompt for genome in self.genomes}.values())

    def records(self, space: Space) -> list[Record]:
        """Return the founders as lines of a file, each with its source; neutral chromosomes are left out."""
        brought = [Genome(space.brought(genome)) for genome in self.genomes]
        records = [founder_record(each.summary(), each.arrays(), space.identities()) for each in brought]
        named = zip(records, self.genomes, strict=True)
        return [{**record, FROM: self.names[genome.digest]} for record, genome in named]


def load_founders(
    config: CampaignConfig,
    task: Task,
    parts: Mapping[str, ChromosomeSpace],
    evolving: Sequence[str],
    instructions: Sequence[str] = (),
    warm_starts: Sequence[Path] = (),
) -> tuple[Space, Founders]:
    """Return the space that the campaign searches, and the distinct founders in order.

    The founders decide about the space: random prompts draw from their instructions, and a prompt that does not
    evolve is theirs. Those of the command line come first, then the campaign's; if there are none, they are written
    from the task.

    Args:
        config: its ``founders``, absolute places, and its seed.
        task: the campaign's task.
        parts: kind -> space of its chromosomes.
        evolving: kinds of chromosomes that evolve.
        instructions: given on the command line.
        warm_starts: runs, founding populations or files given on the command line.

    Raises:
        ConfigError: if the prompt does not evolve and the founders have different ones.
        GenomeError: if a place holds no founders, or a founder lies outside the space, has a chromosome that the
            campaign does not evolve, or has seen the test split.
    """
    rng = Randomness(derive_seed("founders", config.seed)).numpy
    prompts = cast(PromptSpace, parts[PROMPT])
    sources = [Source([({"instruction": text}, f"--founder {i + 1}") for i, text in enumerate(instructions)])]
    sources += [read_source(path, path.name) for path in warm_starts]
    sources += [read_source(Path(place), Path(place).name) for place in config.founders]
    founders = [placed for source in sources for placed in _admitted(source, task, parts, rng)]
    written = not founders
    if written:
        founders = [(Genome({PROMPT: prompt}), WRITTEN) for prompt in written_prompts(config, task, prompts, rng)]
    space = Space({**parts, PROMPT: prompts.with_instructions([founder.prompt for founder, _ in founders])})
    if PROMPT not in evolving and written:
        founders = [next(placed for placed in founders if placed[0].prompt.instruction)]
    frozen = [kind for kind in parts if kind not in evolving]
    if frozen:
        genomes_of_all = [space.completed(founder.chromosomes) for founder, _ in founders]
        space = Space(space.parts, {kind: _only(kind, genomes_of_all) for kind in frozen})
    names: dict[str, str] = {}
    genomes: dict[str, Genome] = {}
    for founder, name in founders:
        genome = space.completed(founder.chromosomes)
        genomes.setdefault(genome.digest, genome)
        names.setdefault(genome.digest, name)
    seen = frozenset[str]().union(*(source.seen for source in sources))
    return space, Founders(list(genomes.values()), names, seen, written)


def _only(kind: str, founders: Sequence[Genome]) -> Chromosome:
    """Return the chromosome of a kind that all founders have.

    Raises:
        ConfigError: if they have several.
    """
    found: dict[str, Chromosome] = {founder[kind].digest: founder[kind] for founder in founders}
    if len(found) != 1:
        raise ConfigError(
            f"space: without [space.{kind}] all genomes have one {kind}, found founders with {len(found)} "
            f"different {kind}s; name one (founders, --founder; --set founders=[] leaves those of a warm start), or "
            f"add [space.{kind}] to evolve {kind}s, too"
        )
    return next(iter(found.values()))


def _admitted(
    source: Source, task: Task, parts: Mapping[str, ChromosomeSpace], rng: np.random.Generator
) -> Iterator[tuple[Genome, str]]:
    """Yield the genomes of a source's founders, without the chromosomes that they lack, and their sources."""
    refuse_seen(source, task)
    for record, where in source.records:
        founder = _founder(chromosomes_of(record), parts, rng, where)
        refuse_shown(founder.prompt, task, where)
        yield founder, str(record.get(FROM, where))


def _founder(
    records: Mapping[str, Any], parts: Mapping[str, ChromosomeSpace], rng: np.random.Generator, where: str
) -> Genome:
    if others := [kind for kind in records if kind not in parts]:
        raise GenomeError(
            f"{where}: expected a founder with {listed(parts)} alone, found one with {listed(others)}, which this "
            f"campaign does not evolve; add [space.{others[0]}], or name the founder's instruction with --founder"
        )
    read: dict[str, Chromosome] = {
        kind: part.founder(records[kind], rng, where) for kind, part in parts.items() if kind in records
    }
    return Genome(read)


def written_prompts(config: CampaignConfig, task: Task, space: PromptSpace, rng: np.random.Generator) -> list[Prompt]:
    """Return the prompts of founders made from nothing but the task.

    A founder that is too long shows fewer demonstrations; if it still lies outside the space, it is left out.

    Raises:
        GenomeError: if none lies inside.
    """
    shown = space.demonstrations if task.demonstrable else (0, 0)
    target = target_name(str(config.task.columns.get("label", "")))
    fitting, reason = [], ""
    for record in written_founders(task.kind, task.fields, task.labels, target, shown):
        drawn = space.draw_demonstrations(rng, record.get("demonstrations", 0))
        founder = space.shortened(Prompt(record["instruction"], drawn))
        reason = space.outside(founder)
        fitting += [] if reason else [founder]
    if not fitting:
        raise GenomeError(f"founders {WRITTEN}: {reason}")
    return fitting


# -- what must not be tested on ------------------------------------------------------------------------------


def refuse_seen(source: Source, task: Task) -> None:
    """Raise GenomeError if the source's lineage has seen an item of the test split."""
    known = [item for item in task.test if item.content_key in source.seen]
    if known:
        raise GenomeError(
            f"founders from {source.name}: their lineage has seen {counted(len(known), 'item')} of the "
            f"{len(task.test)} in the test split (the first: {known[0].digest}); keep the split they were evolved on "
            "(task.split), or test on other rows"
        )


def refuse_shown(founder: Prompt, task: Task, where: str) -> None:
    """Raise GenomeError if a founder's demonstration is an item of the test split."""
    for demo in founder.demonstrations:
        shown = Item.of(task.kind, dict(demo.fields), demo.label, demo.options)
        if demo.item not in task.train_digests and shown.content_key in task.test_keys:
            raise GenomeError(f"{where}: expected demonstrations outside the test split, found {dict(demo.fields)}")


def refuse_unknown(prompt: Prompt, task: Task, where: str) -> None:
    """Raise GenomeError if a prompt names labels that neither the task nor a demonstration's options have."""
    for demo in prompt.demonstrations:
        known = task.labels or demo.options
        if known and demo.label not in known:
            raise GenomeError(f"{where}: a demonstration's label is {demo.label!r}, expected one of {listed(known)}")
    for label, _ in prompt.verbalizers:
        if task.labels and label not in task.labels:
            raise GenomeError(f"{where}: a verbalizer stands for {label!r}, expected one of {listed(task.labels)}")
