"""Evaluation: how requests become answers, as fast as the hardware allows and always with the same bits.

What is named here is imported on first use: a worker needs only ``worker`` and ``plan``, and what it does not
import costs it no memory.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evolm.evaluation.engine import Engine, Usage
    from evolm.evaluation.evaluator import Charge, Evaluator

__all__ = ["Charge", "Engine", "Evaluator", "Usage"]

_PLACES = {"Engine": "engine", "Usage": "engine", "Charge": "evaluator", "Evaluator": "evaluator"}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'evolm.evaluation' has no attribute {name!r}")
    return getattr(import_module(f"evolm.evaluation.{_PLACES[name]}"), name)
