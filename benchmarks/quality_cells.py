"""Records of cells of :mod:`benchmarks.quality`: what a peer answered to the test rows, and what it spent."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.contract import Peer, Setting
from evolm.baselines import BEST
from evolm.experiments.finished_runs import TestedRun
from evolm.storage import write_atomically
from evolm.tasks import KINDS

FILE = "cell.json"


@dataclass(frozen=True)
class CellRecord:
    """A cell.

    Attributes:
        failure: why it has no answers; empty = it has.
        task: kind, metric, labels.
        items, gold: digests and gold indices of the test rows.
        outcomes: row of the table -> outcomes; the peer's own row is ``"best"``.
        best: the prompt or the settings that were chosen.
        spent, test: items and tokens of the search and of the test rows.
        seconds: ``search`` and ``all``, which has loading and the test rows too.
        measured: command, commit, machine and versions.
    """

    failure: str = ""
    task: dict[str, Any] = field(default_factory=dict)
    n_labels: int = 0
    items: list[str] = field(default_factory=list)
    gold: list[int] = field(default_factory=list)
    outcomes: dict[str, list[float]] = field(default_factory=dict)
    best: str = ""
    spent: dict[str, int] = field(default_factory=dict)
    test: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    measured: dict[str, Any] = field(default_factory=dict)

    def tested(self, seed: int, row: str = BEST, directory: Path = Path()) -> TestedRun:
        """Return the answers of a row in the form of a finished run's."""
        order = np.argsort(self.items, kind="stable")
        outcomes = np.asarray(self.outcomes[row], dtype=float if KINDS[self.task["kind"]].open else int)
        return TestedRun(
            directory=directory,
            seed=seed,
            settings={},
            task=self.task,
            n_labels=self.n_labels,
            items=tuple(sorted(self.items)),
            gold=np.asarray(self.gold)[order],
            outcomes={BEST: [outcomes[order]]},
        )


def finished(given: Setting, peer: Peer, measured: Mapping[str, Any]) -> CellRecord:
    """Run a peer, and return its record."""
    began = time.perf_counter()
    found = peer.run(given)
    seconds = {"search": given.meter.seconds or 0.0, "all": time.perf_counter() - began}
    task = given.task
    rows = {BEST: found.outcomes, **found.others}
    return CellRecord(
        task={"kind": task.kind, "metric": task.metric, "labels": list(task.labels)},
        n_labels=max(task.n_options, 1),
        items=[item.digest for item in task.test],
        gold=task.gold_indices(task.test).tolist(),
        outcomes={name: outcomes.tolist() for name, outcomes in rows.items()},
        best=found.best,
        spent=given.meter.spent,
        test=given.meter.test,
        seconds={name: round(value, 1) for name, value in seconds.items()},
        measured=dict(measured),
    )


def failed(reason: str) -> CellRecord:
    """Return the record of a cell without answers."""
    return CellRecord(failure=reason[:300])


def write_cell(directory: Path, record: CellRecord) -> CellRecord:
    """Write a cell's record, whole or not at all, and return it."""
    write_atomically(directory / FILE, json.dumps(asdict(record), indent=1) + "\n")
    return record


def read_cell(directory: Path) -> CellRecord | None:
    """Return a cell's record; None if it has not ended."""
    path = directory / FILE
    return CellRecord(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None
