"""The best founder: what the search started from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evolm.baselines.base import Baseline, Contest

if TYPE_CHECKING:
    from evolm.genomes import Genome


def read_by_words(contest: Contest) -> Genome:
    """Return the best founder, its labels read by the likelihood of their words."""
    founder = contest.founder
    if "readout" not in founder:
        return founder
    return founder.with_chromosome("readout", contest.readouts.readout("words"))


BEST_FOUNDER = Baseline(
    name="founder",
    title="best founder",
    phrase="the best founder",
    summary="the founder with the best fitness on dev, as it is, read by its words",
    contestants=lambda contest: [read_by_words(contest)],
    switchable=False,
    compared=True,
)
