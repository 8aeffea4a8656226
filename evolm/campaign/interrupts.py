"""Ctrl-C: the first one ends the campaign after the current batch, the second one at once."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evolm.evaluation.engine import Engine

logger = logging.getLogger("evolm")


@contextmanager
def interruptible(engine: Engine) -> Iterator[None]:
    """Turn the first Ctrl-C into a request that the engine raises ``Interrupted`` after the current batch.

    In another thread than the main one, signals stay as they are.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def request_stop(number: int, frame: Any) -> None:
        engine.stop_requested = True
        logger.warning("Stopping after the current batch; press Ctrl-C again to stop at once.")
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, request_stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        engine.stop_requested = False
