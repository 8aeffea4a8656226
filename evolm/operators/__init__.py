"""Operators: how children differ from their parents. An operator is one function and one row in its file's table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from evolm.genomes import ChromosomeSpace
from evolm.operators.base import Family, FunctionOperator, LearningSettings, Operator, Rates, Role, VariationContext
from evolm.operators.delta import DELTA_OPERATORS
from evolm.operators.exchange import EXCHANGE_OPERATORS, ChromosomeExchange
from evolm.operators.goals import Reward, SupervisedLoss
from evolm.operators.language import LANGUAGE_OPERATORS, LanguageOperator
from evolm.operators.learning import GradientStep
from evolm.operators.model_access import ModelAccess, Spent
from evolm.operators.policy_gradient import POLICY_GRADIENT, PolicyGradient
from evolm.operators.prompt import PROMPT_OPERATORS
from evolm.operators.readout import READOUT_OPERATORS
from evolm.operators.self_training import SelfTraining

_ROWS: tuple[Operator, ...] = (
    *PROMPT_OPERATORS,
    *LANGUAGE_OPERATORS,
    *DELTA_OPERATORS,
    *READOUT_OPERATORS,
    GradientStep(),
    PolicyGradient(),
    SelfTraining(),
    *EXCHANGE_OPERATORS,
)
OPERATORS: dict[str, Operator] = {operator.name: operator for operator in _ROWS}


def operators_for(kinds: Mapping[str, type[ChromosomeSpace]]) -> list[Operator]:
    """Return the operators for the chromosomes that evolve: those of the catalogue, then those of outside kinds.

    Args:
        kinds: kind of chromosome -> class of its space.
    """
    wanted = {*kinds, ""} if len(kinds) > 1 else {*kinds}
    known = [operator for operator in OPERATORS.values() if operator.chromosome in wanted]
    return known + [operator for kind, space in kinds.items() for operator in _own_operators(kind, space)]


def _own_operators(kind: str, space: type[ChromosomeSpace]) -> list[Operator]:
    """Return the operators that a chromosome's space brings along."""
    tables: list[tuple[Role, Mapping[Callable[..., Any], float]]] = [
        ("mutation", space.mutations),
        ("crossover", space.crossovers),
    ]
    return [
        FunctionOperator(function.__name__, role, kind, function, weight)
        for role, table in tables
        for function, weight in table.items()
    ]


__all__ = [
    "OPERATORS",
    "POLICY_GRADIENT",
    "ChromosomeExchange",
    "Family",
    "FunctionOperator",
    "GradientStep",
    "LanguageOperator",
    "LearningSettings",
    "ModelAccess",
    "Operator",
    "PolicyGradient",
    "Rates",
    "Reward",
    "Role",
    "SelfTraining",
    "Spent",
    "SupervisedLoss",
    "VariationContext",
    "operators_for",
]
