"""Kinds of tasks: what an answer is. A kind is one file and one row here."""

from __future__ import annotations

from evolm.tasks.kinds.base import CLOSED, EVERY_FORM, OPEN, Form, Kind
from evolm.tasks.kinds.choice import CHOICE
from evolm.tasks.kinds.classification import CLASSIFICATION, check_labels
from evolm.tasks.kinds.generation import GENERATION

KINDS: dict[str, Kind] = {kind.name: kind for kind in (CLASSIFICATION, CHOICE, GENERATION)}


def kinds_with(*forms: Form) -> list[str]:
    """Return the names of the kinds whose answers have one of ``forms``, in the order of ``KINDS``."""
    return [name for name, kind in KINDS.items() if kind.form in forms]


__all__ = ["CLOSED", "EVERY_FORM", "KINDS", "OPEN", "Form", "Kind", "check_labels", "kinds_with"]
