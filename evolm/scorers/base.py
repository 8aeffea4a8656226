"""The seam between answers and fitness.

A scorer holds a *dialogue* with the model about a genome and some items: a generator that yields requests, is
sent their answers, may ask again, and returns an :class:`Evaluation`. The evaluator drives the dialogues of all
scorers and genomes side by side, a round of all of them in one batch. The contract:

- higher is better, for per-item scores and objectives alike;
- what is asked follows from genome, items and earlier answers alone; equal requests of several scorers are asked
  and charged once;
- an item that cannot be scored gets NaN and a reason in ``failures``; the individual is then invalid, the
  campaign goes on. What makes every item fail (a missing model, a missing file) raises;
- neither genome nor items are changed.

Where an objective is the mean of one bounded number per item, a scorer says so by its ``parts``: racing judges
genomes on some of the items by them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from pydantic import Field

from evolm.config import Section
from evolm.models import Decoding, LanguageModel, Request
from evolm.tasks import EVERY_FORM, Form, Item, Task

if TYPE_CHECKING:
    from evolm.scorers.labels import LabelProbabilities

FLOOR = -12.0  # nats; keeps one hopeless item from deciding a mean
UNKNOWN = (-1e6, 1e6)  # stands for the limits of an objective that has none


@dataclass(frozen=True)
class Evaluation:
    """What a scorer says about one genome on ``n`` items.

    Attributes:
        scores: ``(n,)`` per-item scores; NaN where the item failed.
        objective: what the campaign maximises; NaN if any item failed.
        outcomes: ``(n,)`` what the task's metric is computed from: label indices (-1 = none), or values of generated
            texts; None from a scorer that predicts nothing.
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


Dialogue: TypeAlias = Generator[Sequence[Request], list[Any], Evaluation]


@dataclass(frozen=True)
class ItemTerms:
    """An objective over all items as the mean of one number per item, as far as items were evaluated.

    Attributes:
        values: ``(n,)`` numbers of the items that were, in their order.
        lowest, highest: between them lies every item's number for this genome, evaluated or not.
    """

    values: np.ndarray
    lowest: float
    highest: float

    def weighted(self, weight: float) -> ItemTerms:
        """Return the parts of the objective times ``weight``."""
        ends = weight * self.lowest, weight * self.highest
        return ItemTerms(weight * self.values, min(ends), max(ends))

    def __add__(self, other: ItemTerms) -> ItemTerms:
        return ItemTerms(self.values + other.values, self.lowest + other.lowest, self.highest + other.highest)


# (what a scorer says about some items, these items, all items) -> parts of the objective over all items
PartsOf: TypeAlias = Callable[[Evaluation, Sequence[Item], Sequence[Item]], ItemTerms]


def scores_within(lowest: float, highest: float) -> PartsOf:
    """Return the parts of a scorer whose objective is the mean of its per-item scores, which lie in a range."""
    return lambda evaluation, items, everything: ItemTerms(evaluation.scores, lowest, highest)


@dataclass(frozen=True)
class Scoring:
    """What scorers are made from.

    Attributes:
        task: items, labels, template and metric.
        model: for its tokenizer; answers come through the dialogue.
        labels: the model's probabilities of labels or options; None for a generation task.
        decoding: how text is written, greedy unless a scorer samples.
        prompt_tokens: genome -> tokens of its prompt, item excluded.
    """

    task: Task
    model: LanguageModel
    labels: LabelProbabilities | None
    decoding: Decoding
    prompt_tokens: Callable[[Any], int]


class Weighted(Section):
    """Parameters that every scorer has."""

    weight: float = Field(1.0, description="factor of the objective in a sum, or of its axis on a Pareto front")


class Scorer(Protocol):
    """See the module's contract.

    Attributes:
        Params: the scorer's table in ``[scorers]``.
        forms: forms of answers that it can score; a scorer from outside that lacks the attribute can score all.
        needs_gold: whether it reads gold labels; those that don't are audited against them where there are any.
        parts: how its evaluations fall into numbers of single items; None where they don't. A scorer from outside
            that lacks the attribute says None (see :func:`item_terms_of`).
        limits: lowest and highest objective, both finite; of one that has no limits, numbers as far out as any that
            is met. What cannot be scored is told to other optimizers as the worse of them. A scorer from outside
            that lacks the attribute says :data:`UNKNOWN` (see :func:`limits_of`).
    """

    @property
    def Params(self) -> Any: ...

    @property
    def forms(self) -> tuple[Form, ...]: ...

    @property
    def needs_gold(self) -> bool: ...

    def describe(self) -> dict[str, Any]:
        """Return settings for the journal and for people."""

    def dialogue(self, genome: Any, items: Sequence[Item]) -> Dialogue:
        """Ask, and turn answers into an evaluation."""


def forms_of(scorer: Any) -> tuple[Form, ...]:
    """Return the forms of answers that a scorer, or its class, can score."""
    return getattr(scorer, "forms", EVERY_FORM)


def item_terms_of(scorer: Scorer) -> PartsOf | None:
    """Return a scorer's ``parts``."""
    return getattr(scorer, "parts", None)


def limits_of(scorer: Scorer) -> tuple[float, float]:
    """Return a scorer's ``limits``."""
    lowest, highest = getattr(scorer, "limits", UNKNOWN)
    return float(lowest), float(highest)


def mean_or_nan(scores: np.ndarray, failures: Mapping[int, str]) -> float:
    """Return the mean of per-item scores, NaN if an item failed."""
    return float("nan") if failures else float(np.mean(scores))
