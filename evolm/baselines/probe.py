"""The best founder with a probe: a linear classifier on hidden states, layer by leave-one-out on train rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evolm.baselines.base import Baseline, Contest

if TYPE_CHECKING:
    from evolm.genomes import Genome

NAME = "probe"


def _contestants(contest: Contest) -> list[Genome]:
    if not contest.can_fit_readouts:
        return []
    genome = contest.founder.with_chromosome("readout", contest.readouts.readout(NAME))
    return [] if genome.digest == contest.founder.digest else [genome]


PROBE = Baseline(
    name=NAME,
    title="founder with a probe",
    phrase="the best founder with a probe",
    summary="best founder, read by a linear classifier on hidden states that is fitted on train rows",
    contestants=_contestants,
)
