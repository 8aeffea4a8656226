"""Operators: how children differ from their parents. An operator is one function and one row in its file's table."""

from __future__ import annotations

from evolm.operators.base import Family, FunctionOperator, Operator, Rates, VariationContext
from evolm.operators.language import LANGUAGE_OPERATORS, LanguageOperator
from evolm.operators.prompt import PROMPT_OPERATORS
from evolm.operators.voice import Voice

_ROWS: tuple[Operator, ...] = (*PROMPT_OPERATORS, *LANGUAGE_OPERATORS)
OPERATORS: dict[str, Operator] = {operator.name: operator for operator in _ROWS}

__all__ = [
    "OPERATORS",
    "Family",
    "FunctionOperator",
    "LanguageOperator",
    "Operator",
    "Rates",
    "VariationContext",
    "Voice",
]
