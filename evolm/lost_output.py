"""Standard output that is closed or full: the work goes on to its end, and the exit code says that output was lost.

A pipe is closed by its reader, as in ``evolm report DIR | head -1``. A run that prints its progress into a closed
pipe or onto a full disk is worth more than its progress, and its results are in its directory.
"""

from __future__ import annotations

import io
import sys
from typing import Any

BROKEN_PIPE = 141  # as shells count a process that SIGPIPE (13) ended: 128 + 13


class TolerantStream(io.RawIOBase):
    """Passes bytes on until a write fails, and drops them from then on.

    Args:
        raw: the stream.
        owner: the text stream that closes ``raw`` when nothing refers to it any more.

    Attributes:
        error: why the first write failed; None if none did.
    """

    def __init__(self, raw: Any, owner: Any) -> None:
        super().__init__()
        self._raw, self._owner = raw, owner
        self.error: OSError | None = None

    def write(self, data: Any) -> int | None:
        """Write, or drop; return the number of bytes."""
        if self.error is None:
            try:
                written: int | None = self._raw.write(data)
                return written
            except OSError as error:
                self.error = error
        return len(data)

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the stream's file descriptor."""
        number: int = self._raw.fileno()
        return number

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        return bool(self._raw.isatty())


def tolerate_lost_output() -> TolerantStream | None:
    """Let writes to this process's standard output and error never fail.

    Returns:
        The stream below standard output, which knows whether output was lost; None if there is none.
    """
    sys.stderr, _ = _tolerant(sys.stderr)
    sys.stdout, below = _tolerant(sys.stdout)
    return below


def _tolerant(stream: Any) -> tuple[Any, TolerantStream | None]:
    """Return a text stream over a tolerant one; what is no real file is returned as it is."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream, None
    stream.flush()
    below = TolerantStream(getattr(stream.buffer, "raw", stream.buffer), stream)
    wrapped = io.TextIOWrapper(
        io.BufferedWriter(below),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
    return wrapped, below


def lost(below: TolerantStream | None) -> tuple[int, str]:
    """Return the exit code for output that was lost, 0 if none was, and a sentence, ``""`` if the reader left."""
    if below is None:
        return 0, ""
    sys.stdout.flush()
    if below.error is None:
        return 0, ""
    if isinstance(below.error, BrokenPipeError):
        return BROKEN_PIPE, ""
    return 2, f"standard output: cannot be written: {below.error.strerror or below.error}"
