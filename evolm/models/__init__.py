"""Language models: loading, tokenising, and packed forward passes of many requests.

Names that need torch and transformers, which take seconds to import, are imported on first use. A module that must
not load them at import writes ``models.prepare(...)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evolm.lazy import lazy_exports
from evolm.models.requests import (
    Answer,
    Cost,
    Decoding,
    Dialogue,
    Generate,
    Generated,
    GradientRequest,
    GradientResult,
    Hidden,
    LogLikelihood,
    LogProbs,
    ReadyRequest,
    Request,
    Result,
    States,
    Tokenized,
    TokenizedGeneration,
    TokenizedGradient,
    TokenizedRequest,
    TokenizedStates,
    TokenLikelihood,
)
from evolm.models.specs import ModelSpec, PassSettings, PreparedModel

if TYPE_CHECKING:
    from evolm.models.contract import Model, require_local
    from evolm.models.language_model import LanguageModel, describe_tokens
    from evolm.models.loading import prepare
    from evolm.models.profile import NumericProfile

__all__ = [
    "Answer",
    "Cost",
    "Decoding",
    "Dialogue",
    "Generate",
    "Generated",
    "GradientRequest",
    "GradientResult",
    "Hidden",
    "LanguageModel",
    "LogLikelihood",
    "LogProbs",
    "Model",
    "ModelSpec",
    "NumericProfile",
    "PassSettings",
    "PreparedModel",
    "ReadyRequest",
    "Request",
    "Result",
    "States",
    "TokenLikelihood",
    "Tokenized",
    "TokenizedGeneration",
    "TokenizedGradient",
    "TokenizedRequest",
    "TokenizedStates",
    "describe_tokens",
    "prepare",
    "require_local",
]

__getattr__ = lazy_exports(
    __name__,
    {
        "Model": "evolm.models.contract",
        "require_local": "evolm.models.contract",
        "LanguageModel": "evolm.models.language_model",
        "NumericProfile": "evolm.models.profile",
        "describe_tokens": "evolm.models.language_model",
        "prepare": "evolm.models.loading",
    },
)
