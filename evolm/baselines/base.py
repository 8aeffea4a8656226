"""What a baseline is: a row that says what it costs and how it answers the test items.

Titles are read by reports, so this room imports nothing that loads a model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from evolm.genomes import Genome, Space, Winner
    from evolm.scorers import Scoring
    from evolm.tasks import Task

BEST = "best"  # key of the campaign's best beside the baselines' names

# A genome or committee, whose answers to the test items the task's scorer scores, or ``(n_test,)`` outcomes of
# another origin.
Contestant: TypeAlias = Any


@dataclass(frozen=True)
class Contest:
    """What a baseline may use when the test split is opened.

    Attributes:
        task: the task with all its splits; a baseline reads gold of train and dev, never of test.
        space: the space that the campaign searched.
        scoring: what the campaign's scorers are made from.
        founder: genome of the best founder.
        winner: genome of the campaign's best individual.
        finals: name of a search -> the genome or the committee that won its final.
        seed: of the campaign.
    """

    task: Task
    space: Space
    scoring: Scoring
    founder: Genome
    winner: Genome
    finals: Mapping[str, Winner]
    seed: int

    @property
    def readouts(self) -> Any:
        """The space of readouts; None if the task has neither labels nor options."""
        return self.space.get("readout")

    @property
    def can_fit_readouts(self) -> bool:
        """Whether a readout can be fitted on train rows: they have gold of two of the task's labels or more."""
        return self.readouts is not None and len(self.task.taught_labels) > 1


@dataclass(frozen=True)
class Baseline:
    """Something that the campaign's best must beat on the test split.

    Attributes:
        name: its key in results and, if ``switchable``, in ``[baselines]``.
        title: its name in tables and figures.
        phrase: its name in the sentence of the verdict, as in "Better than the best founder".
        summary: one sentence for users.
        contestants: function that returns what takes part in the test: one contestant, several whose scores are
            averaged (draws), or none if the baseline does not fit the campaign.
        prompts: number of genomes that are scored on the test split.
        strategy: the table ``[strategy]`` of a search that the campaign runs for the baseline, under its name and
            with the budget of the main search; None = the baseline needs no search.
        equal: what that search may spend as much of as the main search.
        switchable: whether ``[baselines]`` can switch it off, or on.
        default: whether it takes part if ``[baselines]`` does not name it.
        default_if_learning: the same in a campaign whose strategy learns by gradient; None = ``default``.
        learns_labels: whether its search learns from labelled train rows alone.
        rival: whether the claim must hold over it; another form of the campaign's own best is none.
        compared: whether tables that compare runs have a column for it.
        plotted: whether the figure of test scores has a row for it.
    """

    name: str
    title: str
    phrase: str
    summary: str
    contestants: Callable[[Contest], Sequence[Contestant]]
    prompts: int = 1
    strategy: Mapping[str, Any] | None = None
    equal: Literal["evaluations", "tokens"] = "evaluations"
    switchable: bool = True
    default: bool = True
    default_if_learning: bool | None = None
    learns_labels: bool = False
    rival: bool = True
    compared: bool = False
    plotted: bool = True

    def takes_part(self, settings: Mapping[str, bool], learning: bool) -> bool:
        """Return whether it takes part in a campaign; see :func:`evolm.baselines.chosen_baselines`."""
        by_default = self.default if self.default_if_learning is None or not learning else self.default_if_learning
        return settings.get(self.name, by_default)


def final_of(name: str) -> Callable[[Contest], Sequence[Contestant]]:
    """Return a function that enters the genome that won the final of a search, if there was one."""
    return lambda contest: [contest.finals[name]] if name in contest.finals else []


def is_outcomes(contestant: Contestant) -> bool:
    """Return whether a contestant is ``(n_test,)`` outcomes rather than a genome."""
    return isinstance(contestant, np.ndarray)
