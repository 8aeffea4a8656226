"""The batches that a run's journal holds, for a program that is started again and asks for the same."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from evolm.evaluation.usage import Usage
from evolm.individual import Individual
from evolm.storage import read_placed
from evolm.storage.damage import DAMAGE, damaged

Record = dict[str, Any]


@dataclass(frozen=True)
class RecordedBatch:
    """One generation of the main search: a call of the objective.

    Attributes:
        individuals: their records, in the order of asking.
        generation: the entry that closed it.
        end: bytes of the journal up to the end of the batch, a stop's entry after it included.
    """

    individuals: list[Record]
    generation: Record
    end: int


@dataclass(frozen=True)
class Replay:
    """The whole batches of a journal; a batch without its closing entry is left out.

    Attributes:
        begun: whether the journal has its first entry.
        batches: of the main search.
        stop: the entry of a stop after the last batch; None if there is none.
        judged: whether the journal ends with a verdict.
        end: bytes up to the end of the last whole batch.
    """

    begun: bool
    batches: list[RecordedBatch]
    stop: Record | None
    judged: bool
    end: int

    @classmethod
    def read(cls, journal: Path, search: str) -> Replay:
        """Read the batches of the search with the name ``search``.

        Raises:
            RunError: if the journal is damaged.
        """
        with damaged(journal, "the journal of an objective"):
            return cls._read(journal, search)

    @classmethod
    def _read(cls, journal: Path, search: str) -> Replay:
        batches: list[RecordedBatch] = []
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
                members = [record for record in waiting if record["generation"] == entry["generation"]]
                batches.append(RecordedBatch(members, entry, end))
                waiting, stop = [], None
            elif kind == "stop":
                batches[-1], stop = replace(batches[-1], end=end), entry
        return cls(bool(first), batches, stop, kind == "verdict", batches[-1].end if batches else first)


def recorded_counts(timing: Path) -> tuple[float, Usage]:
    """Return the seconds and the engine's counts of the last entry of a timing file; zeros if it has none."""
    for line in reversed(timing.read_bytes().splitlines()):
        try:
            entry = json.loads(line)
            return float(entry["seconds"]), Usage(**{field.name: entry[field.name] for field in fields(Usage)})
        except DAMAGE:  # torn when the process was killed
            continue
    return 0.0, Usage()


def recorded_individual(record: Record, genome: Any) -> Individual:
    """Return the individual of a journal's entry; its per-item scores are not recorded."""
    missing = {"parent_standing": None, "cases": None}
    return Individual.from_state({**record, **missing, "genome": genome.to_record()})
