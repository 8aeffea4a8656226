"""Stopwatches around functions and methods: how long they took in all, outermost calls only."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any
from unittest.mock import patch


class Clock:
    """Seconds between entering and leaving; a nested entry counts as part of the outer one.

    Attributes:
        laps: seconds of each outermost entry, in order.
    """

    def __init__(self) -> None:
        self.laps: list[float] = []
        self._depth = 0
        self._began = 0.0

    @property
    def seconds(self) -> float:
        """Of all entries."""
        return sum(self.laps)

    def __enter__(self) -> None:
        if not self._depth:
            self._began = time.perf_counter()
        self._depth += 1

    def __exit__(self, *exception: object) -> None:
        self._depth -= 1
        if not self._depth:
            self.laps.append(time.perf_counter() - self._began)

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that is timed."""

        @wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            with self:
                return function(*arguments, **named)

        return timed


@contextmanager
def clocked(*places: tuple[Any, str]) -> Iterator[Clock]:
    """Time some functions while the context lasts, all by one clock.

    Args:
        places: a class or module, and the function's name in it.
    """
    clock = Clock()
    with ExitStack() as stack:
        for owner, name in places:
            stack.enter_context(patch.object(owner, name, clock.around(getattr(owner, name))))
        yield clock
