"""evolm's own rows: its strategy ``auto``, and from the same run the best founder and a bag of words."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.contract import Found, Setting
from evolm.baselines import BEST
from evolm.config import overlay
from evolm.experiments.sweep import plan_sweep, run_sweep
from evolm.founders.populations import find_population
from evolm.report import RunRecord
from evolm.storage import RunLayout

VARIANT = "auto"
FREE = {"founder": "best founder", "bag_of_words": "bag of words"}  # baseline -> row of the table
# A bag of words is a row of the table; the others cost a search of their own.
BASELINES = {"bag_of_words": True, "random_search": False, "fine_tuning": False}


def search(setting: Setting) -> Found:
    """Run or resume a campaign with ``auto``; the meter is filled from its result."""
    tables: dict[str, Any] = overlay(
        dict(setting.tables), {"budget": budget(setting), "baselines": BASELINES, "evaluation": {"n_jobs": 1}}
    )
    variants = {VARIANT: {"strategy": {"name": "auto"}}}
    folder = find_population(setting.population)
    sweep = plan_sweep(folder, setting.directory / "run", variants, [setting.seed], tables)
    run_sweep(sweep)
    directory = sweep.cells[0].directory
    record = RunRecord.read(directory)
    fill(setting, directory, searched(record))
    others = {title: answered(setting, record, name) for name, title in FREE.items()}
    known = {title: outcomes for title, outcomes in others.items() if outcomes is not None}
    prompt = RunLayout(directory).prompt
    best = prompt.read_text(encoding="utf-8") if prompt.exists() else "a committee"
    return Found(answered(setting, record), best, known)


def answered(setting: Setting, record: RunRecord, name: str = BEST) -> Any:
    """Return the ``(n_test,)`` outcomes of a finished run, in the order of the test rows; None if it has none."""
    test = record.outcomes or {}
    if name not in test.get("outcomes", {}):
        return None
    place = {digest: index for index, digest in enumerate(test["items"])}
    return np.asarray(test["outcomes"][name][0])[[place[item.digest] for item in setting.task.test]]


def budget(setting: Setting) -> dict[str, Any]:
    """Return the campaign's ``[budget]``; a limit that is missing is 0."""
    items, minutes = setting.meter.items, setting.meter.minutes
    return {
        "evaluations": 0,
        "items": 0 if math.isinf(items) else int(items),
        "seconds": 0 if math.isinf(minutes) else 60 * minutes,
    }


def fill(setting: Setting, directory: Path, seconds: float) -> None:
    """Enter what a run has spent on its search; items and tokens are counted before cache and sharing."""
    spent = json.loads(RunLayout(directory).result.read_text(encoding="utf-8"))["budget"]
    setting.meter.charge(spent["items"], read=spent["tokens"])
    setting.meter.seconds = seconds


def searched(record: RunRecord) -> float:
    """Return the seconds of a run at the end of its last generation."""
    return max(float(event["seconds"]) for event in record.timing if event["event"] == "generation")
