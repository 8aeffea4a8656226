"""Kinds of tasks: what an answer is. A kind is one row here, and what is special about its rows one file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evolm.config import TaskSection
from evolm.errors import DataError
from evolm.tasks.items import LABEL, Answers, Row, no_gold
from evolm.tasks.labels import classification_answers
from evolm.tasks.options import choice_answers


@dataclass(frozen=True)
class Kind:
    """What sets a kind of task apart from the others.

    Attributes:
        name: what ``task.kind`` says.
        summary: what it is, for people.
        metric: the one that counts where ``task.metric`` is empty.
        ending: how a default item ends.
        labels: whether all rows share the words of ``task.labels``.
        options: whether each row brings its own options.
        answers: from ``[task]`` and all rows to labels and gold, see :class:`~evolm.tasks.items.Answers`.
    """

    name: str
    summary: str
    metric: str
    ending: str
    labels: bool
    options: bool
    answers: Callable[[TaskSection, Sequence[Row]], Answers]

    @property
    def open(self) -> bool:
        """Whether any text may be the answer, and several of them right."""
        return not self.labels and not self.options


def generation_answers(section: TaskSection, rows: Sequence[Row]) -> Answers:
    """Return the target text as gold; an empty one raises DataError, since it can be neither learned nor missed."""
    return Answers((), _target if LABEL in section.columns else no_gold)


def _target(row: Row) -> str:
    if not row.label:
        raise DataError(
            f"{row.source}: expected a target text, found an empty one in row {row.number}; "
            "task.exclude = '^$' drops such rows"
        )
    return row.label


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            name="classification",
            summary="The answer is one of a fixed set of labels.",
            metric="balanced_accuracy",
            ending="Label:",
            labels=True,
            options=False,
            answers=classification_answers,
        ),
        Kind(
            name="choice",
            summary="The answer is one of the options that each row brings.",
            metric="accuracy",
            ending="Answer:",
            labels=False,
            options=True,
            answers=choice_answers,
        ),
        Kind(
            name="generation",
            summary="The answer is a text that the model writes.",
            metric="chrf",
            ending="Answer:",
            labels=False,
            options=False,
            answers=generation_answers,
        ),
    )
}
