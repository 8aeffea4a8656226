"""The best founder: what the search started from."""

from __future__ import annotations

from evolm.baselines.base import Baseline

BEST_FOUNDER = Baseline(
    name="founder",
    title="best founder",
    phrase="the best founder",
    summary="the founder with the best fitness on dev, as it is",
    contestants=lambda contest: [contest.founder],
    switchable=False,
    compared=True,
)
