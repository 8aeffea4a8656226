"""Operators: how children differ from their parents. An operator is one function and one row in its file's table."""

from __future__ import annotations

from evolm.operators.base import Family, FunctionOperator, Operator, Rates, VariationContext
from evolm.operators.prompt import PROMPT_OPERATORS
from evolm.operators.voice import Voice

OPERATORS: dict[str, Operator] = {operator.name: operator for operator in PROMPT_OPERATORS}

__all__ = ["OPERATORS", "Family", "FunctionOperator", "Operator", "Rates", "VariationContext", "Voice"]
