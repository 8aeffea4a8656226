"""Labels that are different texts but look, or mean, the same."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from evolm.tasks.items import normalised
from evolm.wording import listed, truth_word

_TRUTHS = {truth_word(value): f"{float(value)}" for value in (False, True)}


def lookalikes(labels: Sequence[str]) -> list[str]:
    """Return a sentence for each group of labels that differ only in case, width, invisible characters or spelling.

    Numbers are compared by value, and ``false`` and ``true`` are 0 and 1.
    """
    groups: dict[str, list[str]] = {}
    for label in labels:
        groups.setdefault(_seen(label), []).append(label)
    return [
        f"labels {listed(group)} look alike but are different; if they are meant to be one, write them in "
        "task.labels with one word"
        for group in groups.values()
        if len(group) > 1
    ]


def _seen(label: str) -> str:
    """Return what is left of a label without everything that a reader does not see."""
    visible = "".join(
        letter for letter in unicodedata.normalize("NFKC", label) if unicodedata.category(letter) != "Cf"
    )
    text = normalised(visible)
    try:
        return f"{float(_TRUTHS.get(text, text))}"
    except ValueError:
        return text
