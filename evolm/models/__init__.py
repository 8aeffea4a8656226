"""Language models: where they come from, how text becomes tokens, how many prompts pass in one forward."""

from evolm.models.language_model import LanguageModel
from evolm.models.loading import PreparedModel, prepare
from evolm.models.profile import NumericProfile, PassSettings
from evolm.models.requests import (
    Answer,
    Decoding,
    Dialogue,
    Generate,
    Generated,
    GradientRequest,
    GradientResult,
    LogLikelihood,
    LogProbs,
    Request,
    Result,
    Tokenized,
    TokenizedGeneration,
    TokenizedGradient,
    TokenizedRequest,
    charge,
)

__all__ = [
    "Answer",
    "Decoding",
    "Dialogue",
    "Generate",
    "Generated",
    "GradientRequest",
    "GradientResult",
    "LanguageModel",
    "LogLikelihood",
    "LogProbs",
    "NumericProfile",
    "PassSettings",
    "PreparedModel",
    "Request",
    "Result",
    "Tokenized",
    "TokenizedGeneration",
    "TokenizedGradient",
    "TokenizedRequest",
    "charge",
    "prepare",
]
