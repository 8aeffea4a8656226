"""Signals that ask to stop: the first one ends the work after the current batch, the second one at once."""

from __future__ import annotations

import _thread
import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

from evolm.signals import ENDING, is_ours

logger = logging.getLogger("evolm")


class Stoppable(Protocol):
    """What looks at ``stop_signal``, the number of the signal that asked to stop, after each batch."""

    stop_signal: int | None


@contextmanager
def interruptible(worker: Stoppable, grace: float | None = None) -> Iterator[None]:
    """Turn the first signal into a request that the worker raises ``Interrupted`` after the current batch.

    Ctrl-C is handled in every program, SIGTERM and SIGHUP on the command line only; see :mod:`evolm.signals`. In
    another thread than the main one, signals stay as they are.

    Args:
        worker: stops after a batch.
        grace: seconds after the first signal at which it is sent again; None = never.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def request_stop(number: int, frame: FrameType | None) -> None:
        worker.stop_signal = number
        again = "press Ctrl-C again" if number == signal.SIGINT else "send the signal again"
        logger.warning("Stopping after the current batch; %s to stop at once.", again)
        restore()
        if grace is not None:
            timer = threading.Timer(grace, _send, [number])
            timer.daemon = True
            timers.append(timer)
            timer.start()

    def restore() -> None:
        for each, handler in before.items():
            signal.signal(each, handler)

    timers: list[threading.Timer] = []
    before = {number: signal.getsignal(number) for number in ENDING if is_ours(number)}
    try:
        for number in before:
            signal.signal(number, request_stop)
        yield
    finally:
        for timer in timers:
            timer.cancel()
        restore()
        worker.stop_signal = None


def _send(number: int) -> None:
    """Send the main thread a signal from another thread, also on Windows, where threads get none."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:
        _thread.interrupt_main(signal.Signals(number))
