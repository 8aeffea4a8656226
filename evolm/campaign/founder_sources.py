"""Places that hold founders: JSONL files, runs, founding populations; what they bring, and what it has seen."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evolm.config import FILE_NAME, read_tables
from evolm.errors import GenomeError, PermissionNeeded, nearest
from evolm.location import locate
from evolm.populations import shipped_populations
from evolm.storage import RunLayout, read_entries

FROM_A_RUN = 12  # founders that a run gives, its best
SEEN = "seen"  # the only key of a line that says what the founders of a file have seen
FROM = "from"  # key of a founder's record: where it comes from, if not from its file
PLACES = "a file of founders, a run or a founding population"

Record = dict[str, Any]
Placed = tuple[Record, str]  # a founder's record, and where it stands


@dataclass(frozen=True)
class Source:
    """Founders' records from one place, and the content keys of the items that their lineage has seen."""

    records: list[Placed] = field(default_factory=list)
    seen: frozenset[str] = frozenset()
    name: str = ""


def find_source(name: str, root: Path = Path(), admitted: Sequence[Path] = (), trusted: bool = False) -> Path:
    """Return the file, run or founding population that a name stands for.

    Where nothing of that name lies below ``root``, the name may be that of a shipped population.

    Args:
        name, root, admitted, trusted: see :func:`evolm.location.locate`.

    Raises:
        GenomeError: if there is nothing.
        PermissionNeeded: if a campaign file names a place outside.
    """
    try:
        path = locate(name, root, admitted, trusted)
    except PermissionNeeded:
        raise PermissionNeeded(
            f"founders: {name!r}: expected a path in the campaign's folder, found one outside; "
            "allow its folder with --data-root, or name it with --warm-start"
        ) from None
    shipped = shipped_populations()
    if path.exists() or name in shipped:
        return path if path.exists() else shipped[name]
    beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    raise GenomeError(f"founders: {name}: expected {PLACES}, found none{nearest(path.name, [*beside, *shipped])}")


def read_source(path: Path, name: str) -> Source:
    """Read founders from a JSONL file, a run's directory or a founding population's.

    Raises:
        GenomeError: if it is none of them, is damaged, or holds no founders.
    """
    if RunLayout(path).journal.exists():
        source = _from_run(RunLayout(path), name)
    elif (path / FILE_NAME).exists():
        source = _from_population(path, name)
    elif path.is_file():
        source = _from_lines(path, name)
    else:
        raise GenomeError(
            f"{name}: expected a file of founders, a run or a founding population, found another folder"
        )
    if not source.records:
        raise GenomeError(f"{name}: expected founders, found none")
    return source


def best_of_run(layout: RunLayout, name: str) -> list[Placed]:
    """Return every genome that a run's main search evaluated: the verdict's winner, its front, then the fittest.

    Raises:
        GenomeError: if the run is damaged.
    """
    try:
        entries = list(read_entries(layout.journal))
        result = json.loads(layout.result.read_text()) if layout.result.exists() else {}
        mine = [e for e in entries if e.get("type") == "individual" and e.get("search") == "main"]
        evaluated = {entry["id"]: entry for entry in mine if entry["fitness"]}
        winner = (result.get("best") or {}).get("id")
        front = {member["id"] for member in (result.get("front") or {}).get("members", ())}
        order = sorted(
            evaluated, key=lambda id: (id != winner, id not in front, [-f for f in evaluated[id]["fitness"]])
        )
        return [(evaluated[id]["genome"], f"{name} #{id}") for id in order]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise GenomeError(f"{name}: expected a run that can be read: {type(error).__name__} {error}") from None


def _from_run(layout: RunLayout, name: str) -> Source:
    return Source(best_of_run(layout, name)[:FROM_A_RUN], frozenset(layout.read_seen()), name)


def _from_population(folder: Path, name: str) -> Source:
    places = [locate(file, folder) for file in read_tables(folder / FILE_NAME).get("founders") or []]
    if folder.resolve() in places:
        raise GenomeError(f"{name}: expected other places in its founders, found the population itself")
    sources = [read_source(place, place.name) for place in places]
    records = [record for source in sources for record in source.records]
    return Source(records, frozenset[str]().union(*(source.seen for source in sources)), name)


def _from_lines(path: Path, name: str) -> Source:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise GenomeError(f"{name}: expected a file of founders: {error}") from None
    records: list[Placed] = []
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
        if record.keys() == {SEEN}:
            seen |= _keys(record[SEEN], where)
        else:
            records.append((record, where))
    return Source(records, frozenset(seen), name)


def _keys(found: Any, where: str) -> set[str]:
    if not isinstance(found, list) or not all(isinstance(key, str) for key in found):
        raise GenomeError(f"{where}: {SEEN!r} must be a list of content keys, found {found!r:.60}")
    return set(found)


def founders_file(records: Iterable[Mapping[str, Any]], seen: Iterable[str] = ()) -> str:
    """Return the JSONL text that :func:`read_source` reads back."""
    keys = sorted(seen)
    lines = [*([{SEEN: keys}] if keys else []), *records]
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
