"""Random search with the budget of the main search; its finalists go through the same final."""

from __future__ import annotations

from evolm.baselines.base import Baseline
from evolm.searches import RANDOM_SEARCH

RANDOM = Baseline(
    name=RANDOM_SEARCH,
    title="random search, same budget",
    phrase="random search",
    summary="random search at the same budget",
    contestants=lambda contest: [contest.finals[RANDOM_SEARCH]] if RANDOM_SEARCH in contest.finals else [],
    strategy={"name": RANDOM_SEARCH},
    compared=True,
)
