"""The stages of the main search: what evolves in each, by which strategy, and up to which share of the budget.

The main search is one search with one ledger, archive and numbering of individuals. At the end of a stage its
strategy is replaced: the next one begins with the finalists of the archive, which keep their ids and their fitness,
and tries no genome again. A campaign without ``[[stage]]`` has a single stage, made from ``[strategy]``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from evolm.baselines import searching_baselines
from evolm.campaign.permissions import Permissions
from evolm.campaign.strategies import StrategyChoice, choose_strategy, strategy_class, strategy_name
from evolm.config import DEFAULT_STRATEGY, BudgetSection, CampaignConfig, SpaceSection, StageSection
from evolm.errors import ConfigError, nearest
from evolm.evaluation.racing import Rules
from evolm.genomes import CHROMOSOMES, DELTA, PROMPT, READOUT, ChromosomeSpace, Genome, Space
from evolm.readout_kinds import CALIBRATION
from evolm.tasks import Task
from evolm.wording import listed

_DEFAULTS = StageSection()
COUNTED = ("evaluations", "items", "tokens", "requests")  # limits of a budget that stages share


@dataclass(frozen=True)
class Stage:
    """A stage of the main search, checked against the campaign.

    Attributes:
        settings: its ``[strategy]`` table.
        choice: its strategy and operators.
        kinds: kinds of chromosomes that evolve.
        rules: how individuals race; None if they do not.
        until: share of the budget that is spent when the stage ends, those before it included; 1 for the last.
        founders: best individuals of earlier stages that it begins with.
        readout: kind of readout by which it reads these; ``""`` = as they were read.
        demonstrations: whether their prompts keep their demonstrations.
    """

    settings: Mapping[str, Any]
    choice: StrategyChoice
    kinds: tuple[str, ...]
    rules: Rules | None
    until: float = 1.0
    founders: int = _DEFAULTS.founders
    readout: str = ""
    demonstrations: bool = True

    @property
    def name(self) -> str:
        """What evolves, like ``"prompt+readout"``."""
        return "+".join(self.kinds)

    def begun_with(self, genome: Genome, space: Space) -> Genome:
        """Return a founder as this stage reads and shows it: the genome itself, or another one."""
        if self.readout:
            genome = genome.with_chromosome(READOUT, space[READOUT].readout(self.readout))
        if not self.demonstrations:
            genome = genome.with_chromosome(PROMPT, replace(genome[PROMPT], demonstrations=()))
        return genome

    def budget(self, whole: BudgetSection) -> BudgetSection:
        """Return the limits at which the stage ends; what earlier stages left over is its own to spend."""
        if self.until == 1:
            return whole
        return whole.model_copy(
            update={
                **{name: self._share(getattr(whole, name)) for name in COUNTED},
                "seconds": whole.seconds * self.until,
            }
        )

    def _share(self, limit: int) -> int:
        """Return the stage's part of a limit, one at least; 0 = no limit."""
        return max(round(limit * self.until), min(limit, 1))

    def to_record(self) -> dict[str, Any]:
        """Return JSON values for the journal's head."""
        return {
            "strategy": {"name": strategy_name(self.settings), **self.choice.params.model_dump(mode="json")},
            "space": list(self.kinds),
            "until": self.until,
            "operators": {operator.name: weight for operator, weight in self.choice.operators},
            "racing": self.rules.to_record() if self.rules else None,
            "founders": self.founders,
            "readout": self.readout or None,
            "demonstrations": self.demonstrations,
        }


def with_spaces(config: CampaignConfig) -> CampaignConfig:
    """Return a campaign in which every kind of chromosome that a stage names has a table, the default one if none.

    Raises:
        ConfigError: if no stage names a kind that has a table.
    """
    if config.stage is None:
        return config
    tables = config.space.model_dump(exclude_unset=True, exclude_none=True)
    named = {kind for stage in config.stage for kind in stage.space or tables}
    for kind in tables:
        if kind not in named:
            raise ConfigError(
                f"space.{kind}: expected a [[stage]] that names {kind!r} in its space, found {listed(sorted(named))}"
            )
    known = [kind for kind in CHROMOSOMES if kind in named]
    missing: dict[str, Any] = {kind: {} for kind in [*known, *sorted(named.difference(known))] if kind not in tables}
    space = SpaceSection.model_validate({**tables, **missing}) if missing else config.space
    return config.model_copy(update={"space": space})


def choose_stages(
    config: CampaignConfig, kinds: Mapping[str, type[ChromosomeSpace]], task: Task, permissions: Permissions
) -> tuple[Stage, ...]:
    """Return the stages of a campaign; a single one if it has none.

    Args:
        config: resolved, see :func:`with_spaces`; its strategy is not ``auto``.
        kinds: the kinds of chromosomes that evolve, and the classes of their spaces.
        task: the campaign's task.
        permissions: packages that tables may name code of.

    Raises:
        ConfigError: if a strategy does not fit its stage, or a stage's share of the budget pays for nothing.
        PermissionNeeded: for code of a package that is not allowed.
    """
    if config.stage is None:
        choice = choose_strategy(config, config.strategy, kinds, task, permissions)
        return (Stage(config.strategy, choice, tuple(kinds), Rules.of(config.evaluation)),)
    total = math.fsum(stage.share for stage in config.stage)
    stages = []
    for number, section in enumerate(config.stage, 1):
        named = set(section.space or kinds)
        if PROMPT in named and config.space.readout is None:
            named.add(READOUT)  # calibrated or not: without a table, readouts evolve with prompts
        evolving = {kind: kinds[kind] for kind in kinds if kind in named}
        settings = section.strategy or {"name": "memetic" if DELTA in evolving else DEFAULT_STRATEGY}
        alone = _alone(config, settings, section)
        with _in_stage(number):
            choice = choose_strategy(alone, settings, evolving, task, permissions)
        last = number == len(config.stage)
        until = 1.0 if last else math.fsum(stage.share for stage in config.stage[:number]) / total
        _check_readout(config, section, number, READOUT in kinds)
        _check_demonstrations(config, section, number, PROMPT in kinds)
        stages.append(
            Stage(
                settings,
                choice,
                tuple(evolving),
                Rules.of(alone.evaluation),
                until,
                section.founders,
                section.readout,
                section.demonstrations,
            )
        )
    _check_shares(config.budget, stages, len(task.dev))
    return tuple(stages)


def stage_for(stages: Sequence[Stage], settings: Mapping[str, Any], permissions: Permissions) -> Stage:
    """Return the first stage whose space a ``[strategy]`` table can search; the first one if there is none."""
    kind, _ = strategy_class(settings, permissions)
    return next((stage for stage in stages if not kind.refuses_space(stage.kinds)), stages[0])


def check_baselines(
    config: CampaignConfig,
    stages: Sequence[Stage],
    kinds: Mapping[str, type[ChromosomeSpace]],
    task: Task,
    permissions: Permissions,
) -> None:
    """Check the searches of baselines before anything is written; arguments as for :func:`choose_stages`.

    Raises:
        ConfigError: if one cannot search the campaign's space, or lacks the rows that it learns from.
    """
    learning = {stage.choice.kind.learns for stage in stages}
    for baseline in searching_baselines(config.baselines, only_strategy(stages), learning, bool(task.demonstrable)):
        table = dict(baseline.strategy or {})
        evolving = {kind: kinds[kind] for kind in stage_for(stages, table, permissions).kinds}
        try:
            choose_strategy(config, table, evolving, task, permissions)
        except ConfigError as error:
            raise type(error)(f"baselines.{baseline.name}: {error}") from None


def racing_rules(stages: Sequence[Stage]) -> Rules | None:
    """Return how individuals race in the first stage in which they do; None if they never do."""
    return next((stage.rules for stage in stages if stage.rules), None)


def only_strategy(stages: Sequence[Stage]) -> str:
    """Return the name of the main search's strategy; ``""`` if it has several stages."""
    return strategy_name(stages[0].settings) if len(stages) == 1 else ""


def _alone(config: CampaignConfig, settings: Mapping[str, Any], section: StageSection) -> CampaignConfig:
    """Return the campaign with the strategy and the racing of one stage as its own."""
    racing = section.racing or config.evaluation.racing
    evaluation = config.evaluation.model_copy(update={"racing": racing})
    return config.model_copy(update={"strategy": dict(settings), "evaluation": evaluation})


@contextmanager
def _in_stage(number: int) -> Iterator[None]:
    """Name the stage in errors."""
    try:
        yield
    except ConfigError as error:
        raise type(error)(f"stage {number}: {error}") from None


def _check_readout(config: CampaignConfig, section: StageSection, number: int, evolve: bool) -> None:
    """Raise ConfigError if a stage reads in a way that the campaign does not know, or has nothing to read anew.

    Args:
        config: the campaign.
        section: of the stage.
        number: of the stage.
        evolve: whether readouts evolve in any stage.
    """
    if not section.readout:
        return
    if not evolve:
        raise ConfigError(
            f"stage {number}: readout: expected none, since readouts do not evolve in this campaign (no prompts, no "
            f"[space.readout]), found {section.readout!r}"
        )
    if number == 1:
        raise ConfigError(f"stage 1: readout: expected none, since no stage is before it, found {section.readout!r}")
    kinds = config.space.readout.kinds if config.space.readout else CALIBRATION
    if section.readout not in kinds:
        raise ConfigError(
            f"stage {number}: readout: expected one of {listed(kinds)}, the kinds in [space.readout], found "
            f"{section.readout!r}{nearest(section.readout, kinds)}"
        )


def _check_demonstrations(config: CampaignConfig, section: StageSection, number: int, evolve: bool) -> None:
    """Raise ConfigError if a stage leaves out demonstrations that there are none of, or that prompts must show.

    Args:
        config: the campaign.
        section: of the stage.
        number: of the stage.
        evolve: whether prompts evolve in any stage.
    """
    if section.demonstrations:
        return
    if number == 1:
        raise ConfigError("stage 1: demonstrations: expected true, since no stage is before it, found false")
    if not evolve:
        raise ConfigError(
            f"stage {number}: demonstrations: expected true, since prompts do not evolve in this campaign, "
            "found false"
        )
    if config.space.prompt is not None and (fewest := config.space.prompt.demonstrations[0]):
        raise ConfigError(
            f"stage {number}: demonstrations: expected true, since space.prompt.demonstrations asks for at least "
            f"{fewest}, found false"
        )


def _check_shares(budget: BudgetSection, stages: Sequence[Stage], dev: int) -> None:
    """Raise ConfigError if a stage's share of a limit is less than one evaluation."""
    for name, least in (("evaluations", 1), ("items", dev)):
        before = 0
        for number, stage in enumerate(stages, 1):
            limit = getattr(stage.budget(budget), name)
            if limit and limit - before < least:
                raise ConfigError(
                    f"stage {number}: expected a share of at least {least} of the {getattr(budget, name)} {name} in "
                    f"[budget], found {limit - before}"
                )
            before = limit
