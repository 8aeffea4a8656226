"""Methods of objects that several threads may call, run by one thread at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from threading import RLock
from typing import Concatenate, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Lockable(Protocol):
    """An object with a re-entrant lock, so that its methods may call each other."""

    @property
    def lock(self) -> RLock: ...


L = TypeVar("L", bound=Lockable)


def one_at_a_time(method: Callable[Concatenate[L, P], R]) -> Callable[Concatenate[L, P], R]:
    """Make a method wait until no other thread runs a method that holds its object's ``lock``."""

    @wraps(method)
    def waiting(self: L, *args: P.args, **kwargs: P.kwargs) -> R:
        with self.lock:
            return method(self, *args, **kwargs)

    return waiting
