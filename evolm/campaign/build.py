"""From names to objects: the only place where a campaign's words become things.

Every section whose keys depend on a name is checked against that name's ``Params`` here. Names are those of the
catalogues; ``package.module:attribute`` reaches code outside, and only where the user admitted the package (from
Python, or with ``--allow PACKAGE``): a campaign file can never run code on its own word.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
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
from evolm.genomes import DeltaSpace, HybridSpace, PromptGenome, PromptSpace
from evolm.genomes.delta_space import NO_PROMPT, settings_of
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
    space: Any
    founders: Founders
    permissions: Permissions

    def strategy(self, settings: Mapping[str, Any], seed: int) -> Strategy:
        """Build a strategy from its table, for one search.

        Raises:
            ConfigError: if it does not fit the campaign's space, task or number of objectives.
        """
        kind, params = strategy_of(settings, self.permissions)
        check_objectives(self.config.model_copy(update={"strategy": dict(settings)}), kind)
        check_space(kind, settings, self.space.genome, self.task)
        operators = chosen_operators(self.config.operators, self.space.genome, self.task)
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
    check_space(strategy, config.strategy, kind_of(config), task)
    check_learning(strategy, config.strategy, chosen_operators(config.operators, kind_of(config), task))
    plans = scorer_plans(config, task, permissions, functions or {})
    section = config.model
    prepared = language_models.prepare(
        section.name, revision=section.revision, dtype=section.dtype, device=section.device
    )
    model = loaded(prepared, section.chat_template, pass_settings(config), {} if models is None else models)
    words = allowed_words(config, task)
    prompts = prompt_space(config, task, model, words)
    scoring = scoring_of(config, task, model, words, prompts.tokens)
    scorers = {name: (make_scorer(kind, params, scoring), weight) for name, kind, params, weight in plans}
    check_gold(scorers, task)
    check_decomposable(config, scorers, task)
    deltas = delta_space(config, model)
    founders = load_founders(config, task, prompts, instructions, warm_starts, deltas)
    space, founders = individuals(config, deltas, with_instructions(prompts, founders.prompts), founders)
    same = [scorers[name][0] for name, kind, params, _ in plans if is_task_scorer(kind, params, task)]
    asked = same[0] if same else make_task_scorer(scoring)
    engine = evaluation.Engine(model, AnswerStore(answers), jobs(config.evaluation.n_jobs, model))
    evaluator = Evaluator(engine, task, scorers, asked, space.tokens, config.fitness.combine, space.express)
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


def chosen_operators(weights: Mapping[str, float], genome: str, task: Task) -> list[tuple[Operator, float]]:
    """Return the operators for a kind of genome with their weights, those of weight 0 left out."""
    for name, weight in weights.items():
        if name not in OPERATORS:
            raise ConfigError(f"operators: {name!r} is unknown{nearest(name, OPERATORS)}")
        if weight < 0:
            raise ConfigError(f"operators.{name}: expected a weight of at least 0, found {weight}")
        if weight and OPERATORS[name].needs_gold and not (task.has_gold and task.train):
            raise ConfigError(f"operators.{name}: needs labelled train items, but the search has none")
    mine = [(o, weights.get(o.name, o.weight)) for o in operators_for(genome)]
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


def allowed_words(config: CampaignConfig, task: Task) -> dict[str, tuple[str, ...]]:
    """Return label -> words that may stand for it, its own name first."""
    choices = config.space.prompts.verbalizers
    for label in choices:
        if label not in task.labels:
            raise ConfigError(
                f"space.prompt.verbalizers: {label!r} is no label, expected one of {list(task.labels)}"
                f"{nearest(label, task.labels)}"
            )
    return {label: tuple(dict.fromkeys((label, *choices.get(label, ())))) for label in task.labels}


def prompt_space(
    config: CampaignConfig, task: Task, model: LanguageModel, words: Mapping[str, tuple[str, ...]]
) -> PromptSpace:
    """Return the space of prompts that ``[space.prompt]`` describes."""
    section = config.space.prompts
    fewest, most = section.demonstrations
    if not 0 <= fewest <= most:
        raise ConfigError(f"space.prompt.demonstrations: expected [fewest, most], found {[fewest, most]}")
    if fewest > len(task.train) or (fewest and not task.has_gold):
        raise ConfigError(
            f"space.prompt.demonstrations: at least {fewest} wanted, found {len(task.train)} labelled train items"
        )
    return PromptSpace(
        template=task.template,
        labels=task.labels,
        train=task.demonstrable,
        instruction=section.instruction,
        demonstrations=(fewest, most),
        verbalizers={label: choices for label, choices in words.items() if len(choices) > 1},
        max_tokens=section.max_tokens,
        count_tokens=model.count_tokens,
        calibration=section.calibration and not KINDS[task.kind].open,
    )


def with_instructions(space: PromptSpace, founders: Sequence[Any]) -> PromptSpace:
    """Return the space with the founders' instructions as the pool of random prompts."""
    pool = tuple(dict.fromkeys(founder.instruction for founder in founders))
    return replace(space, instructions=pool or ("",))


def kind_of(config: CampaignConfig) -> str:
    """Return the kind of genome that a campaign evolves."""
    if config.space.delta is None:
        return PromptSpace.genome
    return DeltaSpace.genome if config.space.prompt is None else HybridSpace.genome


def delta_space(config: CampaignConfig, model: LanguageModel) -> DeltaSpace | None:
    """Return the space of deltas that ``[space.delta]`` describes; None where the model stays as it is.

    Raises:
        ConfigError: if the model has no such modules, or the encoding cannot change them.
    """
    return DeltaSpace.of(model, settings_of(config.space.delta.model_dump())) if config.space.delta else None


def individuals(
    config: CampaignConfig, deltas: DeltaSpace | None, prompts: PromptSpace, founders: Founders
) -> tuple[PromptSpace | DeltaSpace | HybridSpace, Founders]:
    """Return the space that a campaign searches, and its founders as genomes of that space.

    Where deltas evolve alone, all run under one prompt, and that prompt as a founder is the unchanged model.

    Raises:
        ConfigError: if the founders have several prompts and one is needed.
    """
    if deltas is None:
        return prompts, founders
    deltas = deltas.under(NO_PROMPT, prompts)
    if config.space.prompt is not None:
        space = HybridSpace(prompts, deltas)
        return space, founders.made_into(
            [space.of_prompt(each) if isinstance(each, PromptGenome) else each for each in founders.given]
        )
    if founders.written:
        founders = replace(founders, given=[next(prompt for prompt in founders.prompts if prompt.instruction)])
    if len(founders.prompts) != 1:
        raise ConfigError(
            f"space.delta: deltas alone run under one prompt, found {len(founders.prompts)} founders with different "
            "ones; name one (founders, --founder; --set founders=[] leaves those of a warm start), or add "
            "[space.prompt] to evolve prompts and deltas together"
        )
    alone = deltas.under(founders.prompts[0])
    return alone, founders.made_into(
        [alone.zero() if isinstance(each, PromptGenome) else each.delta for each in founders.given]
    )
