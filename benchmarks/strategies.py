"""Does evolution beat random search? The strategies at the same number of evaluations, on three tasks.

    python -m benchmarks.strategies            the table: seeds 0 to 4, run once on frozen code
    python -m benchmarks.strategies --tune 3   dev only: seeds 100 to 102, nothing of the test split is shown

Every cell is an ordinary run below ``runs/``; finished cells are kept, so the same command resumes after a stop.
``results/strategies.json`` has the numbers, ``results/strategies.png`` the figure.
"""

from __future__ import annotations

from typing import Any

from benchmarks.field import Field
from evolm.experiments.sweep import strategy_variants

# The same for all strategies: no baseline that costs evaluations, and splits that keep a cell to a minute or two.
SETTINGS: dict[str, Any] = {
    "budget": {"evaluations": 36},
    "baselines": {"few_shot": False, "probe": False, "bag_of_words": False},
    "task": {"split": {"dev": 48, "validation": 48, "test": 400}},
}
FIELD = Field(
    "strategies",
    strategy_variants(("random_search", "genetic", "hill_climb")),
    dict.fromkeys(("sms-spam", "trec-questions", "commonsense-choice"), SETTINGS),
)

if __name__ == "__main__":
    FIELD.main(__doc__ or "")
