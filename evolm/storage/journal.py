"""Append-only files of JSON lines: the journal and the timing file.

The journal's entries follow the order of asking and hold no clock, so an interrupted and resumed campaign writes the
same journal as an undisturbed one, byte for byte. A checkpoint holds the length of the journal; resuming cuts later
entries off and writes them again. A torn last line is not an entry yet.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evolm.errors import RunError
from evolm.storage.damage import damaged
from evolm.storage.files import disk_errors, flush_to_disk


class Journal:
    """Appends entries to a file of JSON lines.

    Args:
        path: the file; made if missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with disk_errors(path):
            self._stream = path.open("ab")

    @property
    def offset(self) -> int:
        """Bytes written so far."""
        return self._stream.tell()

    def append(self, entry: dict[str, Any]) -> None:
        """Append one entry."""
        line = json.dumps(entry, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        with disk_errors(self.path):
            self._stream.write(line.encode() + b"\n")
            self._stream.flush()

    def sync(self) -> None:
        """Wait until the disk has everything."""
        with disk_errors(self.path):
            flush_to_disk(self._stream.fileno())

    def truncate(self, offset: int) -> None:
        """Cut the file off at ``offset`` bytes."""
        with disk_errors(self.path):
            self._stream.truncate(offset)
            self._stream.seek(offset)

    def close(self) -> None:
        """Close the file."""
        with disk_errors(self.path):
            self._stream.close()


def read_entries(path: Path) -> Iterator[dict[str, Any]]:
    """Yield a journal's entries; a torn last line is left out.

    Raises:
        RunError: if the file cannot be read, or a whole line is no JSON object.
    """
    for entry, _ in read_placed(path):
        yield entry


def read_placed(path: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield a journal's entries, each with the number of bytes up to its end; see :func:`read_entries` for errors."""
    end = 0
    with damaged(path, "a journal"):
        stream = path.open("rb")
    with stream:
        for number, line in enumerate(stream, start=1):
            if not line.endswith(b"\n"):
                return
            end += len(line)
            yield _entry(path, number, line), end


def _entry(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        entry = None
    if not isinstance(entry, dict):
        raise RunError(f"{path}, line {number}: expected a JSON object, found {line[:40]!r}")
    return entry
