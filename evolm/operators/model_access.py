"""Operators' access to the model, and to the one that writes, through engines that charge the search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from operator import add, sub
from typing import TYPE_CHECKING, Any

from evolm.config import SelfTrainingSection
from evolm.errors import DataError, Unanswerable
from evolm.evaluation.dialogue import hold
from evolm.models import (
    Cost,
    Dialogue,
    Generate,
    GradientRequest,
    GradientResult,
    ReadyRequest,
    Request,
    Result,
)
from evolm.models.deltas import Delta
from evolm.operators.goals import Reward, SupervisedLoss
from evolm.scorers import Scoring
from evolm.tasks import Item

if TYPE_CHECKING:
    from evolm.evaluation.engine import Engine


@dataclass(frozen=True)
class Writing(Generate):
    """A request to the model that writes for operators, which may be another one than the model that evolves."""


@dataclass(frozen=True)
class Spent:
    """What operators have spent, before caching and sharing; see :class:`evolm.models.Cost`.

    Attributes:
        tokens: of the model that evolves.
        writer_tokens: of another model that writes; 0 if there is none.
        generated, requests: of the model that evolves.
        writer_generated, writer_requests: of another model that writes.
    """

    tokens: int = 0
    writer_tokens: int = 0
    generated: int = 0
    requests: int = 0
    writer_generated: int = 0
    writer_requests: int = 0

    @classmethod
    def of(cls, model: Cost, writer: Cost) -> Spent:
        """Return what two models cost."""
        return cls(model.tokens, writer.tokens, model.generated, model.requests, writer.generated, writer.requests)

    def __add__(self, other: Spent) -> Spent:
        return Spent(*map(add, astuple(self), astuple(other)))

    def __sub__(self, other: Spent) -> Spent:
        return Spent(*map(sub, astuple(self), astuple(other)))


class ModelAccess:
    """The model, the task and the train items, as operators may use them.

    Args:
        engine: answers requests.
        scoring: the task, and the probabilities of its labels.
        train: items whose gold labels operators may see; empty if the search has none.
        writer: answers requests of the class :class:`Writing`; None = ``engine``.
        rows: all train items, whose gold operators must not read; None = ``train``.
        unlabelled: items without gold, for self-training.
        self_training: how their answers are picked.
        loss: what supervised learning minimises.
        reward: what a policy gradient maximises; None = no operator needs it.

    Attributes:
        nothing_learnt: why the last policy gradient taught nothing; ``""`` if it did. For messages alone.
    """

    def __init__(
        self,
        engine: Engine,
        scoring: Scoring,
        train: Sequence[Item],
        writer: Engine | None = None,
        *,
        rows: Sequence[Item] | None = None,
        unlabelled: Sequence[Item] = (),
        self_training: SelfTrainingSection = SelfTrainingSection(),
        loss: SupervisedLoss = SupervisedLoss(),
        reward: Reward | None = None,
    ) -> None:
        self.engine = engine
        self.scoring = scoring
        self.train = train
        self.writer = writer or engine
        self.rows = train if rows is None else rows
        self.unlabelled = pool_of(unlabelled, self_training.pool)
        self.self_training = self_training
        self.loss = loss
        self.reward = reward
        self.nothing_learnt = ""
        self._spent = Spent()

    def hold_dialogues(
        self, dialogues: Sequence[Dialogue[Result]], deltas: Sequence[Delta | None] = ()
    ) -> list[Result | None]:
        """Hold dialogues side by side, with one batch per round, and count their tokens.

        Args:
            dialogues: not started yet.
            deltas: the model's change for each dialogue; empty = requests name their own.

        Returns:
            The result of each dialogue, in order; None if it failed, because a request does not fit the model's
            context or the template fails on an item.

        Raises:
            Interrupted: if a stop was requested.
        """
        before = self._charged()
        outcomes = hold(dialogues, self.engine if self.writer is self.engine else _Correspondence(self), deltas)
        self._spent += self._charged() - before
        return [outcome.result for outcome in outcomes]

    def learn(self, requests: Sequence[GradientRequest]) -> list[GradientResult | None]:
        """Return the value and the gradient of every request, in order, and count their tokens.

        The result is None for a request that the model cannot be asked, such as one that does not fit its context.

        Raises:
            Interrupted: if a stop was requested.
        """
        before = self._charged()
        fits = [self._fits(request) for request in requests]
        fitting = [request for request, fit in zip(requests, fits, strict=True) if fit]
        results = iter(self.engine.learn(fitting) if fitting else [])
        self._spent += self._charged() - before
        return [next(results) if fit else None for fit in fits]

    def _fits(self, request: GradientRequest) -> bool:
        try:
            self.engine.tokenize(request.examples)
        except (Unanswerable, DataError):
            return False
        return True

    def _charged(self) -> Spent:
        """Return what both engines have charged since the run began."""
        written = Cost() if self.writer is self.engine else self.writer.usage.charged
        return Spent.of(self.engine.usage.charged, written)

    def spent(self) -> Spent:
        """Return what was charged since the last call."""
        spent, self._spent = self._spent, Spent()
        return spent


@dataclass(frozen=True)
class _ToWriter:
    """A request in the form in which the writer answers it."""

    request: ReadyRequest

    def cost(self, answer: Any) -> Cost:
        """Return what the request and its answer cost."""
        return self.request.cost(answer)


class _Correspondence:
    """Sends each request of a dialogue to the engine of its model."""

    def __init__(self, access: ModelAccess) -> None:
        self._model = access.engine
        self._writer = access.writer

    def tokenize(self, requests: Sequence[Request]) -> list[Any]:
        """Return the tokens of every request, each by its own model's tokenizer."""
        writing = [isinstance(request, Writing) for request in requests]
        asked, written = _parted(requests, writing)
        marked = [_ToWriter(each) for each in self._writer.tokenize(written)]
        return _rejoined(self._model.tokenize(asked), marked, writing)

    def answer_tokenized(self, requests: Sequence[Any]) -> list[Any]:
        """Return the answer to every request, in order."""
        writing = [isinstance(request, _ToWriter) for request in requests]
        asked, written = _parted(requests, writing)
        unmarked = [each.request for each in written]
        return _rejoined(self._model.answer_tokenized(asked), self._writer.answer_tokenized(unmarked), writing)


def _parted(values: Sequence[Any], second: Sequence[bool]) -> tuple[list[Any], list[Any]]:
    """Return the values that are not marked as second ones, and those that are."""
    marked = list(zip(values, second, strict=True))
    return [value for value, mark in marked if not mark], [value for value, mark in marked if mark]


def _rejoined(first: Sequence[Any], second: Sequence[Any], marks: Sequence[bool]) -> list[Any]:
    """Return the values of both in the order that :func:`_parted` was given them in."""
    parts = iter(first), iter(second)
    return [next(parts[mark]) for mark in marks]


def pool_of(unlabelled: Sequence[Item], most: int) -> tuple[Item, ...]:
    """Return unlabelled items in the order of their digests, which their content alone decides; 0 = all of them."""
    ranked = tuple(sorted(unlabelled, key=lambda item: item.digest))
    return ranked[:most] if most else ranked
