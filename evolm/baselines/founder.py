"""The best founder: what the search started from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evolm.baselines.base import Baseline, Contest

if TYPE_CHECKING:
    from evolm.genomes import Genome


def _contestants(contest: Contest) -> list[Genome]:
    founder, readouts = contest.founder, contest.readouts
    if readouts is None or "readout" not in founder:
        return [founder]
    return [founder.with_chromosome("readout", readouts.readout("words"))]


BEST_FOUNDER = Baseline(
    name="founder",
    title="best founder",
    phrase="the best founder",
    summary="the founder with the best fitness on dev, as it is, read by its words",
    contestants=_contestants,
    switchable=False,
    compared=True,
)
