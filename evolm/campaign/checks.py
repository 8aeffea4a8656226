"""What must fit together before a campaign begins: each refusal is one sentence that says what to change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evolm.config import EXTERNAL, BudgetSection, CampaignConfig, EvaluationSection
from evolm.errors import ConfigError, ContextExceeded
from evolm.evaluation.evaluator import Evaluator
from evolm.evaluation.racing import Rules, looks
from evolm.founders.loading import Founders
from evolm.genomes import DELTA, Space
from evolm.operators import Operator
from evolm.scorers import FunctionScorer, Scorer
from evolm.strategies import STRATEGIES, Strategy
from evolm.tasks import KINDS, Task
from evolm.wording import listed


def task_scorer_name(task: Task) -> str:
    """Return the name of the scorer whose score is the task's metric."""
    return KINDS[task.kind].task_scorer(task.metric)


def check_gold(scorers: Mapping[str, tuple[Scorer, float]], task: Task) -> None:
    """Refuse a scorer that reads gold labels where the search has none."""
    for name, (scorer, _) in scorers.items():
        if scorer.needs_gold and not task.has_gold:
            why = "task.gold = 'audit' hides them" if task.audited else "task.columns maps no 'label'"
            raise ConfigError(f"scorers: {name!r} needs gold labels, but {why}")


def check_objectives(config: CampaignConfig, strategy: type[Strategy]) -> None:
    """Refuse a strategy for one objective where there are several, and the other way round."""
    name = config.strategy.get("name", "genetic")
    if strategy.many_objectives and config.fitness.combine != "pareto":
        raise ConfigError(f"strategy {name!r} searches a front: expected fitness.combine = 'pareto', found 'sum'")
    if config.fitness.combine == "pareto":
        if not strategy.many_objectives and name not in ("random_search", EXTERNAL):
            raise ConfigError(f"fitness.combine = 'pareto': expected strategy 'nsga2', found {name!r}")
        if len(config.scorers) < 2:
            raise ConfigError(
                f"fitness.combine = 'pareto': expected at least two scorers, found {len(config.scorers)}"
            )


def rules_of(section: EvaluationSection) -> Rules | None:
    """Return how individuals race; None where they don't."""
    if section.racing == "off":
        return None
    return Rules(section.racing, section.race_block, section.race_level)


def check_partial(config: CampaignConfig, strategy: type[Strategy], params: Any) -> None:
    """Refuse to race under a strategy that needs everybody's fitness, or several objectives."""
    if config.evaluation.racing == "off":
        return
    where = f"evaluation.racing = {config.evaluation.racing!r}"
    if config.fitness.combine != "sum":
        raise ConfigError(f"{where}: expected fitness.combine = 'sum', found {config.fitness.combine!r}")
    if why := strategy.refuses_partial(params):
        able = listed(name for name, kind in STRATEGIES.items() if kind.accepts_partial)
        raise ConfigError(
            f"{where}: strategy {config.strategy.get('name', 'genetic')!r} cannot drop individuals, since {why}; "
            f"these can: {able}"
        )


def check_decomposable(config: CampaignConfig, scorers: Mapping[str, tuple[Scorer, float]], task: Task) -> None:
    """Refuse to race by an objective that is no mean over items, or on too few items."""
    rules, n = rules_of(config.evaluation), len(task.dev)
    if rules is None:
        return
    for name, (scorer, _) in scorers.items():
        if not scorer.decomposable:
            found = f"{name!r} by the metric {task.metric!r}" if name == task_scorer_name(task) else repr(name)
            if isinstance(scorer, FunctionScorer):
                found += "; say in [scorers] between what its scores lie: range = [0, 1]"
            raise ConfigError(
                f"evaluation.racing = {rules.mode!r}: expected scorers that are means of one bounded number per "
                f"item, found {found}"
            )
    if not looks(rules.block, n):
        raise ConfigError(
            f"evaluation.race_block: expected at most two thirds of the {n} dev items, found {rules.block}"
        )


def check_budget(budget: BudgetSection) -> None:
    """Refuse a search that would never end."""
    if not any(budget.model_dump().values()):
        limits = ", ".join(BudgetSection.model_fields)
        raise ConfigError(f"budget: expected a limit above 0 on at least one of {limits}, found none")


def check_space(strategy: type[Strategy], settings: Mapping[str, Any], evolving: Sequence[str], task: Task) -> None:
    """Refuse a strategy that cannot search the campaign's space, or has nothing to learn from.

    Args:
        evolving: kinds of chromosomes that evolve.
    """
    if reason := strategy.refuses_space(evolving):
        able = listed(name for name, kind in STRATEGIES.items() if not kind.refuses_space(evolving))
        raise ConfigError(
            f"strategy {settings.get('name', 'genetic')!r} cannot search this space: {reason}; these can: {able}"
        )
    if strategy.learns and not task.demonstrable:
        raise ConfigError(
            f"strategy {settings.get('name')!r} learns from labelled train items, found none (task.split)"
        )


def check_learning(
    strategy: type[Strategy], settings: Mapping[str, Any], operators: Sequence[tuple[Operator, float]]
) -> None:
    """Refuse a strategy that learns where no operator does."""
    if strategy.learns and not any(operator.role == "learning" for operator, _ in operators):
        raise ConfigError(
            "operators.gradient_step: expected a weight above 0, since strategy "
            f"{settings['name']!r} learns by it; found 0"
        )


def check_trunk(evaluator: Evaluator, founders: Founders, space: Space) -> None:
    """Refuse a memory limit for shared states that is too small for a single item.

    Raises:
        ConfigError: with the megabytes that the longest item needs.
    """
    model = evaluator.engine.model
    deltas = space.get(DELTA)
    if deltas is None or not deltas.depth or not model.passes.trunk_bytes:
        return
    width = int(model.config.get_text_config().hidden_size) * (2 if model.prepared.dtype == "bfloat16" else 4)
    longest = max(evaluator.task.dev, key=lambda item: sum(map(len, item.fields.values())))
    shown = evaluator.express(founders.genomes[0]).prompt
    asked = evaluator.engine.tokenize(next(next(iter(evaluator.scorers.values()))[0].dialogue(shown, [longest])))
    needed = max((len(request.context) * width for request in asked), default=0)
    if needed > model.passes.trunk_bytes:
        raise ConfigError(
            f"evaluation.trunk_mb: expected at least {-(-needed // 2**20)} for the longest item, found "
            f"{model.passes.trunk_bytes // 2**20}; 0 shares nothing"
        )


def check_context(evaluator: Evaluator, founders: Founders) -> None:
    """Refuse a founder that does not fit the model's context with the longest item it will meet.

    Raises:
        ContextExceeded: naming the founder, and by how many tokens it is too long.
    """
    task = evaluator.task
    items = (*task.dev, *task.validation, *task.test)
    longest = max(items, key=lambda item: sum(map(len, item.fields.values())))
    scorers = [evaluator.task_scorer] if task.knows_gold else [scorer for scorer, _ in evaluator.scorers.values()]
    for founder in founders.genomes:
        for scorer in scorers:
            try:
                evaluator.engine.tokenize(next(scorer.dialogue(evaluator.express(founder).prompt, [longest])))
            except ContextExceeded as error:
                raise ContextExceeded(f"founder {founders.names[founder.digest]}: {error}") from None
