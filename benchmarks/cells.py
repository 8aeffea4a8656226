"""Cells of the benchmark of optimizers: one optimizer, one seed, one founding population; a run each.

A cell is a run of one process, which can be resumed. Finished cells are kept; a cell that was begun with other
settings, or with other code of the optimizers, is refused. Beside the run's own files, ``cell.json`` records the time
spent in the *engine*, which computes answers, in *evolm* around it, and in the *host*, which is the optimizer's loop
outside evolm's calls. An interrupted cell has no times. Cells share answers and loaded models, as a sweep's do; only
the engine's time depends on that.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import hosts
from benchmarks.clocks import clocked
from benchmarks.hosts import HOSTS
from benchmarks.setting import NO_BASELINES
from evolm.campaign.build import Models
from evolm.config import FILE_NAME, overlay, read_tables
from evolm.errors import BudgetSpent, RunError
from evolm.evaluation.engine import Engine
from evolm.experiments.finished_runs import is_finished
from evolm.founders.populations import find_population
from evolm.objective.objective import Objective
from evolm.storage import RunLayout
from evolm.storage.layout import ANSWERS

CELL = "cell.json"
PARTS = ("engine", "evolm", "host")
ASKING = [(Objective, name) for name in ("evaluate", "individuals", "many")]  # the ways into an objective
MODELS: Models = {}  # of this process


@dataclass(frozen=True)
class Arena:
    """A space of a founding population, with the budget of all optimizers.

    Attributes:
        population: gives the task, the model and the founders.
        space: the space that is searched.
        split: rows of each split.
        evaluations: the budget; each costs as many items as there are dev rows.
    """

    population: str
    space: dict[str, Any]
    split: dict[str, int]
    evaluations: int

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of an Objective, seed and directory excluded."""
        folder = find_population(self.population)
        tables = read_tables(folder / FILE_NAME)
        lines = (folder / "founders.jsonl").read_text(encoding="utf-8").splitlines()
        return {
            "task": overlay(tables["task"], {"split": self.split}),
            "model": tables["model"],
            "space": overlay(tables["space"], self.space),
            "budget": self.evaluations,
            "founders": [json.loads(line)["instruction"] for line in lines],
            "options": {"baselines": NO_BASELINES}
            | {key: tables[key] for key in ("template", "operators") if key in tables},
        }


@dataclass(frozen=True)
class Cell:
    """One optimizer with one seed in one arena.

    Attributes:
        space: the arena's name.
        host: the optimizer's.
        seed: of the optimizer and of the run.
        directory: the run's.
    """

    space: str
    host: str
    seed: int
    directory: Path

    @property
    def name(self) -> str:
        """The name of this cell and its other seeds for ``--cells``."""
        return f"{self.space}/{self.host}"

    def record(self) -> dict[str, Any]:
        """Return the cell's record; empty before the cell was begun."""
        path = self.directory / CELL
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def write(self, **record: Any) -> None:
        """Write the cell's record."""
        (self.directory / CELL).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def cells_of(arenas: Mapping[str, Arena], seeds: Sequence[int], out: Path) -> list[Cell]:
    """Return all cells, seed by seed, so that finished cells can be compared at any time."""
    return [
        Cell(space, host, seed, out / space / host.replace(" ", "-") / f"seed-{seed}")
        for seed in seeds
        for space in arenas
        for host in HOSTS[space]
    ]


def run(cell: Cell, arena: Arena) -> None:
    """Run a cell, resume it, or keep it if it is finished.

    Raises:
        RunError: if it was begun with other settings.
    """
    arguments = arena.arguments()
    settings = json.loads(json.dumps({**arguments, "hosts": _digest(Path(hosts.__file__))}))
    before = cell.record()
    if before and before["settings"] != settings:
        changed = [key for key in settings if settings[key] != before["settings"].get(key)]
        raise RunError(f"{cell.directory}: {', '.join(changed)} changed since it began; choose another --out")
    if "seconds" in before and is_finished(cell.directory):
        return
    resumed = RunLayout(cell.directory).journal.exists()
    answers = cell.directory.parents[1] / ANSWERS  # of all that have these rows
    answers.parent.mkdir(parents=True, exist_ok=True)
    shared: dict[str, Any] = {"answers": answers, "models": MODELS}
    with Objective(**arguments, **shared, seed=cell.seed, out=cell.directory) as objective:
        cell.write(settings=settings)
        with clocked((Engine, "answer_tokenized")) as engine, clocked(*ASKING) as asked:
            began = time.perf_counter()
            with suppress(BudgetSpent):
                HOSTS[cell.space][cell.host](objective, cell.seed, arena.evaluations)
            wall = time.perf_counter() - began
        evaluations = arena.evaluations - (objective.left or 0)
        objective.finish()
    seconds = (engine.seconds, asked.seconds - engine.seconds, wall - asked.seconds)
    cell.write(
        settings=settings,
        evaluations=evaluations,
        calls=len(asked.laps),
        seconds=None if resumed else dict(zip(PARTS, seconds, strict=True)),
    )


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def costs(cells: Sequence[Cell]) -> dict[str, Any]:
    """Return evaluations and calls of an optimizer's runs, and milliseconds of each part for one of either.

    Counts are means of all cells. Milliseconds are medians of the uninterrupted ones, since the work that a package
    does once per process, such as compiling, is not a cost of a call.
    """
    records = [cell.record() for cell in cells]
    timed = [record for record in records if record["seconds"]]
    found: dict[str, Any] = {each: float(np.mean([r[each] for r in records])) for each in ("evaluations", "calls")}
    for each, count in (("ms_an_evaluation", "evaluations"), ("ms_a_call", "calls")):
        found[each] = {
            part: round(1000 * float(np.median([r["seconds"][part] / r[count] for r in timed])), 3) if timed else None
            for part in PARTS
        }
    return found
