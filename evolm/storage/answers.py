"""The answer cache: the model's answers, not the scores computed from them (SQLite).

A key covers everything an answer depends on: the model's fingerprint, the numeric profile, the tokens and
the length of their prefix, the decoding of text. A value is an array's bytes: the float32 log-probabilities of all
continuations' tokens, one after another, or the int32 tokens of a generated text. SQLite fills the end of a file that
was cut off with zeros, so a checksum of key and value stands beside them; an answer that differs from it is unknown.
"""

from __future__ import annotations

import hashlib
import sqlite3
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from evolm.errors import RunError
from evolm.storage.database import Database

TABLE = "answers (key BLOB PRIMARY KEY, answer BLOB NOT NULL, checksum INTEGER) WITHOUT ROWID"
EARLIER = "answers (key BLOB PRIMARY KEY, answer BLOB NOT NULL) WITHOUT ROWID"
VARIABLES = 500  # SQLite allows at least 999 in one statement


class AnswerStore:
    """Answers by key; several processes may read and write.

    Args:
        path: the database file, made if missing; ``":memory:"`` keeps answers for this process only.

    Raises:
        RunError: if the file cannot be opened or is no database.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = path
        with self._errors():
            self._database = Database(path)
            self._connection = self._database.connection
            self._make_table()

    def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the stored answers among ``keys``: key -> the array's bytes; damaged ones are left out.

        Raises:
            RunError: if the file is damaged.
        """
        found: dict[bytes, bytes] = {}
        with self._errors():
            for begin in range(0, len(keys), VARIABLES):
                part = keys[begin : begin + VARIABLES]
                marks = ",".join("?" * len(part))
                rows = self._connection.execute(
                    f"SELECT key, answer, checksum FROM answers WHERE key IN ({marks})", part
                )
                found.update((row[0], row[1]) for row in rows if _is_whole(*row))
        return found

    def put(self, answers: Mapping[bytes, bytes]) -> None:
        """Store answers in one transaction.

        Raises:
            RunError: if the disk refuses, or the file is damaged.
        """
        with self._errors(), self._connection:
            self._connection.execute("BEGIN")
            self._connection.executemany(
                "INSERT OR REPLACE INTO answers (key, answer, checksum) VALUES (?, ?, ?)",
                [(key, answer, _checksum(key, answer)) for key, answer in answers.items()],
            )

    def _make_table(self) -> None:
        """Make the table if it is missing; one of an earlier version of evolm gets the column of checksums."""
        self._connection.execute(f"CREATE TABLE IF NOT EXISTS {TABLE}")
        self._database.require_only(f"CREATE TABLE {TABLE}", f"CREATE TABLE {EARLIER}")
        if self._has_checksums():
            return
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            if not self._has_checksums():  # another process may have been faster
                self._connection.execute("ALTER TABLE answers ADD COLUMN checksum INTEGER")

    def _has_checksums(self) -> bool:
        return any(column[1] == "checksum" for column in self._connection.execute("PRAGMA table_info(answers)"))

    def clear(self) -> None:
        """Remove all answers; errors as for :meth:`put`."""
        with self._errors():
            self._connection.execute("DELETE FROM answers")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn errors of the disk and of SQLite into a sentence, which says when the file may be deleted."""
        try:
            yield
        except (OSError, sqlite3.OperationalError) as error:
            raise RunError(f"{self._path}: the cache of answers cannot be opened or written: {error}") from None
        except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter from SQLite's own message
            raise RunError(
                f"{self._path}: expected a cache of answers, found a damaged file ({error}); delete it, and its "
                "answers will be computed again"
            ) from None

    def __len__(self) -> int:
        with self._errors():
            return int(self._connection.execute("SELECT COUNT(*) FROM answers").fetchone()[0])

    def close(self) -> None:
        """Close the database."""
        self._database.close()


def _checksum(key: bytes, answer: bytes) -> int:
    return zlib.crc32(answer, zlib.crc32(key))


def _is_whole(key: object, answer: object, checksum: int | None) -> bool:
    """Return whether a row is as it was written; rows of earlier versions of evolm have no checksum."""
    if not isinstance(key, bytes) or not isinstance(answer, bytes):
        return False
    return checksum is None or checksum == _checksum(key, answer)


def answer_key(
    scope: bytes, context: Sequence[int], cut: int, continuations: Sequence[Sequence[int]], decoding: str = ""
) -> bytes:
    """Return 20 bytes that identify an answer.

    Args:
        scope: digests of model and numeric profile, and of the delta if there is one.
        context: tokens of prefix and item.
        cut: length of the prefix in tokens; another cut changes the arithmetic.
        continuations: tokens of each continuation.
        decoding: settings of generated text, as JSON; ``""`` if no text is generated.
    """
    lengths = [len(context), cut, *map(len, continuations)]
    flat = np.array([len(lengths), *lengths, *context, *(t for c in continuations for t in c)], dtype="<i8")
    return hashlib.sha256(scope + flat.tobytes() + decoding.encode()).digest()[:20]
