"""Collapse: a model that gives one answer to everything, or repeats itself, and may be very sure of that.

Scores without gold labels can reward it: a model that always names one label agrees with itself. A search that sees
no gold therefore treats collapse as the violation of a constraint, by Deb's rules (:mod:`evolm.fitness`): an
individual that has collapsed loses to every other one, and is the best only if all have collapsed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

LARGEST: Final = "largest_share"  # measure: share of items with the answer that is given most often
REPEATED: Final = "repeated_share"  # measure: share of texts that repeat themselves
ONE_ANSWER = 0.97  # of the items: a larger share is a collapse
REPEATING = 0.5  # of the texts, likewise
FEWEST = 32  # items: on fewer, one answer to all may be right
WORDS = 8  # of a text, at least, before it can repeat itself


def text_measures(texts: Sequence[str]) -> dict[str, float]:
    """Return the measures of ``n`` generated texts; none if there are no texts.

    A text repeats itself if fewer than half of its pairs of neighbouring words are different ones.
    """
    if not texts:
        return {}
    known = [" ".join(text.split()).casefold() for text in texts]
    repeating = [
        len(set(pairs)) < len(pairs) / 2 for text in known if len(pairs := list(pairwise(text.split()))) >= WORDS
    ]
    return {LARGEST: max(Counter(known).values()) / len(known), REPEATED: sum(repeating) / len(known)}


def collapse_violation(measures: Mapping[str, float], items: int) -> float:
    """Return by how much answers exceed what is allowed; 0 = no collapse, or fewer than ``FEWEST`` items."""
    if items < FEWEST:
        return 0.0
    over = measures.get(LARGEST, 0.0) - ONE_ANSWER, measures.get(REPEATED, 0.0) - REPEATING
    return max(0.0, *over)


def about_collapse(measures: Mapping[str, float], items: int) -> str:
    """Return what a collapse consists of, as part of a sentence; ``""`` if there is none."""
    if not collapse_violation(measures, items):
        return ""
    if measures.get(LARGEST, 0.0) > ONE_ANSWER:
        return f"it gives one answer to {measures[LARGEST]:.0%} of the dev items"
    return f"{measures[REPEATED]:.0%} of its texts repeat themselves"
