"""What a generation task's prompts wrote on test: text beside its target, words that differ marked."""

from __future__ import annotations

from dataclasses import dataclass

from evolm.report.differences import Piece, word_diff
from evolm.report.reading import RunRecord


@dataclass(frozen=True)
class Written:
    """A text; words that its target has not are marked ``"ins"``; ``value`` is what the metric makes of it."""

    pieces: list[Piece]
    value: float


@dataclass(frozen=True)
class WrittenItem:
    """A test item: its fields, its target, and what was written; ``founder`` is None where it is the best."""

    fields: dict[str, str]
    target: str
    founder: Written | None
    best: Written


def written_items(record: RunRecord) -> list[WrittenItem]:
    """The test items whose texts ``test.json`` holds, in its order; none for tasks that write nothing."""
    outcomes = record.outcomes or {}
    predictions, values = outcomes.get("predictions") or {}, outcomes.get("outcomes") or {}
    inputs, targets = outcomes.get("inputs") or [], outcomes.get("targets") or []
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
