"""Operators: how children differ from their parents. An operator is one function and one row in its file's table."""

from __future__ import annotations

from evolm.genomes import HybridGenome
from evolm.operators.base import Family, FunctionOperator, LearningSettings, Operator, Rates, VariationContext
from evolm.operators.delta import DELTA_OPERATORS
from evolm.operators.hybrid import HYBRID_OPERATORS, PartOperator
from evolm.operators.language import LANGUAGE_OPERATORS, LanguageOperator
from evolm.operators.learning import LEARNING_OPERATORS, GradientStep
from evolm.operators.model_access import ModelAccess
from evolm.operators.prompt import PROMPT_OPERATORS

_ROWS: tuple[Operator, ...] = (
    *PROMPT_OPERATORS,
    *LANGUAGE_OPERATORS,
    *DELTA_OPERATORS,
    *LEARNING_OPERATORS,
    *HYBRID_OPERATORS,
)
OPERATORS: dict[str, Operator] = {operator.name: operator for operator in _ROWS}


def operators_for(genome: str) -> list[Operator]:
    """Return the operators that can vary a kind of genome; those of its parts work on hybrids too.

    One that learns sees the whole hybrid, since it learns under the hybrid's own prompt.
    """
    own = [operator for operator in OPERATORS.values() if operator.genome == genome]
    if genome != HybridGenome.kind:
        return own
    parts = [o if o.role == "learning" else PartOperator(o) for o in OPERATORS.values() if o.genome != genome]
    return [*parts, *own]


__all__ = [
    "OPERATORS",
    "Family",
    "FunctionOperator",
    "GradientStep",
    "LanguageOperator",
    "LearningSettings",
    "ModelAccess",
    "Operator",
    "PartOperator",
    "Rates",
    "VariationContext",
    "operators_for",
]
