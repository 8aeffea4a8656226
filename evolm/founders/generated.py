"""Founders written from the task alone: its fields, its labels, the name of its target."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from evolm.tasks import KINDS

GENERIC = frozenset({"label", "target", "gold", "output", "response", "reference", "text", "y", "correct"})
LISTED_LABELS = 12  # an instruction that lists more labels is mostly labels
SHOWN = 4  # demonstrations of a founder that has some


def written_founders(
    kind: str,
    fields: Sequence[str],
    labels: Sequence[str] = (),
    target: str = "answer",
    demonstrations: tuple[int, int] = (0, 0),
) -> list[dict[str, Any]]:
    """Return founders' records, as a line of ``founders.jsonl`` has them.

    Every instruction stands alone first. If demonstrations can be shown, half as many founders with demonstrations
    follow: a third of all.

    Args:
        kind: a name in ``KINDS``, which gives the instructions.
        fields: names of the template's fields.
        labels: words of a classification task.
        target: name of a generated text, such as ``"summary"``.
        demonstrations: fewest and most that a founder may show.
    """
    thing = _enumerated([field.replace("_", " ") for field in fields], "and")
    choices = _enumerated(labels, "or")
    row = KINDS[kind]
    sentences = row.long_instructions if len(labels) > LISTED_LABELS and row.long_instructions else row.instructions
    texts = [text.format(thing=thing, labels=choices, target=target) for text in sentences]
    fewest, most = demonstrations
    shown = min(most, max(SHOWN, fewest + 1))
    alone = [_record(text, fewest) for text in texts]
    if shown <= fewest:
        return alone
    return alone + [_record(text, shown) for text in texts[: len(texts) // 2]]


def target_name(column: str) -> str:
    """Return the name of a generated text, from that of its column: ``"target_summary"`` -> ``"summary"``."""
    words = [word for word in re.findall(r"[^\W\d_]+", column.lower()) if word not in GENERIC]
    return " ".join(words) or "answer"


def _record(instruction: str, demonstrations: int) -> dict[str, Any]:
    return {"instruction": instruction} | ({"demonstrations": demonstrations} if demonstrations else {})


def _enumerated(words: Sequence[str], conjunction: str) -> str:
    """Return ``"a, b or c"``."""
    *most, last = words or ("",)
    return f"{', '.join(most)} {conjunction} {last}" if most else last
