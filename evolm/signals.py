"""Signals that ask a program to end: Ctrl-C (SIGINT), SIGTERM and, where a terminal closes, SIGHUP.

SIGINT is a KeyboardInterrupt in every Python program. The command line lets the other two end it in the same way,
with their own exit codes; a program that imports evolm keeps its own handlers.
"""

from __future__ import annotations

import signal
from types import FrameType

ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Stopped(KeyboardInterrupt):
    """A signal other than Ctrl-C ends the command line.

    Attributes:
        number: the signal's.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def raise_stopped(number: int, frame: FrameType | None) -> None:
    """Handle a signal: unwind the stack, so that files, workers and locks are closed.

    Raises:
        Stopped: always.
    """
    raise Stopped(number)


def end_in_order() -> None:
    """Let SIGTERM and SIGHUP unwind this program; signals that are ignored, as under ``nohup``, stay ignored."""
    for number in set(ENDING) - {signal.SIGINT}:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, raise_stopped)


def is_ours(number: int) -> bool:
    """Return whether a campaign may handle a signal: Ctrl-C unless ignored, and what the command line handles."""
    handler = signal.getsignal(number)
    return handler is raise_stopped or (number == signal.SIGINT and handler is not signal.SIG_IGN)


def exit_code(error: BaseException) -> int:
    """Return the exit code of a program that an exception ends after a signal: 128 and the signal's number."""
    return 128 + getattr(error, "number", signal.SIGINT)


__all__ = ["ENDING", "Stopped", "end_in_order", "exit_code", "is_ours", "raise_stopped"]
