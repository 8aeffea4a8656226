"""Small pieces of sentences for notes and errors."""

from __future__ import annotations

from collections.abc import Iterable


def counted(number: int, noun: str) -> str:
    """Return ``"1 row"`` or ``"2 rows"``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def listed(names: Iterable[object], most: int = 12) -> str:
    """Return ``"'a', 'b'"``, cut after ``most`` names, or ``"none"``."""
    known = [repr(str(name)) for name in names]
    shown = ", ".join(known[:most]) or "none"
    return shown if len(known) <= most else f"{shown} and {len(known) - most} more"


def headline(docstring: str | None) -> str:
    """Return the first line of a docstring."""
    return (docstring or "").strip().partition("\n")[0]
