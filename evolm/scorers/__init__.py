"""Scorers: what the model's answers are worth. A scorer is one file and one row here."""

from __future__ import annotations

from typing import Any

from evolm.scorers.base import Evaluation, Scorer
from evolm.scorers.function import FunctionScorer
from evolm.scorers.likelihood import LabelLikelihood

SCORERS: dict[str, Any] = {
    "label_likelihood": LabelLikelihood,
}

__all__ = ["SCORERS", "Evaluation", "FunctionScorer", "LabelLikelihood", "Scorer"]
