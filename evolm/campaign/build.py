"""Building a campaign: from a configuration to objects, in one pass.

The configuration is resolved first. Then task, strategy, scorers, model, spaces, founders, engine and evaluator are
made in this order, each from those before it and each checked where it is made. Names are those of the catalogues;
``package.module:attribute`` names code outside evolm and needs the user's permission (from Python, or
``--allow PACKAGE``), so a campaign file alone can never run code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from evolm import evaluation
from evolm import models as language_models  # torch comes with the first use of LanguageModel, prepare or Engine
from evolm.baselines import Baseline, chosen_baselines, searching_baselines
from evolm.campaign.auto import expanded
from evolm.campaign.checks import check_context, check_texts, check_trunk
from evolm.campaign.guards import make_guard
from evolm.campaign.permissions import Permissions
from evolm.campaign.resolution import resolved
from evolm.campaign.rewards import choose_rewards, learns_from_rewards, make_reward, supervised_loss
from evolm.campaign.scorers import ScoreFunctions, ScorerChoice, choose_scorers, make_scorers, task_scorer_among
from evolm.campaign.served import refuse_served, without_states
from evolm.campaign.spaces import chromosome_tables, evolving_kinds
from evolm.campaign.stages import Stage, check_baselines, choose_stages, only_strategy, racing_rules, stage_for
from evolm.campaign.strategies import StrategyChoice, choose_strategy
from evolm.campaign.writer import make_writer
from evolm.config import BudgetSection, CampaignConfig, GenerationSection
from evolm.early import check_early
from evolm.errors import ConfigError
from evolm.evaluation.evaluator import Evaluator
from evolm.evaluation.guard import ABILITY
from evolm.evaluation.settings import jobs, pass_settings
from evolm.founders.loading import Founders, load_founders
from evolm.genomes import PROMPT, PromptSpace, Space
from evolm.genomes.prompt_space import allowed_words
from evolm.models.served.model import open_served
from evolm.models.served.names import is_served
from evolm.operators import ModelAccess, SupervisedLoss
from evolm.randomness import derive_seed
from evolm.scorers import Scoring
from evolm.scorers.task_scorer import make_scoring
from evolm.searches import MAIN
from evolm.storage import AnswerStore
from evolm.strategies import SearchContext, Start, Strategy
from evolm.tasks import KINDS, Task, load_task

if TYPE_CHECKING:
    import pandas as pd

    from evolm.evaluation.engine import Engine
    from evolm.models import Model


Models: TypeAlias = "dict[Any, Model]"  # by what decides their answers


@dataclass
class Components:
    """A campaign's objects, ready to run; ``config`` is resolved."""

    config: CampaignConfig
    task: Task
    model: Model
    engine: Engine
    writer: Engine | None
    evaluator: Evaluator
    scoring: Scoring
    space: Space
    founders: Founders
    stages: tuple[Stage, ...]
    permissions: Permissions
    functions: ScoreFunctions

    @property
    def baselines(self) -> list[Baseline]:
        """The baselines that take part."""
        return chosen_baselines(self.config.baselines, self._learning, bool(self.task.demonstrable))

    @property
    def searching_baselines(self) -> list[Baseline]:
        """Those of the baselines that need a search of their own."""
        return searching_baselines(
            self.config.baselines, only_strategy(self.stages), self._learning, bool(self.task.demonstrable)
        )

    @property
    def _learning(self) -> set[bool]:
        """For each stage, whether it learns and fine-tuning, which needs gold, can be its rival."""
        return {stage.choice.kind.learns and bool(self.task.demonstrable) for stage in self.stages}

    def stage_strategy(self, index: int, start: Start = Start()) -> Strategy:
        """Return the main search's strategy for one of its stages.

        Args:
            index: of the stage.
            start: its founders and numbering; the default begins with the campaign's founders.
        """
        stage, name = self.stages[index], f"{MAIN}.{index + 1}" if index else MAIN
        return self._made(stage.choice, stage.kinds, derive_seed(name, self.config.seed), start)

    def stage_for(self, settings: Mapping[str, Any]) -> Stage:
        """Return the first stage whose space a ``[strategy]`` table can search; the first one if there is none."""
        return stage_for(self.stages, settings, self.permissions)

    def strategy(self, settings: Mapping[str, Any], seed: int) -> Strategy:
        """Return a strategy for one search in the space of :meth:`stage_for`.

        Args:
            settings: a ``[strategy]`` table; the campaign's own, or another one.
            seed: of the search.

        Raises:
            ConfigError: if it does not fit the campaign's space, task or number of objectives.
        """
        stage = self.stage_for(settings)
        choice = stage.choice
        if settings != stage.settings:
            kinds = {name: type(self.space[name]) for name in stage.kinds}
            choice = choose_strategy(self.config, settings, kinds, self.task, self.permissions)
        return self._made(choice, stage.kinds, seed)

    def _made(self, choice: StrategyChoice, kinds: Sequence[str], seed: int, start: Start = Start()) -> Strategy:
        founders = start.genomes or self.founders.genomes
        space = self.space.varying(kinds, founders)
        return choice.make(
            SearchContext(
                space, founders, choice.operators, seed, self.founders.names, self._model_access(choice), start
            )
        )

    def _model_access(self, choice: StrategyChoice) -> ModelAccess:
        config, task = self.config, self.task
        loss, reward = SupervisedLoss(), None
        if choice.kind.learns:
            loss = supervised_loss(config, task)
        if learns_from_rewards(choice):
            reward = make_reward(config, choose_rewards(config, task, self.permissions, self.functions), self.scoring)
        return ModelAccess(
            self.engine,
            self.scoring,
            task.demonstrable,
            self.writer,
            rows=task.train,
            unlabelled=task.without_gold,
            self_training=config.self_training,
            loss=loss,
            reward=reward,
        )


def build(
    config: CampaignConfig,
    root: Path,
    *,
    permissions: Permissions = Permissions(),
    frame: pd.DataFrame | Mapping[str, pd.DataFrame] | None = None,
    functions: ScoreFunctions | None = None,
    answers: Path | str = ":memory:",
    instructions: Sequence[str] = (),
    warm_starts: Sequence[Path] = (),
    models: Models | None = None,
) -> Components:
    """Build a campaign's objects.

    Args:
        config: the validated campaign file.
        root: folder that its relative paths start from.
        permissions: packages and folders that the user allows.
        frame: rows from Python, instead of ``task.data``.
        functions: scorers given from Python, by the name they have in ``[scorers]``.
        answers: the answer cache's file.
        instructions: founders given on the command line.
        warm_starts: runs or founding populations given on the command line.
        models: models that earlier runs of this process have loaded; see :func:`load_model`.

    Raises:
        EvolmError: if a named object does not exist, does not fit the campaign or is not allowed.
    """
    framed = frame is not None
    check_early(
        config, root, permissions.data_roots, permissions.trusted_data, functions=functions or {}, framed=framed
    )
    chosen_baselines(config.baselines)  # raises for an unknown name
    config = resolved(config, root, permissions, framed=framed)
    task = load_task(config.task, config.template, root=root, trusted=True, frame=frame)
    config = without_states(expanded(config, task))
    check_items(config.budget, task)
    check_refine(config.generation, task)
    tables = chromosome_tables(config, permissions)
    evolving = {name: tables[name][0] for name in evolving_kinds(config, tables)}
    stages = choose_stages(config, evolving, task, permissions)
    check_baselines(config, stages, evolving, task, permissions)
    choices = choose_scorers(config, task, permissions, functions or {})
    rewards = check_learning(config, task, stages, permissions, functions or {})
    refuse_served(config, stages)
    model = load_model(config, {} if models is None else models)
    parts = {name: kind.build(params, task, model) for name, (kind, params) in tables.items()}
    prompts = cast(PromptSpace, parts[PROMPT])
    scoring = make_scoring(config, task, model, allowed_words(config.space.prompts, task), prompts.tokens)
    scorers = make_scorers(choices, scoring, racing_rules(stages))
    guard = make_guard(config, tables, scoring)
    if guard is not None and not guard.constrains:
        scorers[ABILITY] = (guard, 1.0)
    make_reward(config, rewards, scoring)  # raises for a scorer that needs gold
    space, founders = load_founders(config, task, parts, tuple(evolving), instructions, warm_starts)
    task_scorer = task_scorer_among(choices, scorers, scoring)
    engine = evaluation.Engine(
        model,
        AnswerStore(answers),
        jobs(config.evaluation.n_jobs, model),
        mixed_hosts=config.evaluation.mixed_hosts,
    )
    writer = make_writer(config.operators.writer, [stage.choice for stage in stages], engine)
    evaluator = Evaluator(
        engine, task, scorers, task_scorer, space.express, space.tokens, config.fitness.combine, guard
    )
    check_context(evaluator, founders)
    check_texts(evaluator, founders)
    check_trunk(evaluator, founders, space)
    return Components(
        config,
        task,
        model,
        engine,
        writer,
        evaluator,
        scoring,
        space,
        founders,
        stages,
        permissions,
        functions or {},
    )


def check_learning(
    config: CampaignConfig, task: Task, stages: Sequence[Stage], permissions: Permissions, functions: ScoreFunctions
) -> list[ScorerChoice]:
    """Return the scorers that a stage learns from; none if no stage does.

    Raises:
        ConfigError: if ``[learning]`` does not fit the stages that learn.
    """
    if any(stage.choice.kind.learns for stage in stages):
        supervised_loss(config, task)
    rewarded = any(learns_from_rewards(stage.choice) for stage in stages)
    return choose_rewards(config, task, permissions, functions) if rewarded else []


def check_refine(generation: GenerationSection, task: Task) -> None:
    """Raise ConfigError if answers that are one of a few given ones are to be refined."""
    if generation.refine and task.n_options:
        raise ConfigError(
            f"generation.refine: expected 0, since the answers of {task.kind} are not written, found "
            f"{generation.refine}"
        )


def check_items(budget: BudgetSection, task: Task) -> None:
    """Raise ConfigError if the limit on items is too low for a single evaluation."""
    if 0 < budget.items < len(task.dev):
        raise ConfigError(
            f"budget.items: expected at least {len(task.dev)}, the dev rows that one evaluation scores, "
            f"found {budget.items}; raise it or lower task.split.dev"
        )


def load_model(config: CampaignConfig, models: Models) -> Model:
    """Return the campaign's model, from ``models`` if an earlier run of this process has loaded it.

    Args:
        config: a resolved campaign.
        models: the last loaded model, which keeps its cached states; replaced if another one is needed.

    Raises:
        ModelError: if there is no such model, or it cannot be used.
    """
    section = config.model
    served = is_served(section.name)
    if served:
        key: Any = (section, KINDS[config.task.kind].open)
    else:
        prepared = language_models.prepare(
            section.name, revision=section.revision, dtype=section.dtype, device=section.device
        )
        key = (prepared, section.chat_template, pass_settings(config))
    if key not in models:
        models.clear()  # one model at a time: the cached states of another one are of no use
        models[key] = open_served(*key) if served else language_models.LanguageModel(*key)
    return models[key]
