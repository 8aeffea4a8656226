"""A linear classifier on the words and letters of the rows, without any language model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evolm.baselines.base import Baseline, Contest

if TYPE_CHECKING:
    from evolm.genomes import Genome

NAME = "bag_of_words"


def _contestants(contest: Contest) -> list[Genome]:
    if not contest.can_fit_readouts:
        return []
    return [contest.founder.with_chromosome("readout", contest.readouts.readout(NAME))]


BAG_OF_WORDS = Baseline(
    name=NAME,
    title="bag of words, no model",
    phrase="a bag of words",
    summary="logistic regression on words and letters, fitted on all rows but test, without the model",
    contestants=_contestants,
)
