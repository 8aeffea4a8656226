"""Finished runs of the toy campaign whose winner is a soup of deltas, or a delta that learnt once more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.once import SharedFolder
from tests.support.toy_campaign import FOUNDERS, ToyCampaign, quick, write_campaign

LEARNING: dict[str, Any] = {
    "space": {
        "delta": {"layers": "last:1", "target_modules": ["q_proj", "o_proj"], "encoding": "lowrank", "rank": 2}
    },
    "strategy": {
        "name": "memetic",
        "population_size": 3,
        "gradient_steps": 2,
        "batch_size": 6,
        "learning_rate": 0.05,
    },
    "budget__evaluations": 8,
    "baselines": dict.fromkeys(("few_shot", "prior_corrected", "probe", "bag_of_words", "fine_tuning"), False),
    "finals": {"committee": 0, "soup": 3, "relearn": False},
}
RELEARNING: dict[str, Any] = {"finals": {"committee": 0, "soup": 0, "relearn": True}}
SEEDS = range(20)  # which form wins is a matter of a few rows


def write_soup_campaign(folder: Path, model: Path, **changes: Any) -> ToyCampaign:
    """Write the campaign, whose deltas learn under one founder, into a folder."""
    toy = write_campaign(folder, model, **{**LEARNING, **changes})
    (folder / "founders.jsonl").write_text(json.dumps(FOUNDERS[0]) + "\n", encoding="utf-8")
    return toy


def soup_run(shared: SharedFolder, model: Path) -> Path:
    """Return a folder with the campaign, ``toy``, and its finished ``run``, which a soup won."""
    return _run_won_by("soup", {}, shared, model)


def relearnt_run(shared: SharedFolder, model: Path) -> Path:
    """Return such a folder with a run whose winner learnt once more."""
    return _run_won_by("relearnt", RELEARNING, shared, model)


def _run_won_by(form: str, changes: dict[str, Any], shared: SharedFolder, model: Path) -> Path:
    def build(folder: Path) -> None:
        for seed in SEEDS:
            with quick():
                run = write_soup_campaign(folder / "toy", model, **changes, seed=seed).run(folder / f"run-{seed}")
            if run.result[form]:
                (folder / f"run-{seed}").rename(folder / "run")
                return
        raise AssertionError(f"{form} won with none of the seeds {SEEDS}")

    return shared.once(form, build)
