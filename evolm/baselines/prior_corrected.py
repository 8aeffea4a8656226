"""The best founder with contextual calibration of its labels, which needs no search.

Zhao et al. 2021, "Calibrate Before Use", https://arxiv.org/abs/2102.09690.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evolm.baselines.base import Baseline, Contest
from evolm.readout_kinds import CONTEXTUAL

if TYPE_CHECKING:
    from evolm.genomes import Genome


def _contestants(contest: Contest) -> list[Genome]:
    if contest.readouts is None:
        return []
    return [contest.founder.with_chromosome("readout", contest.readouts.readout(CONTEXTUAL))]


PRIOR_CORRECTED = Baseline(
    name="prior_corrected",
    title="founder, labels calibrated",
    phrase="the best founder with calibrated labels",
    summary="best founder with contextual calibration",
    contestants=_contestants,
)
