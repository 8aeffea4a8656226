"""From ``[strategy]`` and ``[operators]`` to a strategy that fits the campaign."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from evolm.campaign.permissions import Permissions, lookup
from evolm.config import DEFAULT_STRATEGY, EXTERNAL, CampaignConfig, PromptSpaceSection, validate
from evolm.errors import ConfigError
from evolm.genomes import ChromosomeSpace
from evolm.named_tables import STRATEGY_TABLES, operators_table, strategy_table
from evolm.operators import OPERATORS, Operator, operators_for
from evolm.operators.learning import GRADIENT_STEP
from evolm.operators.prompt import ON_CRITIQUES, ON_DEMONSTRATIONS
from evolm.strategies import STRATEGIES, SearchContext, Strategy
from evolm.strategies.external import ExternalStrategy
from evolm.tasks import Task
from evolm.tasks.outlook import shows_demonstrations
from evolm.wording import listed

LABELLED = "labelled train items to learn from"
UNLABELLED = "unlabelled rows to learn from (task.unlabelled, rows with an empty label, or train rows without gold)"


@dataclass(frozen=True)
class StrategyChoice:
    """A strategy that fits the campaign; one object of it is made for each search.

    Attributes:
        kind: its class.
        params: its checked table.
        operators: the operators that it varies genomes with, and their weights, none of them 0.
    """

    kind: type[Strategy]
    params: BaseModel
    operators: list[tuple[Operator, float]]

    def make(self, context: SearchContext) -> Strategy:
        """Return the strategy for one search."""
        return self.kind(self.params, context)


def strategy_name(settings: Mapping[str, Any]) -> str:
    """Return the name in a ``[strategy]`` table."""
    return str(settings.get("name", DEFAULT_STRATEGY))


def strategy_class(settings: Mapping[str, Any], permissions: Permissions) -> tuple[type[Strategy], BaseModel]:
    """Return the class and the checked parameters of a ``[strategy]`` table.

    Raises:
        ConfigError: for an unknown name, an unknown key, a wrong value, or outside code that is no ``Strategy``.
        PermissionNeeded: for code of a package that is not allowed.
    """
    name = strategy_name(settings)
    # The external strategy is in no catalogue: only evolm.Objective may ask for it.
    kind = ExternalStrategy if name == EXTERNAL else lookup(name, STRATEGIES, permissions, "strategy.name")
    if not (isinstance(kind, type) and issubclass(kind, Strategy)):
        raise ConfigError(
            f"strategy.name: {name!r}: expected a subclass of evolm.strategies.Strategy, found {kind!r}"
        )
    table = STRATEGY_TABLES.get(name) or strategy_table(name, kind)
    return kind, validate(table, {**settings, "name": name}, f"[strategy] {name}")


def choose_strategy(
    config: CampaignConfig,
    settings: Mapping[str, Any],
    kinds: Mapping[str, type[ChromosomeSpace]],
    task: Task,
    permissions: Permissions,
) -> StrategyChoice:
    """Return the strategy of a ``[strategy]`` table, checked against the rest of the campaign.

    Args:
        config: the campaign: its fitness, scorers, racing and operators.
        settings: the table.
        kinds: the kinds of chromosomes that evolve, and the classes of their spaces.
        task: the campaign's task.
        permissions: packages that the table may name code of.

    Raises:
        ConfigError: if it does not fit the campaign's objectives, racing, space, operators or task.
        PermissionNeeded: for code of a package that is not allowed.
    """
    name = strategy_name(settings)
    kind, params = strategy_class(settings, permissions)
    _check_objectives(config, name, kind)
    if settings == config.strategy:  # the search of a baseline does not race if its strategy cannot
        _check_racing(config, name, kind, params)
    if reason := kind.refuses_space(tuple(kinds)):
        able = listed(name for name, known in STRATEGIES.items() if not known.refuses_space(tuple(kinds)))
        raise ConfigError(
            f"strategy.name: expected one that can search this space ({able}), found {name!r}: {reason}"
        )
    weights = config.operators.weights
    if settings != config.strategy:  # nor does it depend on the weight of the operator that it learns by
        weights = {name: weight for name, weight in weights.items() if name != kind.learns_by}
    refines = config.generation.refine > 0
    operators = choose_operators(weights, kinds, task, config.space.prompts, kind.learns_by, refines)
    if kind.learns:
        _check_learning(name, kind, operators, task)
    return StrategyChoice(kind, params, operators)


def choose_operators(
    weights: Mapping[str, float],
    kinds: Mapping[str, type[ChromosomeSpace]],
    task: Task,
    prompts: PromptSpaceSection = PromptSpaceSection(),
    learns_by: str = "",
    refines: bool = False,
) -> list[tuple[Operator, float]]:
    """Return the operators for the chromosomes that evolve, with their weights; those of weight 0 are left out.

    Operators on demonstrations are left out if prompts show none, those on critiques if nothing is refined, those
    that learn from gold if there is none, and those that learn beside the only one that the strategy learns by.

    Raises:
        ConfigError: for an unknown name, a negative weight, an operator that needs labelled train rows if there are
            none, or no mutation at all.
    """
    able = operators_for(kinds)
    known = OPERATORS | {operator.name: operator for operator in able}
    table = validate(operators_table(known.values()), weights, "[operators]").model_dump()
    for name in weights:
        if weights[name] and (lacking := _lacking(known[name], task)):
            raise ConfigError(f"operators.{name}: expected {lacking}, found none")
    left_out = set() if shows_demonstrations(prompts, task) else set(ON_DEMONSTRATIONS)
    if not refines:
        left_out.update(ON_CRITIQUES)
    learning = [operator for operator in able if operator.role == "learning"]
    left_out.update(o.name for o in learning if _lacking(o, task))
    if learns_by:
        left_out.update(operator.name for operator in learning if operator.name != learns_by)
        table[learns_by] = weights.get(learns_by, 1.0)
    chosen = [(o, table[o.name]) for o in able if table[o.name] and o.name not in left_out]
    if not any(operator.role == "mutation" for operator, _ in chosen):
        raise ConfigError("operators: expected at least one mutation with a weight above 0, found none")
    return chosen


def _check_objectives(config: CampaignConfig, name: str, strategy: type[Strategy]) -> None:
    """Raise ConfigError if the strategy is for one objective and there are several, or the other way round."""
    several = config.fitness.combine == "pareto"
    if strategy.many_objectives and not several:
        raise ConfigError(f"strategy {name!r} searches a front: expected fitness.combine = 'pareto', found 'sum'")
    if not several:
        return
    if not (strategy.many_objectives or strategy.any_objectives):
        able = listed(name for name, known in STRATEGIES.items() if known.many_objectives)
        raise ConfigError(f"fitness.combine = 'pareto': expected a strategy among {able}, found {name!r}")
    guarded = config.guard is not None and config.guard.use == "objective"
    if len(config.scorers) < 2 and not guarded:
        raise ConfigError(f"fitness.combine = 'pareto': expected at least two scorers, found {len(config.scorers)}")


def _check_racing(config: CampaignConfig, name: str, strategy: type[Strategy], params: Any) -> None:
    """Raise ConfigError if individuals race and the strategy needs the fitness of all, or there are objectives."""
    if config.evaluation.racing == "off":
        return
    where = f"evaluation.racing = {config.evaluation.racing!r}"
    if config.fitness.combine != "sum":
        raise ConfigError(f"{where}: expected fitness.combine = 'sum', found {config.fitness.combine!r}")
    if reason := strategy.refuses_partial(params):
        able = listed(name for name, kind in STRATEGIES.items() if kind.accepts_partial)
        raise ConfigError(
            f"{where}: expected a strategy that can drop individuals ({able}), found {name!r}: {reason}"
        )


def _lacking(operator: Operator, task: Task) -> str:
    """Return the rows that an operator needs and the task does not have, in words; ``""`` if it has them."""
    if operator.needs_gold and not task.demonstrable:
        return LABELLED
    return UNLABELLED if operator.needs_unlabelled and not task.without_gold else ""


def _check_learning(name: str, kind: type[Strategy], operators: Sequence[tuple[Operator, float]], task: Task) -> None:
    """Raise ConfigError if a strategy that learns has no operator that can: none chosen, or its rows are missing."""
    if any(operator.role == "learning" for operator, _ in operators):
        return
    wanted = kind.learns_by or GRADIENT_STEP
    if lacking := _lacking(OPERATORS[wanted], task):
        raise ConfigError(f"strategy {name!r}: expected {lacking}, found none")
    raise ConfigError(f"operators.{wanted}: expected a weight above 0, since strategy {name!r} learns by it; found 0")
