"""Names that a room exports and imports on first use, so that a command loads only what it needs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_exports(room: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a room's ``__init__`` (PEP 562).

    The names also stand under ``TYPE_CHECKING`` in that ``__init__``, for type checkers and for readers.

    Args:
        room: ``__name__`` of the package.
        modules: exported name -> full name of the module that defines it.
    """

    def export(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        value = getattr(import_module(modules[name]), name)
        setattr(sys.modules[room], name, value)  # the next access does not come here
        return value

    return export
