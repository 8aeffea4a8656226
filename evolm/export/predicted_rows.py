"""Rows with the answers of a saved prompt: every row that was read, in order, and columns under free names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import pandas as pd

from evolm.wording import counted, listed

PREFIX = "predicted"


@dataclass(frozen=True)
class PredictedRows:
    """Rows, and the answers to them.

    Attributes:
        rows: all rows that were read, with all of their columns.
        answers: name of a new column -> ``(n_rows,)`` cells, missing where there is no answer.
        unanswered: reason -> number of rows without an answer.
        taken: columns of the rows that have the names which the answers would have otherwise.
    """

    rows: pd.DataFrame
    answers: Mapping[str, np.ndarray]
    unanswered: Mapping[str, int]
    taken: Sequence[str] = ()

    @classmethod
    def of(
        cls, rows: pd.DataFrame, answers: Mapping[str, np.ndarray], unanswered: Mapping[str, int]
    ) -> PredictedRows:
        """Return rows and answers, these under names that no column of the rows has; see :func:`free_names`."""
        known = [str(column) for column in rows.columns]
        names = free_names(list(answers), known)
        columns = dict(zip(names, answers.values(), strict=True))
        return cls(rows, columns, unanswered, [name for name in answers if name in known])

    def frame(self) -> pd.DataFrame:
        """Return the rows with the answers beside their own columns."""
        return pd.concat([self.rows, pd.DataFrame(dict(self.answers), index=self.rows.index)], axis=1)

    @property
    def renamed(self) -> str:
        """A sentence on answers under other names than usual; ``""`` if they have their usual names."""
        if not self.taken:
            return ""
        return f"The rows have {_columns(self.taken)} of their own: predictions are in {listed(self.answers)}."

    @property
    def missing(self) -> str:
        """A sentence on the rows without an answer; ``""`` if all have one."""
        counts = [f"{counted(number, 'row')} without an answer: {why}" for why, number in self.unanswered.items()]
        return f"{'; '.join(counts)}." if counts else ""


def _columns(names: Sequence[str]) -> str:
    return f"{'a column' if len(names) == 1 else 'columns'} {listed(names)}"


def free_names(wanted: Sequence[str], known: Iterable[str]) -> list[str]:
    """Return the names of new columns: all as wanted, or all with a prefix if one of them is known.

    The prefix is ``predicted_``, then ``predicted_2_``, ``predicted_3_`` ..., the first with which all are free.
    """
    taken = set(known)
    for number in count():
        prefix = ("", f"{PREFIX}_")[number] if number < 2 else f"{PREFIX}_{number}_"
        names = [prefix + name for name in wanted]
        if taken.isdisjoint(names):
            return names
    raise AssertionError  # numbers never end


def spread(n_rows: int, places: Sequence[int], cells: Sequence[Any]) -> np.ndarray:
    """Return ``(n_rows,)`` cells: the given ones at ``places``, missing elsewhere."""
    return pd.Series(cells, index=places).reindex(range(n_rows)).to_numpy()
