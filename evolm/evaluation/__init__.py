"""Evaluation: how requests become answers, as fast as the hardware allows and always with the same bits."""

from evolm.evaluation.engine import Engine, Usage
from evolm.evaluation.evaluator import Charge, Evaluator

__all__ = ["Charge", "Engine", "Evaluator", "Usage"]
