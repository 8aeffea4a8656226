"""Signals that ask to stop: the first one ends the campaign after the current batch, the second one at once."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from evolm.signals import ENDING, is_ours

if TYPE_CHECKING:
    from evolm.evaluation.engine import Engine

logger = logging.getLogger("evolm")


@contextmanager
def interruptible(engine: Engine) -> Iterator[None]:
    """Turn the first signal into a request that the engine raises ``Interrupted`` after the current batch.

    Ctrl-C is handled in every program, SIGTERM and SIGHUP on the command line only; see :mod:`evolm.signals`. In
    another thread than the main one, signals stay as they are.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def request_stop(number: int, frame: FrameType | None) -> None:
        engine.stop_signal = number
        again = "press Ctrl-C again" if number == signal.SIGINT else "send the signal again"
        logger.warning("Stopping after the current batch; %s to stop at once.", again)
        restore()

    def restore() -> None:
        for each, handler in before.items():
            signal.signal(each, handler)

    before = {number: signal.getsignal(number) for number in ENDING if is_ours(number)}
    try:
        for number in before:
            signal.signal(number, request_stop)
        yield
    finally:
        restore()
        engine.stop_signal = None
