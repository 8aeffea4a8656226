"""What a run's journal says was asked of it, call by call."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from evolm.evaluation.usage import Usage
from evolm.storage import read_placed

Record = dict[str, Any]


@dataclass(frozen=True)
class RecordedBatch:
    """One generation of the main search.

    Attributes:
        individuals: their records, in the order of asking.
        generation: the entry that closed it.
        end: bytes of the journal up to there, a stop behind it included.
    """

    individuals: list[Record]
    generation: Record
    end: int


@dataclass(frozen=True)
class Replay:
    """A journal's whole calls; one that was torn is nobody's.

    Attributes:
        begun: whether the journal has its first entry.
        calls: of the main search.
        stop: the entry about a callback that ended the search after the last call; None where none did.
        judged: whether it ends with a verdict.
        end: bytes up to the last whole call.
    """

    begun: bool
    calls: list[RecordedBatch]
    stop: Record | None
    judged: bool
    end: int

    @classmethod
    def read(cls, journal: Path, search: str) -> Replay:
        """Read the calls of a search."""
        calls: list[RecordedBatch] = []
        waiting: list[Record] = []
        stop: Record | None = None
        kind, end, first = "", 0, 0
        for entry, end in read_placed(journal):
            kind, first = entry["type"], first or end
            if entry.get("search") != search:
                continue
            if kind == "individual":
                waiting.append(entry)
            elif kind == "generation":
                mine = [record for record in waiting if record["generation"] == entry["generation"]]
                calls.append(RecordedBatch(mine, entry, end))
                waiting, stop = [], None
            elif kind == "stop":
                calls[-1], stop = replace(calls[-1], end=end), entry
        return cls(bool(first), calls, stop, kind == "verdict", calls[-1].end if calls else first)


def clock_before(timing: Path) -> tuple[float, Usage]:
    """Return the seconds that a run had taken when its clock was last written, and the engine's counts by then.

    All are 0 where it never was.
    """
    for line in reversed(timing.read_bytes().splitlines()):
        try:
            entry = json.loads(line)
        except ValueError:  # torn when the process was killed
            continue
        return float(entry["seconds"]), Usage(**{field.name: entry[field.name] for field in fields(Usage)})
    return 0.0, Usage()
