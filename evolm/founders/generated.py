"""First founders written from nothing but what the task says: its fields, its labels, the name of its target."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

GENERIC = frozenset({"label", "target", "gold", "output", "response", "reference", "text", "y", "correct"})
LISTED_LABELS = 12  # an instruction that lists more labels is mostly labels
SHOWN = 4  # demonstrations of a founder that has some

# {thing} = the fields, {labels} = "ham or spam", {target} = what the answer is called.
_BY_LABELS = (
    "",
    "Classify the {thing} as {labels}.",
    "Read the {thing} and decide which label fits: {labels}.",
    "Every {thing} below belongs to one of these classes: {labels}. Name the class.",
    "Answer with one of {labels}, and nothing else.",
    "Decide: {labels}?",
)
_BY_MANY_LABELS = (
    "",
    "Classify the {thing}.",
    "Read the {thing} and name the class it belongs to.",
    "Every {thing} below is followed by its label.",
    "Answer with the label alone.",
)
_BY_OPTIONS = (
    "",
    "Choose the option that fits the {thing}.",
    "Read the {thing} and all of its options, then give the right one.",
    "Only one of the options is right. Which one?",
    "Every {thing} below is followed by its options and the right answer.",
    "Answer with the right option, and nothing else.",
)
_BY_TARGET = (
    "",
    "Write the {target} for the {thing}.",
    "Read the {thing}, then give the {target}.",
    "Every {thing} below is followed by its {target}.",
    "Given the {thing}, answer with the {target} alone and nothing else.",
    "Be exact and brief.",
)
WRITTEN: Mapping[str, Sequence[str]] = {
    "classification": _BY_LABELS,
    "choice": _BY_OPTIONS,
    "generation": _BY_TARGET,
}


def written_founders(
    kind: str,
    fields: Sequence[str],
    labels: Sequence[str] = (),
    target: str = "answer",
    demonstrations: tuple[int, int] = (0, 0),
) -> list[dict[str, Any]]:
    """Return founders' records, as a line of ``founders.jsonl`` has them.

    Every instruction stands alone first; where demonstrations can be shown, half as many follow that show some,
    so that a third of all do.

    Args:
        kind: kind of task.
        fields: names of the template's fields.
        labels: words of a classification task.
        target: what a generated text is called, such as ``"summary"``.
        demonstrations: fewest and most that a founder may show.
    """
    thing = _enumerated([field.replace("_", " ") for field in fields], "and")
    choices = _enumerated(labels, "or")
    sentences = _BY_MANY_LABELS if len(labels) > LISTED_LABELS else WRITTEN[kind]
    texts = [text.format(thing=thing, labels=choices, target=target) for text in sentences]
    fewest, most = demonstrations
    shown = min(most, max(SHOWN, fewest + 1))
    alone = [_record(text, fewest) for text in texts]
    if shown <= fewest:
        return alone
    return alone + [_record(text, shown) for text in texts[: len(texts) // 2]]


def target_name(column: str) -> str:
    """Return what a generated text is called, from its column's name: ``"target_summary"`` is a summary."""
    words = [word for word in re.findall(r"[^\W\d_]+", column.lower()) if word not in GENERIC]
    return " ".join(words) or "answer"


def _record(instruction: str, demonstrations: int) -> dict[str, Any]:
    return {"instruction": instruction} | ({"demonstrations": demonstrations} if demonstrations else {})


def _enumerated(words: Sequence[str], conjunction: str) -> str:
    """Return ``"a, b or c"``."""
    *most, last = words or ("",)
    return f"{', '.join(most)} {conjunction} {last}" if most else last
