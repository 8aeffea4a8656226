"""The best founder with contextual calibration of its labels, which needs no search.

Zhao et al. 2021, "Calibrate Before Use", https://arxiv.org/abs/2102.09690.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from evolm.baselines.base import Baseline, Contest

if TYPE_CHECKING:
    from evolm.genomes import Genome


def _contestants(contest: Contest) -> list[Genome]:
    if contest.scoring.labels is None:
        return []
    founder = contest.founder
    if "readout" in founder:  # calibration is a matter of the labels' words
        founder = founder.with_chromosome("readout", contest.readouts.readout("words"))
    return [founder.with_chromosome("prompt", replace(founder.prompt, calibrated=True))]


PRIOR_CORRECTED = Baseline(
    name="prior_corrected",
    title="founder, labels calibrated",
    phrase="the best founder with calibrated labels",
    summary="best founder with contextual calibration",
    contestants=_contestants,
)
