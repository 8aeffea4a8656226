"""The best founder with contextual calibration of its labels, which needs no search.

Zhao et al. 2021, "Calibrate Before Use", https://arxiv.org/abs/2102.09690.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from evolm.baselines.base import Baseline, Contest


def _contestants(contest: Contest) -> list[Any]:
    if contest.scoring.labels is None:
        return []
    prompt = contest.space.express(contest.founder).prompt
    return [contest.space.with_prompt(contest.founder, replace(prompt, calibrated=True))]


PRIOR_CORRECTED = Baseline(
    name="prior_corrected",
    title="founder, labels calibrated",
    phrase="the best founder with calibrated labels",
    summary="best founder with contextual calibration",
    contestants=_contestants,
)
