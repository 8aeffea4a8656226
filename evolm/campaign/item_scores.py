"""Per-item scores of all individuals of a search, dropped ones included: written to the journal and read back.

They are kept in the journal, not in checkpoints, since an Objective has none and since a checkpoint that holds all
individuals would be written anew after every generation; and not read again from the answer store, since fits of
readouts would be repeated and a run must end alike when its store was deleted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evolm.individual import is_founder
from evolm.storage import read_entries

ITEM_SCORES = "item_scores"  # of the journal's entry of an individual
DIGITS = 4  # significant ones: far finer than the noise of an item


@dataclass(frozen=True)
class ItemScores:
    """Scores of a search's individuals on dev items, each genome once.

    Attributes:
        digests: of ``n`` genomes, in the order in which they were first asked.
        founders: ``n`` times whether it is a founder's.
        values: ``(n, items)`` scores; NaN for items on which an individual was not scored.
    """

    digests: tuple[str, ...]
    founders: tuple[bool, ...]
    values: np.ndarray


def scores_record(terms: np.ndarray | None) -> list[float | int | None] | None:
    """Return ``(items,)`` scores as JSON values, None for NaN; None without scores."""
    return None if terms is None else [_number(float(term)) for term in terms]


def _number(term: float) -> float | int | None:
    if np.isnan(term):
        return None
    rounded = float(f"{term:.{DIGITS}g}")
    return int(rounded) if rounded.is_integer() else rounded


def read_item_scores(journal: Path, search: str) -> ItemScores:
    """Return the scores of a search's individuals from the journal; of those with equal genomes the first's."""
    known: dict[str, dict[str, Any]] = {}
    for entry in read_entries(journal):
        if entry.get("type") == "individual" and entry.get("search") == search and entry.get(ITEM_SCORES):
            known.setdefault(entry["digest"], entry)
    values = [np.array(entry[ITEM_SCORES], dtype=np.float64) for entry in known.values()]  # None becomes NaN
    founders = tuple(is_founder(entry["parents"], entry["operators"]) for entry in known.values())
    return ItemScores(tuple(known), founders, np.stack(values) if values else np.empty((0, 0)))
