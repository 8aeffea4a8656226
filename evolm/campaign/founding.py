"""Where a search starts from: founders given on the command line, in files, in runs, in founding populations.

A founder that comes from a run brings along what its lineage has seen: the content keys of all items that it was
selected on or learned from. If one of them stands in the new campaign's test split, the founder is refused: its
test score would be the score of something that was chosen on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from evolm.campaign.founder_sources import FROM, Record, Source, find_source, read_source
from evolm.campaign.founders import target_name, written_founders
from evolm.config import Campaign
from evolm.errors import GenomeError
from evolm.genomes import PromptGenome, PromptSpace
from evolm.randomness import Randomness, derive_seed
from evolm.tasks import Item, Task
from evolm.wording import counted

WRITTEN = "written from the task"


@dataclass(frozen=True)
class Founders:
    """What a search starts from.

    Attributes:
        genomes: distinct, in order.
        names: digest -> where it comes from.
        seen: content keys of all items that their lineages have seen.
    """

    genomes: list[Any]
    names: dict[str, str] = field(default_factory=dict)
    seen: frozenset[str] = frozenset()

    def records(self) -> list[Record]:
        """Return the founders as a file has them, with where each comes from."""
        return [{**genome.to_record(), FROM: self.names[genome.digest]} for genome in self.genomes]


def load_founders(
    config: Campaign,
    task: Task,
    space: PromptSpace,
    root: Path,
    roots: Sequence[Path],
    instructions: Sequence[str] = (),
    warm_starts: Sequence[Path] = (),
) -> Founders:
    """Return the distinct founders in order.

    Those of the command line come first, then the campaign's; where there are none, they are written from the task.

    Args:
        config: its ``founders`` and seed.
        task: the campaign's task.
        space: where founders must lie.
        root, roots: see :func:`evolm.location.locate`.
        instructions: given on the command line.
        warm_starts: runs, founding populations or files given on the command line.

    Raises:
        GenomeError: if a place holds no founders, or a founder lies outside the space or has seen the test split.
        PermissionNeeded: if the campaign names a place that it may not read.
    """
    rng = Randomness(derive_seed("founders", config.seed)).numpy
    sources = [Source([({"instruction": text}, f"--founder {i + 1}") for i, text in enumerate(instructions)])]
    sources += [read_source(path, path.name) for path in warm_starts]
    sources += [read_source(find_source(place, root, roots), Path(place).name) for place in config.founders]
    founders = [placed for source in sources for placed in _admitted(source, task, space, rng)]
    founders = founders or [(founder, WRITTEN) for founder in written_genomes(config, task, space, rng)]
    distinct: dict[str, tuple[PromptGenome, str]] = {}
    for founder, name in founders:
        distinct.setdefault(founder.digest, (founder, name))
    return Founders(
        genomes=[founder for founder, _ in distinct.values()],
        names={digest: name for digest, (_, name) in distinct.items()},
        seen=frozenset[str]().union(*(source.seen for source in sources)),
    )


def _admitted(
    source: Source, task: Task, space: PromptSpace, rng: np.random.Generator
) -> Iterator[tuple[PromptGenome, str]]:
    """Yield a source's founders, and where each comes from."""
    refuse_seen(source, task)
    for record, where in source.records:
        founder = space.founder({key: value for key, value in record.items() if key != FROM}, rng, where)
        refuse_shown(founder, task, where)
        yield founder, str(record.get(FROM, where))


def written_genomes(config: Campaign, task: Task, space: PromptSpace, rng: np.random.Generator) -> list[PromptGenome]:
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
    own = {item.digest for item in task.train}
    tested = {item.content_key for item in task.test}
    for demo in founder.demonstrations:
        shown = Item.of(task.kind, dict(demo.fields), demo.label, demo.options)
        if demo.item not in own and shown.content_key in tested:
            raise GenomeError(f"{where}: a demonstration is an item of the test split: {dict(demo.fields)}")
