"""Campaigns in stages on the tiny model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.toy_campaign import ToyCampaign, write_campaign

DELTA = {"layers": "last:1", "target_modules": ["q_proj", "v_proj"], "encoding": "lowrank", "rank": 1}
SPACE = {"prompt": {"demonstrations": [0, 2], "max_tokens": 240}, "delta": DELTA}
LEARNING = {"name": "memetic", "population_size": 3, "gradient_steps": 2, "batch_size": 4, "learning_rate": 0.05}
TWO = [
    {"space": "prompt", "strategy": {"name": "genetic", "population_size": 4}, "share": 2, "racing": "halving"},
    {"space": "delta", "strategy": LEARNING},
]
THREE = [*TWO, {"space": ["prompt"], "strategy": {"name": "hill_climb", "neighbours": 2}, "racing": "race"}]
EVALUATIONS = 16


def staged(folder: Path, model: Path, stages: Any, **changes: Any) -> ToyCampaign:
    """The toy campaign over prompts and deltas, in stages."""
    toy = write_campaign(
        folder,
        model,
        **{
            "space": SPACE,
            "stage": stages,
            "budget__evaluations": EVALUATIONS,
            "evaluation__race_block": 3,
            "baselines__few_shot": False,
            "baselines__prior_corrected": False,
            **changes,
        },
    )
    del toy.tables["strategy"]
    (folder / "campaign.toml").write_text(toy.config.to_toml(), encoding="utf-8")
    return toy
