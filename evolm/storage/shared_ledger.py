"""A budget that several processes spend together (SQLite, write-ahead log).

What is to be evaluated is reserved first, in one transaction, so that no number of processes ever exceeds the budget.
What a killed process had reserved stays spent: nobody can know how far it came.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from evolm.errors import RunError
from evolm.storage.answers import connected

COUNTS = ("evaluations", "items", "tokens")


class SharedLedger:
    """Counts of what all processes have spent.

    Args:
        path: the database file, made if missing. The first to open it must have finished before others come.
        configuration: digest of what all of them must agree on.

    Raises:
        RunError: if the file cannot be opened, or processes with another configuration write to it.
    """

    def __init__(self, path: Path, configuration: str) -> None:
        self.path = path
        with self._errors():
            self._connection = connected(path)
            columns = ", ".join(f"{name} INTEGER NOT NULL" for name in COUNTS)
            self._connection.execute(f"CREATE TABLE IF NOT EXISTS ledger (configuration TEXT NOT NULL, {columns})")
            with self._writing():
                if self._connection.execute("SELECT COUNT(*) FROM ledger").fetchone() == (0,):
                    self._connection.execute("INSERT INTO ledger VALUES (?, 0, 0, 0)", (configuration,))
            (found,) = self._connection.execute("SELECT configuration FROM ledger").fetchone()
        if found != configuration:
            self.close()
            raise RunError(
                f"{path.parent}: processes that share a budget must have one configuration: expected {found}, "
                f"found {configuration}"
            )

    def counts(self) -> dict[str, int]:
        """Return what all processes have spent."""
        with self._errors():
            row = self._connection.execute(f"SELECT {', '.join(COUNTS)} FROM ledger").fetchone()
        return dict(zip(COUNTS, row, strict=True))

    def reserve(self, wanted: int, items_each: int, left: Callable[[Mapping[str, int]], int | None]) -> int:
        """Take up to ``wanted`` evaluations of what is left; return how many.

        Args:
            wanted: evaluations.
            items_each: items of one.
            left: from counts to the number of evaluations that they leave; None = no limit.
        """
        with self._errors(), self._writing():
            limit = left(self.counts())
            granted = wanted if limit is None else min(wanted, limit)
            self._add(granted, granted * items_each, 0)
        return granted

    def add_tokens(self, tokens: int) -> None:
        """Add what an evaluation turned out to cost."""
        with self._errors(), self._writing():
            self._add(0, 0, tokens)

    def _add(self, *amounts: int) -> None:
        terms = ", ".join(f"{name} = {name} + ?" for name in COUNTS)
        self._connection.execute(f"UPDATE ledger SET {terms}", amounts)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction; every other writer waits from its beginning to its end."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise RunError(f"{self.path}: the shared budget cannot be opened or written: {error}") from None

    def close(self) -> None:
        """Close the database."""
        self._connection.close()
