"""The contract of scorers: from the model's answers to fitness.

A scorer is a class made from a :class:`Scoring` and its ``Params``. It holds a *dialogue* with the model about a
genome and some items: a generator that yields requests, is sent their answers, may ask again, and returns an
:class:`Evaluation`. The evaluator holds the dialogues of all scorers and genomes side by side, with one batch per
round. The contract:

- higher is better, for per-item scores and for objectives;
- requests depend on genome, items and earlier answers only; equal requests of several scorers are asked and charged
  once;
- an item that cannot be scored gets NaN and a reason in ``failures``; the individual is then invalid and the campaign
  continues. A cause that makes every item fail (a missing model, a missing file) raises;
- neither genome nor items are changed;
- if the objective is the mean of one bounded number per item, the scorer is ``decomposable`` and ``item_terms``
  returns these numbers: racing compares genomes on some of the items by them;
- a scorer that can score single answers to an item, from any source, names their forms in ``reward_forms`` and
  implements ``rewards``: a policy gradient learns from it.

A minimal scorer of generated texts (:class:`~evolm.scorers.generation.TextScorer` generates them)::

    class AnswerLength(TextScorer, MeanOfItems):
        '''Minus the number of characters of the generated text, at most 500.'''

        limits = (-500.0, 0.0)

        def judge(self, items, texts):
            yield from ()  # a dialogue without requests
            scores = -np.array([min(len(text), 500) for text in texts], dtype=float)
            return Evaluation(scores, mean_or_nan(scores, {}), texts=tuple(texts))
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, TypeGuard

import numpy as np
from pydantic import Field

from evolm.config import Section
from evolm.genomes import Phenotype
from evolm.models import Decoding
from evolm.models import Dialogue as DialogueOf
from evolm.tasks import EVERY_FORM, Form, Item, Task

if TYPE_CHECKING:
    from evolm.models import Model
    from evolm.scorers.labels import LabelProbabilities

FLOOR = -12.0  # nats; keeps one hopeless item from deciding a mean
UNBOUNDED = (-1e6, 1e6)  # limits of an objective without bounds


@dataclass(frozen=True)
class Evaluation:
    """The evaluation of one genome on ``n`` items by one scorer.

    Attributes:
        scores: ``(n,)`` per-item scores; NaN if the item failed.
        objective: the number that the campaign maximises; NaN if any item failed.
        outcomes: ``(n,)`` input of the task's metric: label indices (-1 = none), or values of generated texts; None
            from a scorer that predicts nothing.
        score: the task's metric; NaN without gold labels.
        tie_break: decides between equal objectives.
        label_logprobs: ``(n, n_options)`` normalised log-probabilities (nats), -inf behind an item's last option.
        texts: ``n`` generated texts, or none.
        measures: named numbers for people and archives.
        failures: item index -> reason.
    """

    scores: np.ndarray
    objective: float
    outcomes: np.ndarray | None = None
    score: float = float("nan")
    tie_break: float = 0.0
    label_logprobs: np.ndarray | None = None
    texts: tuple[str, ...] = ()
    measures: Mapping[str, float] = field(default_factory=dict)
    failures: Mapping[int, str] = field(default_factory=dict)


Dialogue: TypeAlias = DialogueOf[Evaluation]
Rewards: TypeAlias = DialogueOf[list[np.ndarray]]


@dataclass(frozen=True)
class ItemTerms:
    """The per-item terms of an objective that is their mean over all items.

    Attributes:
        values: ``(n,)`` terms of the items that were evaluated, in their order.
        lowest, highest: bounds of every item's term for this genome, evaluated or not.
    """

    values: np.ndarray
    lowest: float
    highest: float

    def weighted(self, weight: float) -> ItemTerms:
        """Return the terms of the objective times ``weight``."""
        ends = weight * self.lowest, weight * self.highest
        return ItemTerms(weight * self.values, min(ends), max(ends))

    def __add__(self, other: ItemTerms) -> ItemTerms:
        return ItemTerms(self.values + other.values, self.lowest + other.lowest, self.highest + other.highest)


@dataclass(frozen=True)
class Scoring:
    """The input of every scorer's constructor.

    Attributes:
        task: items, labels, template and metric.
        model: for its tokenizer; answers come through the dialogue.
        labels: the model's probabilities of labels or options; None for a generation task.
        decoding: how text is generated, greedy unless a scorer samples.
        prompt_tokens: genome -> tokens of its prompt, item excluded.
        refine: times that a text is criticised and written anew.
    """

    task: Task
    model: Model
    labels: LabelProbabilities | None
    decoding: Decoding
    prompt_tokens: Callable[[Any], int]
    refine: int = 0


class Weighted(Section):
    """Parameters that every scorer has."""

    weight: float = Field(1.0, description="factor of the objective in a sum, or of its axis on a Pareto front")


class Scorer(ABC):
    """Base of all scorers; see the module's contract. Only ``dialogue`` has no default.

    Attributes:
        Params: the scorer's table in ``[scorers]``.
        forms: forms of answers that it can score.
        reward_forms: forms of answers that :meth:`rewards` can score one by one; by default none.
    """

    Params: ClassVar[type[Weighted]] = Weighted
    forms: ClassVar[tuple[Form, ...]] = EVERY_FORM
    reward_forms: ClassVar[tuple[Form, ...]] = ()

    def __init__(self, scoring: Scoring, params: Any) -> None:
        self.scoring, self.params = scoring, params

    @property
    def needs_gold(self) -> bool:
        """Whether it reads gold labels. A scorer that does not is audited against them if there are any."""
        return False

    @property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest objective, both finite; for an unbounded objective, values beyond any that occurs.

        Other optimizers are told the worse limit if an individual cannot be scored.
        """
        return UNBOUNDED

    @property
    def decomposable(self) -> bool:
        """Whether the objective is the mean of one bounded number per item, so that :meth:`item_terms` works."""
        return False

    def item_terms(self, evaluation: Evaluation, items: Sequence[Item], all_items: Sequence[Item]) -> ItemTerms:
        """Return the terms of the objective over all items, for the items that were evaluated.

        Args:
            evaluation: this scorer's evaluation on ``items``.
            items: some of the items.
            all_items: the items that the objective is the mean over.
        """
        raise NotImplementedError(f"{type(self).__name__} is not decomposable")

    def describe(self) -> dict[str, Any]:
        """Return the settings for the journal and for people: JSON values."""
        return {}

    def rewards(self, items: Sequence[Item], answers: Sequence[Sequence[str]]) -> Rewards:
        """Score several answers to each item; requests that this takes go to the unchanged model.

        Args:
            items: ``n``, at least one.
            answers: texts, labels or options: those to each item, in the order of ``items``, at least one each.

        Returns:
            ``n`` arrays, in the order of ``items``: one reward per answer, higher is better; NaN for an answer that
            cannot be scored.
        """
        raise NotImplementedError(f"{type(self).__name__} rewards no answers")

    @abstractmethod
    def dialogue(self, shown: Phenotype, items: Sequence[Item]) -> Dialogue:
        """Ask the model, and turn its answers into an evaluation.

        Args:
            shown: what the model sees of a genome: its prompt and its readout. The model's change, if any, is
                applied to the requests by the evaluator.
            items: what is scored, at least one.
        """


class MeanOfItems(Scorer):
    """Base of scorers whose objective is the mean of their per-item scores, which lie between ``limits``."""

    @property
    def decomposable(self) -> bool:
        """True."""
        return True

    def item_terms(self, evaluation: Evaluation, items: Sequence[Item], all_items: Sequence[Item]) -> ItemTerms:
        """Return the per-item scores."""
        return ItemTerms(evaluation.scores, *self.limits)


def flat(items: Sequence[Item], answers: Sequence[Sequence[str]]) -> tuple[list[Item], list[str]]:
    """Return items and answers one to one: each item once for each of its answers."""
    repeated = [item for item, own in zip(items, answers, strict=True) for _ in own]
    return repeated, [answer for own in answers for answer in own]


def grouped(scores: np.ndarray, answers: Sequence[Sequence[str]]) -> list[np.ndarray]:
    """Return the scores of :func:`flat` answers, those to each item in an array of their own."""
    return np.split(scores, np.cumsum([len(own) for own in answers])[:-1])


def is_scorer(kind: Any) -> TypeGuard[type[Scorer]]:
    """Return whether ``kind`` is a scorer's class; otherwise it is a function of an item and its answer."""
    return isinstance(kind, type) and issubclass(kind, Scorer)


def mean_or_nan(scores: np.ndarray, failures: Mapping[int, str]) -> float:
    """Return the mean of per-item scores, NaN if an item failed."""
    return float("nan") if failures else float(np.mean(scores))
