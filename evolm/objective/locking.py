"""One thread at a time: methods of objects that several threads may call."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from threading import RLock
from typing import Concatenate, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Lockable(Protocol):
    """What has a lock that its methods may take again while they have it."""

    @property
    def lock(self) -> RLock: ...


L = TypeVar("L", bound=Lockable)


def one_at_a_time(method: Callable[Concatenate[L, P], R]) -> Callable[Concatenate[L, P], R]:
    """Let a method wait until no other thread is in any method that shares its object's ``lock``."""

    @wraps(method)
    def waiting(self: L, *args: P.args, **kwargs: P.kwargs) -> R:
        with self.lock:
            return method(self, *args, **kwargs)

    return waiting
