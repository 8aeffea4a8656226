"""Where a search starts from: founders given on the command line, in files, in runs, in founding populations.

A founder that comes from a run brings along what its lineage has seen: the content keys of all items that it was
selected on or learned from. If one of them stands in the new campaign's test split, the founder is refused: its
test score would be the score of something that was chosen on it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evolm.campaign.founders import written_founders
from evolm.config import FILE_NAME, Campaign, read_tables
from evolm.errors import GenomeError
from evolm.genomes import PromptSpace
from evolm.location import locate
from evolm.randomness import Randomness, derive_seed
from evolm.storage import RunLayout, read_entries
from evolm.tasks import Task
from evolm.wording import counted

FROM_A_RUN = 12  # founders that a run gives, its best


@dataclass(frozen=True)
class Source:
    """Founders' records from one place, and the content keys of the items that their lineage has seen."""

    records: list[tuple[dict[str, Any], str]] = field(default_factory=list)  # record, where it stands
    seen: frozenset[str] = frozenset()
    name: str = ""


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
        warm_starts: runs or founding populations given on the command line.

    Raises:
        GenomeError: if a place holds no founders, a founder lies outside the space, or has seen the test split.
    """
    rng = Randomness(derive_seed("founders", config.seed)).numpy
    sources = [Source([({"instruction": text}, f"--founder {i + 1}") for i, text in enumerate(instructions)])]
    sources += [read_source(path, path.name) for path in warm_starts]
    sources += [read_source(locate(place, root, roots), Path(place).name) for place in config.founders]
    if not any(source.records for source in sources):
        labelled = task.has_gold and bool(task.train)
        shown = space.demonstrations if labelled else (0, 0)
        written = written_founders(task.kind, task.fields, task.labels, demonstrations=shown)
        sources = [Source([(record, "written from the task") for record in written])]
    founders, names = [], {}
    for source in sources:
        refuse_seen(source, task)
        for record, where in source.records:
            founder = space.founder(record, rng, where)
            if founder.digest not in names:
                founders.append(founder)
                names[founder.digest] = where
    return Founders(founders, names, frozenset[str]().union(*(source.seen for source in sources)))


def refuse_seen(source: Source, task: Task) -> None:
    """Raise GenomeError where the source's lineage has seen an item of the test split."""
    known = [item for item in task.test if item.content_key in source.seen]
    if known:
        raise GenomeError(
            f"founders from {source.name}: their lineage has seen {counted(len(known), 'item')} of the "
            f"{len(task.test)} in the test split (the first: {known[0].digest}); keep the split they were evolved on "
            "(task.split), or test on other rows"
        )


def read_source(path: Path, name: str) -> Source:
    """Read founders from a JSONL file, a run's directory or a founding population's."""
    if (path / "journal.jsonl").exists():
        return _from_run(RunLayout(path), name)
    if (path / FILE_NAME).exists():
        files = read_tables(path / FILE_NAME).get("founders") or []
        sources = [read_source(locate(file, path), file) for file in files]
        return Source(
            [record for source in sources for record in source.records],
            frozenset[str]().union(*(source.seen for source in sources)),
            name,
        )
    if path.is_dir():
        raise GenomeError(f"{name}: expected a JSONL file, a run or a founding population, found another folder")
    return _from_lines(path, name)


def _from_run(layout: RunLayout, name: str) -> Source:
    """The best individuals of a run's main search, the verdict's winner first."""
    individuals = {
        entry["id"]: entry
        for entry in read_entries(layout.journal)
        if entry.get("type") == "individual" and entry.get("search") == "main" and entry.get("fitness")
    }
    if not individuals:
        raise GenomeError(f"{name}: expected a run with evaluated individuals, found none")
    result = json.loads(layout.result.read_text()) if layout.result.exists() else {}
    winner = (result.get("best") or {}).get("id")
    ranked = sorted(individuals, key=lambda id: (id == winner, individuals[id]["fitness"], -id), reverse=True)
    records = [(individuals[id]["genome"], f"{name} #{id}") for id in ranked[:FROM_A_RUN]]
    return Source(records, frozenset(layout.read_seen()), name)


def _from_lines(path: Path, name: str) -> Source:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise GenomeError(f"{name}: expected a file of founders: {error}") from None
    records: list[tuple[dict[str, Any], str]] = []
    seen: set[str] = set()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{name}:{number}"
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise GenomeError(f"{where}: expected a JSON object: {error}") from None
        if not isinstance(record, dict):
            raise GenomeError(f"{where}: expected a JSON object, found {type(record).__name__}")
        if record.keys() == {"seen"}:
            seen.update(record["seen"])
        else:
            records.append((record, where))
    if not records:
        raise GenomeError(f"{name}: expected founders, found none")
    return Source(records, frozenset(seen), name)


def founders_file(records: Iterable[Mapping[str, Any]], seen: Iterable[str] = ()) -> str:
    """Return the JSONL text that :func:`read_source` reads back."""
    keys = sorted(seen)
    lines = [*([{"seen": keys}] if keys else []), *records]
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
