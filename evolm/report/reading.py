"""A run directory as data: the journal, ``timing.jsonl`` and the result.

A report is made from these files alone, so it can be rebuilt years later, without the model, and while the run is
still writing: a torn last line, which a killed or busy writer leaves, is ignored. Entries of an unknown type are
ignored too.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from evolm.individual import is_founder
from evolm.report.run_files import Entry, read_lines, read_object, read_text
from evolm.searches import MAIN
from evolm.storage import RunLayout
from evolm.wording import words

USE, AUDIT = "use", "audit"  # task.gold: the search sees the gold labels of dev, or only the report does
FINISHED, INTERRUPTED, RUNNING = "finished", "interrupted", "running"  # states of a run

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
    """One individual in a lineage.

    Attributes:
        id, generation, parents, operators: as in the journal.
        score: the task's metric on dev; None if the individual failed or was dropped.
    """

    id: int
    generation: int
    parents: tuple[int, ...]
    operators: tuple[str, ...]
    score: float | None


@dataclass(frozen=True)
class RunRecord:
    """The content of a run directory, read once.

    Attributes:
        directory: the run's directory.
        entries: the journal's entries, in order.
        timing: the entries of ``timing.jsonl``, in order.
        result: the content of ``result.json``, or of the journal's verdict if the run was killed between the two;
            None before the verdict.
        outcomes: the content of ``test.json``, every contestant's answer to each test item; None if there is none.
        campaign: the text of ``campaign.toml``, or ``""``.
        prompt: the text of ``best/prompt.txt``, or ``""``.
        member_prompts: the texts of the prompts of a committee's members, in order.
    """

    directory: Path
    entries: list[Entry]
    timing: list[Entry]
    result: Entry | None
    outcomes: Entry | None
    campaign: str
    prompt: str
    member_prompts: tuple[str, ...] = ()

    @classmethod
    def read(cls, directory: Path) -> RunRecord:
        """Read the run in ``directory``.

        Raises:
            RunError: if there is no journal, or a line before its last one, or the result, is damaged.
        """
        layout = RunLayout(Path(directory))
        layout.require_journal()
        entries = read_lines(layout.journal)
        return cls(
            directory=layout.directory,
            entries=entries,
            timing=read_lines(layout.timing, strict=False),
            result=read_object(layout.result) or _last(entries, "verdict"),
            outcomes=read_object(layout.test),
            campaign=read_text(layout.campaign),
            prompt=read_text(layout.prompt),
            member_prompts=tuple(map(read_text, layout.member_prompts)),
        )

    @property
    def run(self) -> Entry:
        """The journal's first entry: task, model, seed, strategy, budget; empty if it is not written yet."""
        return _last(self.entries, "run") or {}

    @property
    def test(self) -> Entry | None:
        """The result's record of the test split; None if the split is not opened yet or the task has none."""
        return (self.result or {}).get("test")

    @property
    def committee(self) -> Entry | None:
        """The result's record of the committee that won; None if none did, or before the verdict."""
        return (self.result or {}).get("committee")

    @property
    def soup(self) -> Entry | None:
        """The result's record of the soup of deltas that won; None if none did, or before the verdict."""
        return (self.result or {}).get("soup")

    @property
    def relearnt(self) -> Entry | None:
        """The result's record of a delta that learnt once more and won; None if none did, or before the verdict."""
        return (self.result or {}).get("relearnt")

    @property
    def form(self) -> Entry | None:
        """The result's record of the form that won in the place of the best single individual; None if that won."""
        return self.committee or self.soup or self.relearnt

    @property
    def model(self) -> str:
        """The model's name without the folders before it; ``""`` if it is not written yet."""
        name = str((self.run.get("model") or {}).get("name") or "")
        return re.split(r"[/\\]", name.rstrip("/\\"))[-1]

    @property
    def fingerprint(self) -> str:
        """The model's fingerprint; ``""`` if it is not written yet."""
        return str((self.run.get("model") or {}).get("fingerprint") or "")

    @property
    def task(self) -> Entry:
        """Kind, metric, labels and splits of the task; empty if it is not written yet."""
        return self.run.get("task") or (self.result or {}).get("task") or {}

    @property
    def gold(self) -> str | None:
        """``"use"`` or ``"audit"``; None if the task has no gold labels."""
        return self.task.get("gold", USE)

    @property
    def metric(self) -> str:
        """The task's metric in words."""
        return words(self.task.get("metric") or "score")

    @property
    def scorers(self) -> dict[str, Entry]:
        """The scorers' settings by name, in the order of the campaign file; empty if they are not written yet."""
        known = self.run.get("scorers") or {}
        return {name: settings for name, settings in known.items() if isinstance(settings, dict)}

    @property
    def pareto(self) -> bool:
        """Whether every scorer is a separate objective."""
        return (self.run.get("fitness") or {}).get("combine") == "pareto"

    @property
    def scale(self) -> str:
        """The name of an individual's ``score``: the metric or, without gold labels, the maximised sum of scorers."""
        if self.gold == USE or not self.scorers:
            return self.metric
        weights = {words(name): settings.get("weight", 1.0) for name, settings in self.scorers.items()}
        terms = [name if weight == 1 else f"{weight:g} × {name}" for name, weight in weights.items()]
        return terms[0] if self.pareto else " + ".join(terms)

    def metric_on_dev(self, entry: Entry | None) -> float | None:
        """Return the task's metric of an individual on dev; None if it failed or the task has no gold labels."""
        if entry is None or self.gold is None:
            return None
        value = entry.get("score") if self.gold == USE else (entry.get("measures") or {}).get("gold")
        return None if _rank(value) == -math.inf else value

    @property
    def finished(self) -> bool:
        """Whether the run has a result and was not continued since: its journal holds nothing after the verdict."""
        verdicts = [entry.get("type") == "verdict" for entry in self.entries]
        return self.result is not None and (not any(verdicts) or verdicts[-1])

    @property
    def status(self) -> str:
        """``"finished"``, ``"interrupted"``, or ``"running"``, which a killed run also seems to be."""
        if self.finished:
            return FINISHED
        stopped = bool(self.timing) and self.timing[-1].get("event") == "interrupt"
        return INTERRUPTED if stopped else RUNNING

    def last(self, kind: str, search: str = MAIN) -> Entry | None:
        """Return the journal's last entry of that type and search."""
        found = self.entries_of(kind, search)
        return found[-1] if found else None

    def entries_of(self, kind: str, search: str = MAIN) -> list[Entry]:
        """Return all entries of that type and search, in order; entries without a search belong to the main one."""
        return self._index.get((kind, search), [])

    @cached_property
    def _index(self) -> dict[tuple[str, str], list[Entry]]:
        """The journal's entries by type and search."""
        index: dict[tuple[str, str], list[Entry]] = defaultdict(list)
        for entry in self.entries:
            index[entry.get("type", ""), entry.get("search", MAIN)].append(entry)
        return dict(index)

    def generations(self, search: str = MAIN) -> pd.DataFrame:
        """Return one row per finished generation; evaluations, items and tokens are cumulative."""
        return pd.DataFrame(self.entries_of("generation", search), columns=GENERATION_COLUMNS)

    def individuals(self, search: str = MAIN) -> pd.DataFrame:
        """Return one row per individual, in the order asked.

        ``score`` is NaN if the individual failed or was dropped. ``evaluation`` is its place on the axis of spent
        evaluations: a generation's members are spread evenly between the total of the one before and its own.
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
            end = float(total) if total is not None and total >= spent else spent + len(members)
            places[members.index] = np.linspace(spent, end, len(members) + 1)[1:]
            spent = end
        return places

    def best(self, search: str = MAIN) -> Entry | None:
        """Return the best individual, also if a committee won.

        It is the verdict's, else the winner on validation, else the archive's best, else the fittest.
        """
        individuals = self._by_id(search)
        named = [
            ((self.result or {}).get("best") or {}).get("id") if search == MAIN else None,
            (self.last("validation", search) or {}).get("winner"),
            (self.last("generation", search) or {}).get("best_id"),
        ]
        known = (individuals[id] for id in named if id in individuals)
        return next(known, None) or _fittest(list(individuals.values()))

    def founder(self) -> Entry | None:
        """Return the verdict's founder, else the fittest of the founders."""
        individuals = self._by_id(MAIN)
        named = ((self.result or {}).get("founder") or {}).get("id")
        if named in individuals:
            return individuals[named]
        founders = [e for e in individuals.values() if is_founder(e.get("parents") or (), e.get("operators") or ())]
        return _fittest(founders)

    def front(self) -> list[Entry]:
        """Return the individuals on the main search's front, by id; none if there is one objective."""
        individuals = self._by_id(MAIN)
        ids = (self.last("generation") or {}).get("front") or []
        return [individuals[id] for id in sorted(ids) if id in individuals]

    def lineage(self, search: str, id: int) -> list[Ancestor]:
        """Return the individual and all its ancestors, each once, the oldest first, the individual itself last."""
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
        """Return the main line of the lineage, founder first: of several parents the one with the best score."""
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
    """Return a score as a sort key; None and NaN rank below all numbers."""
    return -math.inf if score is None or math.isnan(score) else score


def _fittest(entries: list[Entry]) -> Entry | None:
    """Return the entry with the greatest fitness, compared as tuples as in the search; of equals the first."""
    scored = [e for e in entries if _rank(e.get("score")) > -math.inf]
    return max(scored, key=lambda e: tuple(e.get("fitness") or [e["score"]]), default=None)


def _last(entries: list[Entry], kind: str) -> Entry | None:
    """Return the last entry of a type, of any search."""
    return next((entry for entry in reversed(entries) if entry.get("type") == kind), None)
