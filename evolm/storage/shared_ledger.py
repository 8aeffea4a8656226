"""A budget that several processes spend together (SQLite).

Evaluations are reserved before they are made, in one transaction, so that the processes never exceed the budget
together. Evaluations that a killed process had reserved stay charged: how many of them it made is unknown.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from evolm.errors import RunError
from evolm.storage.database import Database

COUNTS = ("evaluations", "items", "tokens")


class SharedLedger:
    """Counts of the evaluations, items and tokens that all processes have spent.

    Args:
        path: the database file, made if missing. The first process must have opened it before others do.
        configuration: digest of the configuration, which must be the same in all processes.

    Raises:
        RunError: if the file cannot be opened, or processes with another configuration write to it.
    """

    def __init__(self, path: Path, configuration: str) -> None:
        self.path = path
        with self._errors():
            self._database = Database(path)
            self._connection = self._database.connection
            columns = ", ".join(f"{name} INTEGER NOT NULL" for name in COUNTS)
            table = f"ledger (configuration TEXT NOT NULL, {columns})"
            self._connection.execute(f"CREATE TABLE IF NOT EXISTS {table}")
            self._database.require_only(f"CREATE TABLE {table}")
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
        """Return the amounts that all processes have spent, by the names of ``COUNTS``."""
        with self._errors():
            row = self._connection.execute(f"SELECT {', '.join(COUNTS)} FROM ledger").fetchone()
        return dict(zip(COUNTS, row, strict=True))

    def reserve(self, wanted: int, items_each: int, left: Callable[[Mapping[str, int]], int | None]) -> int:
        """Reserve up to ``wanted`` of the evaluations that are left; return how many.

        Args:
            wanted: evaluations.
            items_each: items of one evaluation.
            left: returns the number of evaluations that given counts leave; None = no limit.
        """
        with self._errors(), self._writing():
            limit = left(self.counts())
            granted = wanted if limit is None else min(wanted, limit)
            self._add(granted, granted * items_each, 0)
        return granted

    def add_tokens(self, tokens: int) -> None:
        """Charge the tokens of evaluations, known only after they were made."""
        with self._errors(), self._writing():
            self._add(0, 0, tokens)

    def _add(self, *amounts: int) -> None:
        terms = ", ".join(f"{name} = {name} + ?" for name in COUNTS)
        self._connection.execute(f"UPDATE ledger SET {terms}", amounts)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Open a transaction; other writers wait until its end."""
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
        except (OSError, sqlite3.Error) as error:
            raise RunError(f"{self.path}: the shared budget cannot be opened or written: {error}") from None

    def close(self) -> None:
        """Close the database."""
        self._database.close()
