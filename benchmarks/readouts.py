"""What a readout is worth: words, readouts that evolve with the prompt, and random search, on five public tasks.

    python -m benchmarks.readouts              seeds 0 to 4
    python -m benchmarks.readouts --tune 2     dev and validation only, seeds 100 and up

All variants have the same splits and the same number of evaluations. The rivals of each run (a probe behind the best
founder, a bag of words, few-shot) are part of its result. Cells are runs below ``runs/``; finished ones are kept.
``results/readouts.json`` has the numbers, the picture beside it the figure.
"""

from __future__ import annotations

from typing import Any

from benchmarks.field import Field

LABELS = ("trec-questions", "sms-spam", "privacy-questions")
OPTIONS = ("commonsense-choice", "physical-choice")
SETTINGS: dict[str, Any] = {
    "budget": {"evaluations": 36},
    "baselines": {"random_search": False},  # a variant of its own
    "task": {"split": {"train": 200, "dev": 96, "validation": 120, "test": 400}},
}
GENETIC = {"name": "genetic", "population_size": 8, "offspring": 6}
READOUTS = {"space": {"readout": {"kinds": ["probe", "linear", "words"]}}}
VARIANTS: dict[str, dict[str, Any]] = {
    "random_search": {"strategy": {"name": "random_search"}, **READOUTS},
    "genetic": {"strategy": GENETIC, **READOUTS},
    "words": {"strategy": GENETIC, "space": {"readout": {"kinds": ["words"]}}},
}
FIELD = Field("readouts", VARIANTS, dict.fromkeys(LABELS, SETTINGS), pairs=[("genetic", "words")])

if __name__ == "__main__":
    FIELD.main(__doc__ or "")
