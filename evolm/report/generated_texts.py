"""Generated texts of an open task on test items, beside their targets, with differing words marked."""

from __future__ import annotations

from dataclasses import dataclass

from evolm.report.differences import Piece, word_diff
from evolm.report.reading import RunRecord

SHOWN = 12  # test items


@dataclass(frozen=True)
class Written:
    """A generated text.

    Attributes:
        pieces: its words; those that are not in the target are marked ``"ins"``.
        value: the item's outcome by the task's metric.
    """

    pieces: list[Piece]
    value: float


@dataclass(frozen=True)
class WrittenItem:
    """A test item: its fields, its target and the generated texts; ``founder`` is None if the best is a founder."""

    fields: dict[str, str]
    target: str
    founder: Written | None
    best: Written


def written_items(record: RunRecord) -> list[WrittenItem]:
    """Return the first test items whose texts ``test.json`` holds; none for a task with closed answers."""
    outcomes = record.outcomes or {}
    predictions, values = outcomes.get("predictions") or {}, outcomes.get("outcomes") or {}
    inputs, targets = ((outcomes.get(key) or [])[:SHOWN] for key in ("inputs", "targets"))
    if "best" not in predictions:
        return []
    best, founder = ((record.result or {}).get(name) or {} for name in ("best", "founder"))
    same = "founder" not in predictions or best.get("digest") == founder.get("digest")

    def written(name: str, place: int) -> Written:
        return Written(word_diff(targets[place], predictions[name][place])[1], values[name][0][place])

    return [
        WrittenItem(fields, target, None if same else written("founder", place), written("best", place))
        for place, (fields, target) in enumerate(zip(inputs, targets, strict=True))
    ]
