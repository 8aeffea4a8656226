"""Generation: the model writes the answer."""

from __future__ import annotations

from collections.abc import Sequence

from evolm.config import TaskSection
from evolm.errors import DataError
from evolm.tasks.items import LABEL, Answers, Row, no_gold
from evolm.tasks.kinds.base import Form, Kind


def generation_answers(section: TaskSection, rows: Sequence[Row]) -> Answers:
    """Return the target text as gold; an empty target raises DataError: it can be neither learned nor missed."""
    return Answers((), _target if LABEL in section.columns else no_gold)


def _target(row: Row) -> str:
    if not row.label:
        raise DataError(
            f"{row.source}: expected a target text, found an empty one in row {row.number}; "
            "task.exclude = '^$' drops such rows"
        )
    return row.label


GENERATION = Kind(
    name="generation",
    summary="The answer is a text that the model writes.",
    form=Form.TEXT,
    metric="chrf",
    scorer="",
    unlabelled_scorer="self_consistency",
    normalization="",
    ending="Answer:",
    instructions=(
        "",
        "Write the {target} for the {thing}.",
        "Read the {thing}, then give the {target}.",
        "Every {thing} below is followed by its {target}.",
        "Given the {thing}, answer with the {target} alone and nothing else.",
        "Be exact and brief.",
    ),
    answers=generation_answers,
)
