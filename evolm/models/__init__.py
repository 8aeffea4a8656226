"""Language models: where they come from, how text becomes tokens, how many prompts pass in one forward."""

from evolm.models.language_model import Answer, LanguageModel, LogLikelihood, TokenizedRequest
from evolm.models.loading import PreparedModel, prepare
from evolm.models.profile import NumericProfile

__all__ = [
    "Answer",
    "LanguageModel",
    "LogLikelihood",
    "NumericProfile",
    "PreparedModel",
    "TokenizedRequest",
    "prepare",
]
