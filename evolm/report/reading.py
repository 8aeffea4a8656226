"""A run directory as data: the journal, the clock's file and the result, read but never written.

A report is made from these files alone, so it can be rebuilt years later, without the model, and
while the run is still writing: a torn last line is what a killed or busy writer leaves, and is
ignored. Entries of a type that this version does not know are ignored too.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evolm.errors import RunError
from evolm.individual import NOT_FOUNDERS
from evolm.searches import MAIN
from evolm.storage import RunLayout
from evolm.wording import words

Entry = dict[str, Any]

USE, AUDIT = "use", "audit"  # who sees the gold labels of dev: the search, or nobody before it is over

INDIVIDUAL_COLUMNS = [
    "id",
    "generation",
    "evaluation",
    "status",
    "score",
    "fitness",
    "parents",
    "operators",
    "digest",
    "reason",
    "items",
    "genome",
    "measures",
]
GENERATION_COLUMNS = [
    "generation",
    "evaluations",
    "items",
    "tokens",
    "dropped",
    "best",
    "best_id",
    "mean",
    "std",
    "diversity",
]


@dataclass(frozen=True)
class Ancestor:
    """One individual in a lineage; ``score`` is the task's metric on dev, or None where it has none."""

    id: int
    generation: int
    parents: tuple[int, ...]
    operators: tuple[str, ...]
    score: float | None


@dataclass(frozen=True)
class RunRecord:
    """Everything a run directory says about its run.

    ``entries`` and ``timing`` keep the order of their files; ``result`` is None until the run has its
    verdict; ``outcomes`` is ``test.json``, every contestant's answer to each test item, or None;
    ``campaign`` and ``prompt`` are the text of ``campaign.toml`` and ``best/prompt.txt``, or "".
    """

    directory: Path
    entries: list[Entry]
    timing: list[Entry]
    result: Entry | None
    outcomes: Entry | None
    campaign: str
    prompt: str

    @classmethod
    def read(cls, directory: Path) -> RunRecord:
        """Read the run in ``directory``.

        Raises:
            RunError: there is no journal, or a line before its last one, or the result, is damaged.
        """
        directory = Path(directory)
        layout = RunLayout(directory)
        layout.require_journal()
        entries = _read_lines(layout.journal)
        result = _read_object(layout.result)
        if result is None:  # killed between the journal's last line and result.json
            result = _last(entries, "verdict", None)
        return cls(
            directory=directory,
            entries=entries,
            timing=_read_lines(layout.timing, strict=False),
            result=result,
            outcomes=_read_object(layout.test),
            campaign=_read_text(layout.campaign),
            prompt=_read_text(layout.prompt),
        )

    @property
    def run(self) -> Entry:
        """The journal's first entry: task, model, seed, strategy, budget; empty when not yet written."""
        return _last(self.entries, "run", None) or {}

    @property
    def test(self) -> Entry | None:
        """What the test split said, or None: not yet opened, or the task has none."""
        return (self.result or {}).get("test")

    @property
    def model(self) -> str:
        """The model's name without the folders before it; "" when not yet written."""
        name = str((self.run.get("model") or {}).get("name") or "")
        return re.split(r"[/\\]", name.rstrip("/\\"))[-1]

    @property
    def task(self) -> Entry:
        """Kind, metric, labels and splits of the task; empty when not yet written."""
        return self.run.get("task") or (self.result or {}).get("task") or {}

    @property
    def gold(self) -> str | None:
        """``"use"`` or ``"audit"``, or None where nobody knows the gold labels."""
        return self.task.get("gold", USE)

    @property
    def metric(self) -> str:
        """The task's metric in words."""
        return words(self.task.get("metric") or "score")

    @property
    def scorers(self) -> dict[str, Entry]:
        """The scorers' settings by name, the first one first; empty when not yet written."""
        known = self.run.get("scorers") or {}
        return {name: settings for name, settings in known.items() if isinstance(settings, dict)}

    @property
    def pareto(self) -> bool:
        """Whether every scorer is an objective of its own."""
        return (self.run.get("fitness") or {}).get("combine") == "pareto"

    @property
    def scale(self) -> str:
        """What an individual's ``score`` is, in words: the metric, or what the search maximised without gold."""
        if self.gold == USE or not self.scorers:
            return self.metric
        weights = {words(name): settings.get("weight", 1.0) for name, settings in self.scorers.items()}
        terms = [name if weight == 1 else f"{weight:g} × {name}" for name, weight in weights.items()]
        return terms[0] if self.pareto else " + ".join(terms)

    def judged(self, entry: Entry | None) -> float | None:
        """The task's metric of an individual on dev; None where it failed or nobody knows the gold labels."""
        if entry is None or self.gold is None:
            return None
        value = entry.get("score") if self.gold == USE else (entry.get("measures") or {}).get("gold")
        return None if _rank(value) == -math.inf else value

    @property
    def status(self) -> str:
        """``"finished"``, ``"interrupted"`` or ``"running"`` (also when killed: nobody wrote that down)."""
        if self.result is not None:
            return "finished"
        stopped = bool(self.timing) and self.timing[-1].get("event") == "interrupt"
        return "interrupted" if stopped else "running"

    def last(self, kind: str, search: str | None = MAIN) -> Entry | None:
        """The journal's last entry of that type, of that search (None: of any)."""
        return _last(self.entries, kind, search)

    def entries_of(self, kind: str, search: str = MAIN) -> list[Entry]:
        """All entries of that type and search, in journal order."""
        return [e for e in self.entries if e.get("type") == kind and e.get("search", MAIN) == search]

    def generations(self, search: str = MAIN) -> pd.DataFrame:
        """One row a finished generation; evaluations, items and tokens are cumulative."""
        return pd.DataFrame(self.entries_of("generation", search), columns=GENERATION_COLUMNS)

    def individuals(self, search: str = MAIN) -> pd.DataFrame:
        """One row an individual, in the order asked.

        ``score`` is NaN where it failed or was dropped; ``evaluation`` is its place on the axis of evaluations
        spent (evenly spread between the totals that the generations around it recorded).
        """
        frame = pd.DataFrame(self.entries_of("individual", search), columns=INDIVIDUAL_COLUMNS)
        frame["score"] = pd.to_numeric(frame["score"], errors="coerce").astype(float)
        frame["evaluation"] = self._evaluations(frame["generation"], search)
        return frame

    def _evaluations(self, generation: pd.Series, search: str) -> pd.Series:
        totals = {e.get("generation"): e.get("evaluations") for e in self.entries_of("generation", search)}
        places = pd.Series(np.nan, index=generation.index, dtype=float)
        spent = 0.0
        for number, members in generation.groupby(generation, sort=False):
            total = totals.get(number)
            end = float(total) if total is not None and total > spent else spent + len(members)
            places[members.index] = np.linspace(spent, end, len(members) + 1)[1:]
            spent = end
        return places

    def best(self, search: str = MAIN) -> Entry | None:
        """The verdict's best, else the validation's winner, else the archive's best, else the fittest."""
        individuals = self._by_id(search)
        named = [
            ((self.result or {}).get("best") or {}).get("id") if search == MAIN else None,
            (self.last("validation", search) or {}).get("winner"),
            (self.last("generation", search) or {}).get("best_id"),
        ]
        known = (individuals[id] for id in named if id in individuals)
        return next(known, None) or _fittest(list(individuals.values()))

    def founder(self) -> Entry | None:
        """The verdict's founder, else the fittest individual that was given, neither born nor drawn nor proposed."""
        individuals = self._by_id(MAIN)
        named = ((self.result or {}).get("founder") or {}).get("id")
        if named in individuals:
            return individuals[named]
        unborn = (entry for entry in individuals.values() if not entry.get("parents"))
        given = [entry for entry in unborn if tuple(entry.get("operators") or ()) not in NOT_FOUNDERS]
        return _fittest(given)

    def front(self) -> list[Entry]:
        """The individuals on the main search's front, by id; none where there is one objective."""
        individuals = self._by_id(MAIN)
        ids = (self.last("generation") or {}).get("front") or []
        return [individuals[id] for id in sorted(ids) if id in individuals]

    def lineage(self, search: str, id: int) -> list[Ancestor]:
        """The individual and all its ancestors, each once, oldest first, itself last."""
        known = self._by_id(search)
        found: dict[int, Ancestor] = {}
        waiting = [id]
        while waiting:
            entry = known.get(waiting.pop())
            if entry is None or entry["id"] in found:
                continue
            found[entry["id"]] = _ancestor(entry)
            waiting.extend(entry.get("parents") or [])
        return sorted(found.values(), key=lambda a: (a.id == id, a.generation, a.id))

    def descent(self, search: str, id: int) -> list[Ancestor]:
        """The main line of the lineage, founder first: at each birth, the parent with the better score."""
        family = {a.id: a for a in self.lineage(search, id)}
        line: list[Ancestor] = []
        current = family.get(id)
        while current is not None and current not in line:
            line.append(current)
            parents = [family[p] for p in current.parents if p in family]
            current = max(parents, key=lambda a: _rank(a.score), default=None)
        return line[::-1]

    def _by_id(self, search: str) -> dict[int, Entry]:
        return {e["id"]: e for e in self.entries_of("individual", search) if "id" in e}


def _ancestor(entry: Entry) -> Ancestor:
    return Ancestor(
        id=entry["id"],
        generation=entry.get("generation") or 0,
        parents=tuple(entry.get("parents") or ()),
        operators=tuple(entry.get("operators") or ()),
        score=entry.get("score"),
    )


def _rank(score: float | None) -> float:
    """A score as a sort key: None and NaN lose to everything."""
    return -math.inf if score is None or math.isnan(score) else score


def _fittest(entries: list[Entry]) -> Entry | None:
    """The greatest fitness, compared component by component as the search does; the first of equals."""
    scored = [e for e in entries if _rank(e.get("score")) > -math.inf]
    return max(scored, key=lambda e: tuple(e.get("fitness") or [e["score"]]), default=None)


def _last(entries: list[Entry], kind: str, search: str | None) -> Entry | None:
    for entry in reversed(entries):
        if entry.get("type") == kind and (search is None or entry.get("search", MAIN) == search):
            return entry
    return None


def _read_lines(path: Path, strict: bool = True) -> list[Entry]:
    """The objects of a JSON-lines file, without a torn last line; none when there is no file.

    The journal is truncated before a resume appends to it, so damage inside it is real (``strict``).
    The clock's file is not, so a kill may leave a torn line in its middle.
    """
    lines = path.read_bytes().splitlines() if path.is_file() else []
    entries: list[Entry] = []
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line) if line.strip() else None
        except ValueError:  # of JSON or of UTF-8, cut inside a character
            if number == len(lines) or not strict:
                continue
            raise RunError(f"{path}, line {number}: expected a JSON object, found {line[:40]!r}") from None
        if isinstance(entry, dict):
            entries.append(entry)
    return entries


def _read_object(path: Path) -> Entry | None:
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise RunError(f"{path} is damaged: expected a JSON object")
    return found


def _read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
