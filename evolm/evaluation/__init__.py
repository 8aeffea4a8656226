"""Evaluation: from requests to answers, as fast as the hardware allows and always with the same bits.

The names are imported on first use: a worker needs only ``worker`` and ``plan``, and the engine brings torch, which
a command that only checks a campaign does without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evolm.lazy import lazy_exports

if TYPE_CHECKING:
    from evolm.evaluation.engine import Engine
    from evolm.evaluation.evaluator import Charge, Evaluator
    from evolm.evaluation.usage import Usage

__all__ = ["Charge", "Engine", "Evaluator", "Usage"]

__getattr__ = lazy_exports(
    __name__,
    {
        "Engine": "evolm.evaluation.engine",
        "Usage": "evolm.evaluation.usage",
        "Charge": "evolm.evaluation.evaluator",
        "Evaluator": "evolm.evaluation.evaluator",
    },
)
