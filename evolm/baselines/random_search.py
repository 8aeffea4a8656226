"""Random search with the budget of the main search; its finalists go through the same final."""

from __future__ import annotations

from evolm.baselines.base import Baseline, final_of
from evolm.searches import RANDOM_SEARCH

RANDOM = Baseline(
    name=RANDOM_SEARCH,
    title="random search, same budget",
    phrase="random search",
    summary="random search at the same budget; off by default if the strategy learns by gradient",
    contestants=final_of(RANDOM_SEARCH),
    strategy={"name": RANDOM_SEARCH},
    default_if_learning=False,
    compared=True,
)
