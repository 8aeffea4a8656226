"""Optimizers of other packages on evolm's space of deltas, as :mod:`benchmarks.hosts` runs them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from benchmarks.peers.contract import Found, Setting
from benchmarks.peers.with_evolm import answered, budget, fill
from benchmarks.setting import NO_BASELINES
from evolm.config import FILE_NAME, overlay, read_tables
from evolm.errors import BudgetSpent
from evolm.founders.populations import find_population
from evolm.objective.objective import Objective
from evolm.report import RunRecord

SPACE = "delta"
DELTA = {
    "encoding": "subspace",
    "layers": "auto",
    "target_modules": ["q_proj", "v_proj"],
    "rank": 1,
    "dimension": 48,
}
ENDLESS = 10_000  # evaluations if only time is limited: sizes of populations derive from them


def peer(host: str) -> Callable[[Setting], Found]:
    """Return the peer of a host of deltas."""
    return lambda setting: search(setting, host)


def search(setting: Setting, host: str) -> Found:
    """Let a host propose deltas within the budget; the best is chosen as in a campaign."""
    from benchmarks.hosts import HOSTS

    items = setting.meter.items
    evaluations = ENDLESS if math.isinf(items) else max(1, int(items) // len(setting.task.dev))
    directory = setting.directory / "run"
    with Objective(**arguments(setting), budget=budget(setting), seed=setting.seed, out=directory) as objective:
        began = time.perf_counter()
        with suppress(BudgetSpent):
            HOSTS[SPACE][host](objective, setting.seed, evaluations)
        seconds = time.perf_counter() - began
        objective.finish()
    fill(setting, directory, seconds)
    return Found(answered(setting, RunRecord.read(directory)), "a delta")


def arguments(setting: Setting) -> dict[str, Any]:
    """Return the arguments of an Objective of deltas under the first founder."""
    folder = find_population(setting.population)
    tables = overlay(read_tables(folder / FILE_NAME), dict(setting.tables))
    data = tables["task"]["data"]
    if not data.startswith("package:"):
        tables["task"]["data"] = str(folder.resolve() / data)
    return {
        "task": tables["task"],
        "model": tables["model"],
        "space": {SPACE: DELTA},
        "founders": setting.instructions[:1],
        "options": {"baselines": NO_BASELINES}
        | {key: tables[key] for key in ("template", "generation") if key in tables},
    }
