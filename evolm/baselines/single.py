"""The best single individual of a campaign whose winner takes another form: what that form adds to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evolm.baselines.base import Baseline, Contest
from evolm.searches import MAIN

if TYPE_CHECKING:
    from evolm.genomes import Genome


def _contestants(contest: Contest) -> list[Genome]:
    return [contest.winner] if contest.finals[MAIN] is not contest.winner else []


SINGLE = Baseline(
    name="single",
    title="best single individual",
    phrase="the best single individual",
    summary="the best individual, if another form wins; no rival that the claim must hold over",
    contestants=_contestants,
    prompts=0,
    switchable=False,
    rival=False,
)
