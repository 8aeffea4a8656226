"""From ``[scorers]`` to scorers that fit the task, and the scorer whose score is the task's metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from evolm.campaign.permissions import Permissions, lookup
from evolm.config import CampaignConfig, validate
from evolm.errors import ConfigError
from evolm.evaluation.racing import Rules, looks
from evolm.scorers import (
    SCORERS,
    FunctionParams,
    FunctionScorer,
    Scorer,
    Scoring,
    Weighted,
    is_scorer,
)
from evolm.scorers.task_scorer import make_task_scorer, task_scorer_name
from evolm.tasks import KINDS, Task, kinds_with
from evolm.wording import listed

ScoreFunction: TypeAlias = Callable[..., float]
ScoreFunctions: TypeAlias = Mapping[str, ScoreFunction]


@dataclass(frozen=True)
class ScorerChoice:
    """A scorer that fits the task, before it is made.

    Attributes:
        name: its key in ``[scorers]``.
        kind: its class, or a function given from Python.
        params: its checked table.
    """

    name: str
    kind: Any
    params: Weighted

    def make(self, scoring: Scoring) -> Scorer:
        """Return the scorer."""
        if is_scorer(self.kind):
            return self.kind(scoring, self.params)
        assert isinstance(self.params, FunctionParams)
        return FunctionScorer(self.kind, scoring, self.params)


def choose_scorers(
    config: CampaignConfig, task: Task, permissions: Permissions, functions: ScoreFunctions
) -> list[ScorerChoice]:
    """Return the campaign's scorers; the task scorer if ``[scorers]`` names none.

    Args:
        config: the campaign.
        task: what is scored.
        permissions: packages that the table may name code of.
        functions: scorers given from Python, by their names in the table.

    Raises:
        ConfigError: for an unknown name or key, a weight of 0, or a scorer of another kind of task.
        PermissionNeeded: for code of a package that is not allowed.
    """
    tables = config.scorers or {task_scorer_name(task): 1.0}
    choices = [choose_scorer(name, table, permissions, functions) for name, table in tables.items()]
    for choice in choices:
        _check_form(choice, task)
    return choices


def choose_scorer(
    name: str,
    table: float | Mapping[str, Any],
    permissions: Permissions,
    functions: ScoreFunctions,
    where: str = "scorers",
) -> ScorerChoice:
    """Return the scorer of one key of a table.

    Args:
        name: the key.
        table: its weight, or its own table.
        permissions, functions: see :func:`choose_scorers`.
        where: name of the whole table, for errors.

    Raises:
        ConfigError: for an unknown name or key, or a weight of 0.
        PermissionNeeded: for code of a package that is not allowed.
    """
    kind = functions[name] if name in functions else lookup(name, SCORERS, permissions, where)
    if isinstance(kind, type) and not is_scorer(kind):
        raise ConfigError(
            f"{where}: {name!r}: expected a function or a subclass of evolm.scorers.Scorer, found the class "
            f"{kind.__qualname__}"
        )
    scorer: type[Scorer] = kind if is_scorer(kind) else FunctionScorer
    values = table if isinstance(table, Mapping) else {"weight": table}
    params = validate(scorer.Params, values, f"[{where}] {name}")
    if not params.weight:
        raise ConfigError(f"[{where}] {name}: expected a weight other than 0")
    return ScorerChoice(name, kind, params)


def _check_form(choice: ScorerChoice, task: Task) -> None:
    """Raise ConfigError if a scorer cannot score the task's answers."""
    form, forms = KINDS[task.kind].form, choice.kind.forms if is_scorer(choice.kind) else FunctionScorer.forms
    if form not in forms:
        known = listed(known for known, each in SCORERS.items() if form in each.forms)
        raise ConfigError(
            f"scorers: expected some of {known}, which score {task.kind!r}, found {choice.name!r}, which scores "
            f"{listed(kinds_with(*forms))}"
        )


def make_scorers(
    choices: Sequence[ScorerChoice], scoring: Scoring, rules: Rules | None
) -> dict[str, tuple[Scorer, float]]:
    """Return name -> (scorer, weight).

    Args:
        choices: the campaign's scorers.
        scoring: what they are made from.
        rules: how individuals race, if they do.

    Raises:
        ConfigError: if a scorer needs gold labels that the search must not see, or individuals cannot race by it.
    """
    task, n = scoring.task, len(scoring.task.dev)
    scorers = {choice.name: (choice.make(scoring), float(choice.params.weight)) for choice in choices}
    for name, (scorer, _) in scorers.items():
        if scorer.needs_gold and not task.has_gold:
            why = "task.gold = 'audit' hides them" if task.audited else "task.columns maps no 'label'"
            raise ConfigError(f"scorers: expected gold labels, which {name!r} needs, found none: {why}")
        if rules is not None:
            _check_decomposable(name, scorer, task, rules)
    if rules is not None and not looks(rules.block, n):
        raise ConfigError(
            f"evaluation.race_block: expected at most two thirds of the {n} dev items, found {rules.block}"
        )
    return scorers


def _check_decomposable(name: str, scorer: Scorer, task: Task, rules: Rules) -> None:
    """Raise ConfigError if a scorer's objective is no mean of one bounded number per item."""
    if scorer.decomposable:
        return
    found = f"{name!r} by the metric {task.metric!r}" if name == task_scorer_name(task) else repr(name)
    if isinstance(scorer, FunctionScorer):
        found += "; say in [scorers] between what its scores lie: range = [0, 1]"
    raise ConfigError(
        f"evaluation.racing = {rules.mode!r}: expected scorers that are means of one bounded number per item, "
        f"found {found}"
    )


def task_scorer_among(
    choices: Sequence[ScorerChoice], scorers: Mapping[str, tuple[Scorer, float]], scoring: Scoring
) -> Scorer:
    """Return the campaign's scorer that equals the task scorer but for its weight, else a task scorer of its own."""
    kind = SCORERS[task_scorer_name(scoring.task)]
    for choice in choices:
        if choice.kind is kind and choice.params == kind.Params(weight=choice.params.weight):
            return scorers[choice.name][0]
    return make_task_scorer(scoring)
