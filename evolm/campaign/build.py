"""From names to objects: the only place where a campaign's words become things.

Every section whose keys depend on a name is checked against that name's ``Params`` here. Names are those of the
catalogues; ``package.module:attribute`` reaches code outside, and only where the user admitted the package (from
Python, or with ``--allow PACKAGE``): a campaign file can never run code on its own word.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import joblib
import pandas as pd

from evolm import evaluation
from evolm import models as language_models  # torch comes with the first use of LanguageModel, prepare or Engine
from evolm.baselines import chosen_baselines
from evolm.campaign.checks import (
    check_budget,
    check_context,
    check_decomposable,
    check_gold,
    check_learning,
    check_objectives,
    check_partial,
    check_space,
    check_trunk,
    task_scorer_name,
)
from evolm.campaign.permissions import Permissions, lookup
from evolm.campaign.resolution import resolved
from evolm.config import EXTERNAL, CampaignConfig, validate
from evolm.errors import ConfigError, nearest
from evolm.evaluation.evaluator import Evaluator
from evolm.founders.loading import Founders, load_founders
from evolm.genomes import CHROMOSOMES, PROMPT, ChromosomeSpace, PromptSpace, Space, require_space
from evolm.genomes.prompt_space import allowed_words
from evolm.models import Decoding, PassSettings, PreparedModel
from evolm.operators import OPERATORS, ModelAccess, Operator, operators_for
from evolm.scorers import (
    SCORERS,
    FunctionScorer,
    LabelProbabilities,
    Scorer,
    Scoring,
    is_scorer,
)
from evolm.storage import AnswerStore
from evolm.strategies import STRATEGIES, SearchContext, Strategy
from evolm.strategies.external import ExternalStrategy
from evolm.tasks import KINDS, Task, kinds_with, load_task
from evolm.wording import listed

if TYPE_CHECKING:
    from evolm.evaluation.engine import Engine
    from evolm.models import LanguageModel


Models: TypeAlias = "dict[tuple[PreparedModel, str, PassSettings], LanguageModel]"


@dataclass
class Components:
    """A campaign's objects, ready to run; ``config`` is resolved."""

    config: CampaignConfig
    task: Task
    model: LanguageModel
    engine: Engine
    evaluator: Evaluator
    scoring: Scoring
    space: Space
    founders: Founders
    permissions: Permissions

    def strategy(self, settings: Mapping[str, Any], seed: int) -> Strategy:
        """Build a strategy from its table, for one search.

        Raises:
            ConfigError: if it does not fit the campaign's space, task or number of objectives.
        """
        kind, params = strategy_of(settings, self.permissions)
        check_objectives(self.config.model_copy(update={"strategy": dict(settings)}), kind)
        check_space(kind, settings, self.space.evolving, self.task)
        kinds = {name: type(self.space[name]) for name in self.space.evolving}
        operators = chosen_operators(self.config.operators, kinds, self.task)
        check_learning(kind, settings, operators)
        model_access = ModelAccess(self.engine, self.scoring, self.task.demonstrable)
        search = SearchContext(self.space, self.founders.genomes, operators, seed, self.founders.names, model_access)
        return kind(params, search)


def build(
    config: CampaignConfig,
    root: Path,
    *,
    permissions: Permissions = Permissions(),
    frame: pd.DataFrame | Mapping[str, pd.DataFrame] | None = None,
    functions: Mapping[str, Callable[..., float]] | None = None,
    answers: Path | str = ":memory:",
    instructions: Sequence[str] = (),
    warm_starts: Sequence[Path] = (),
    models: Models | None = None,
) -> Components:
    """Build a campaign's objects.

    Args:
        config: the validated campaign file.
        root: folder that its relative paths start from.
        permissions: what it may reach beyond that folder.
        frame: rows that stand for ``task.data``.
        functions: scorers given from Python, by the name they have in ``[scorers]``.
        answers: the answer cache's file.
        instructions: founders given on the command line.
        warm_starts: runs or founding populations given on the command line.
        models: what runs before this one have loaded; see :func:`loaded`.

    Raises:
        EvolmError: if anything named does not exist, does not fit or is not admitted.
    """
    check_budget(config.budget)
    chosen_baselines(config.baselines)  # raises for an unknown name
    config = resolved(config, root, permissions, framed=frame is not None)
    strategy, params = strategy_of(config.strategy, permissions)
    check_objectives(config, strategy)
    check_partial(config, strategy, params)
    task = load_task(config.task, config.template, root=root, trusted=True, frame=frame)
    tables = chromosome_tables(config, permissions)
    evolving = {name: kind for name, (kind, _) in tables.items() if name in config.space.evolving}
    check_space(strategy, config.strategy, tuple(evolving), task)
    check_learning(strategy, config.strategy, chosen_operators(config.operators, evolving, task))
    plans = scorer_plans(config, task, permissions, functions or {})
    section = config.model
    prepared = language_models.prepare(
        section.name, revision=section.revision, dtype=section.dtype, device=section.device
    )
    model = loaded(prepared, section.chat_template, pass_settings(config), {} if models is None else models)
    parts = {name: kind.build(params, task, model) for name, (kind, params) in tables.items()}
    prompts = parts[PROMPT]
    assert isinstance(prompts, PromptSpace)
    scoring = scoring_of(config, task, model, allowed_words(config.space.prompts, task), prompts.tokens)
    scorers = {name: (make_scorer(kind, params, scoring), weight) for name, kind, params, weight in plans}
    check_gold(scorers, task)
    check_decomposable(config, scorers, task)
    space, founders = load_founders(config, task, parts, tuple(evolving), instructions, warm_starts)
    same = [scorers[name][0] for name, kind, params, _ in plans if is_task_scorer(kind, params, task)]
    asked = same[0] if same else make_task_scorer(scoring)
    engine = evaluation.Engine(model, AnswerStore(answers), jobs(config.evaluation.n_jobs, model))
    evaluator = Evaluator(engine, task, scorers, asked, space.express, space.tokens, config.fitness.combine)
    check_context(evaluator, founders)
    check_trunk(evaluator, founders, space)
    return Components(config, task, model, engine, evaluator, scoring, space, founders, permissions)


def scoring_of(
    config: CampaignConfig,
    task: Task,
    model: LanguageModel,
    words: Mapping[str, Sequence[str]],
    prompt_tokens: Callable[[Any], int],
) -> Scoring:
    """Return what all scorers of a campaign are made from."""
    closed = not KINDS[task.kind].open
    labels = LabelProbabilities(task, model, config.task.normalization, words) if closed else None
    section = config.generation
    decoding = Decoding(
        section.max_new_tokens, tuple(section.stop_strings), section.temperature, section.top_p, section.top_k
    )
    return Scoring(task, model, labels, decoding, prompt_tokens)


def make_scorer(kind: Any, params: Any, scoring: Scoring) -> Scorer:
    """Return a scorer of the catalogue, or a user's function as one."""
    scorer: Scorer = kind(scoring, params) if is_scorer(kind) else FunctionScorer(kind, scoring, params)
    return scorer


def make_task_scorer(scoring: Scoring) -> Scorer:
    """Return the scorer whose score is the task's metric, as its defaults have it."""
    kind = SCORERS[task_scorer_name(scoring.task)]
    return make_scorer(kind, kind.Params(), scoring)


def is_task_scorer(kind: Any, params: Any, task: Task) -> bool:
    """Return whether a scorer of the campaign equals the task scorer, so that one of them is enough."""
    own = SCORERS[task_scorer_name(task)]
    return kind is own and params == own.Params(weight=params.weight)


def pass_settings(config: CampaignConfig) -> PassSettings:
    """Return the sizes of forward passes that a campaign asks for."""
    section = config.evaluation
    return PassSettings(section.slab_tokens, section.trunk_mb * 2**20, section.prefix_mb * 2**20)


def loaded(prepared: PreparedModel, chat_template: str, passes: PassSettings, models: Models) -> LanguageModel:
    """Return a model, the one that an earlier run used where it is the same, with what its layers remember."""
    key = (prepared, chat_template, passes)
    if key not in models:
        models.clear()  # one at a time: what an earlier model remembers is of no use to this one
        models[key] = language_models.LanguageModel(prepared, chat_template, passes)
    return models[key]


def jobs(wanted: int | str, model: LanguageModel) -> int:
    """Return the number of workers: cores for ``"auto"``, 1 on a GPU."""
    if wanted == "auto":
        return 1 if model.profile.device != "cpu" else int(joblib.cpu_count())
    if int(wanted) < 1:
        raise ConfigError(f"evaluation.n_jobs: expected at least 1 or 'auto', found {wanted}")
    return int(wanted)


def strategy_of(settings: Mapping[str, Any], permissions: Permissions) -> tuple[type[Strategy], Any]:
    """Return a strategy's class and its checked parameters."""
    name = str(settings.get("name", "genetic"))
    values = {key: value for key, value in settings.items() if key != "name"}
    # No catalogue has the one that is driven: nobody can ask for it but evolm.Objective.
    kind = ExternalStrategy if name == EXTERNAL else lookup(name, STRATEGIES, permissions, "strategy.name")
    return kind, validate(kind.Params, values, f"[strategy] {name}")


def chosen_operators(
    weights: Mapping[str, float], kinds: Mapping[str, type[ChromosomeSpace]], task: Task
) -> list[tuple[Operator, float]]:
    """Return the operators for the chromosomes that evolve, with their weights; those of weight 0 are left out."""
    able = operators_for(kinds)
    known = OPERATORS | {operator.name: operator for operator in able}
    for name, weight in weights.items():
        if name not in known:
            raise ConfigError(f"operators: {name!r} is unknown{nearest(name, known)}")
        if weight < 0:
            raise ConfigError(f"operators.{name}: expected a weight of at least 0, found {weight}")
        if weight and known[name].needs_gold and not (task.has_gold and task.train):
            raise ConfigError(f"operators.{name}: needs labelled train items, but the search has none")
    mine = [(o, weights.get(o.name, o.weight)) for o in able]
    chosen = [(operator, weight) for operator, weight in mine if weight > 0]
    if not any(operator.role == "mutation" for operator, _ in chosen):
        raise ConfigError("operators: expected at least one mutation with a weight above 0, found none")
    return chosen


def scorer_plans(
    config: CampaignConfig,
    task: Task,
    permissions: Permissions,
    functions: Mapping[str, Callable[..., float]],
) -> list[tuple[str, Any, Any, float]]:
    """Return name, class or function, checked parameters and weight of each of the campaign's scorers.

    Raises:
        ConfigError: for an unknown name or key, a weight of 0, or a scorer of another kind of task.
        PermissionNeeded: for code that was not admitted.
    """
    plans = []
    for name, value in (config.scorers or {task_scorer_name(task): 1.0}).items():
        kind = functions[name] if name in functions else lookup(name, SCORERS, permissions, "scorers")
        if isinstance(kind, type) and not is_scorer(kind):
            raise ConfigError(
                f"scorers: {name!r}: expected a function or a subclass of evolm.scorers.Scorer, found the class "
                f"{kind.__qualname__}"
            )
        settings = value if isinstance(value, Mapping) else {"weight": value}
        scorer: type[Scorer] = kind if is_scorer(kind) else FunctionScorer
        params = validate(scorer.Params, settings, f"[scorers] {name}")
        form = KINDS[task.kind].form
        if form not in scorer.forms:
            known = listed(known for known, each in SCORERS.items() if form in each.forms)
            served = listed(kinds_with(*scorer.forms))
            raise ConfigError(f"scorers: {name!r} scores {served} tasks; for {task.kind!r} there are {known}")
        if not params.weight:
            raise ConfigError(f"[scorers] {name}: expected a weight other than 0")
        plans.append((name, kind, params, float(params.weight)))
    return plans


def chromosome_tables(
    config: CampaignConfig, permissions: Permissions
) -> dict[str, tuple[type[ChromosomeSpace], Any]]:
    """Return kind of chromosome -> class of its space and its checked table, in the order of the catalogue.

    A campaign without ``[space.prompt]`` has a prompt, too: that of its founder.

    Raises:
        ConfigError: for an unknown kind or key, or outside code that is no space of chromosomes.
        PermissionNeeded: for code that was not admitted.
    """
    tables = config.space.tables
    kinds = {name: lookup(name, CHROMOSOMES, permissions, "space") for name in tables}
    known = [name for name in CHROMOSOMES if name in kinds]
    found = {}
    for name in [*known, *sorted(kinds.keys() - CHROMOSOMES.keys())]:
        kind = require_space(kinds[name], f"space.{name}")
        found[name] = (kind, validate(kind.Params, tables[name], f"[space.{name}]"))
    return found
