"""What sets one kind of task apart from the others; everything that a kind needs stands in its row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from evolm.config import TaskSection
from evolm.tasks.items import Answers, Row


class Form(StrEnum):
    """The form of a task's answers: metrics and scorers say which forms they fit, never which kinds.

    Attributes:
        LABELS: one of the words that all rows share.
        OPTIONS: one of the options that the row brings.
        TEXT: any text; several texts may be right.
    """

    LABELS = "labels"
    OPTIONS = "options"
    TEXT = "text"


CLOSED = (Form.LABELS, Form.OPTIONS)  # the answer is one of a few given ones
OPEN = (Form.TEXT,)
EVERY_FORM = (*CLOSED, *OPEN)


@dataclass(frozen=True)
class Kind:
    """A kind of task.

    Attributes:
        name: the value of ``task.kind``.
        summary: one sentence for users: what the answer is.
        form: the form of the answers.
        metric: the metric if ``task.metric`` is empty.
        scorer: the scorer whose score is the task's metric, which a campaign without ``[scorers]`` uses; empty = the
            scorer that is named like the task's metric.
        unlabelled_scorer: the scorer that ``evolm init`` writes for a task without gold labels.
        normalization: the normalization of answers' log-probabilities that ``"auto"`` chooses if answers differ in
            their number of tokens; unused for open kinds.
        ending: the end of a default item, after which the model answers.
        instructions: instructions of generated founders. ``{thing}`` stands for the task's fields, ``{labels}`` for
            its labels ("ham or spam"), ``{target}`` for the name of its answer.
        long_instructions: the same for a task with more labels than an instruction can list; empty = as above.
        answers: function of ``[task]`` and all rows that returns labels and gold, see
            :class:`~evolm.tasks.items.Answers`.
    """

    name: str
    summary: str
    form: Form
    metric: str
    scorer: str
    unlabelled_scorer: str
    normalization: str
    ending: str
    instructions: Sequence[str]
    answers: Callable[[TaskSection, Sequence[Row]], Answers]
    long_instructions: Sequence[str] = ()

    @property
    def labels(self) -> bool:
        """Whether all rows share the words of ``task.labels``."""
        return self.form is Form.LABELS

    @property
    def options(self) -> bool:
        """Whether each row brings its own options."""
        return self.form is Form.OPTIONS

    @property
    def open(self) -> bool:
        """Whether any text may be the answer, and several texts may be right."""
        return self.form in OPEN

    def task_scorer(self, metric: str) -> str:
        """Return the name of the scorer whose score is the task's ``metric``."""
        return self.scorer or metric
