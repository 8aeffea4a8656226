"""Scorers turn the model's answers into fitness. A scorer is one file and one row here."""

from __future__ import annotations

from typing import Any

from evolm.scorers.base import (
    Dialogue,
    Evaluation,
    ItemTerms,
    MeanOfItems,
    Scorer,
    Scoring,
    Weighted,
    is_scorer,
    mean_or_nan,
)
from evolm.scorers.function import FunctionParams, FunctionScorer
from evolm.scorers.generation import Chrf, ExactMatch, RougeL, TextScorer, TokenF1, generate_texts
from evolm.scorers.labels import LabelProbabilities
from evolm.scorers.likelihood import LabelLikelihood, Margin
from evolm.scorers.mutual_information import MutualInformation
from evolm.scorers.p_true import PTrue
from evolm.scorers.perplexity import Perplexity
from evolm.scorers.prompt_length import PromptLength
from evolm.scorers.quality import Diversity, Fluency, Relevance
from evolm.scorers.self_consistency import SelfConsistency

SCORERS: dict[str, Any] = {
    "label_likelihood": LabelLikelihood,
    "margin": Margin,
    "mutual_information": MutualInformation,
    "self_consistency": SelfConsistency,
    "p_true": PTrue,
    "perplexity": Perplexity,
    "exact_match": ExactMatch,
    "chrf": Chrf,
    "token_f1": TokenF1,
    "rouge_l": RougeL,
    "fluency": Fluency,
    "relevance": Relevance,
    "diversity": Diversity,
    "prompt_length": PromptLength,
}

__all__ = [
    "SCORERS",
    "Dialogue",
    "Evaluation",
    "FunctionParams",
    "FunctionScorer",
    "ItemTerms",
    "LabelLikelihood",
    "LabelProbabilities",
    "MeanOfItems",
    "Scorer",
    "Scoring",
    "TextScorer",
    "Weighted",
    "generate_texts",
    "is_scorer",
    "mean_or_nan",
]
