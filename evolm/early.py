"""What a campaign file alone shows to be wrong, checked before rows are read and large packages are imported."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from evolm.config import AUTO, DEFAULT_STRATEGY, EXTERNAL, BudgetSection, CampaignConfig, DataFiles
from evolm.data_access import require_data
from evolm.errors import ConfigError, nearest


def check_early(
    config: CampaignConfig,
    root: Path,
    admitted: Sequence[Path] = (),
    trusted: bool = False,
    *,
    functions: Collection[str] = (),
    framed: bool = False,
) -> None:
    """Check the budget, the names of strategy and scorers, and that files of rows and general text exist.

    Args:
        config: a validated campaign file.
        root: folder that its relative paths start from.
        admitted, trusted: what it may read beyond that folder, see :func:`evolm.data_access.locate`.
        functions: names of scorers given from Python.
        framed: whether the rows come from Python, so that ``task.data`` is no file.

    Raises:
        ConfigError: for an unknown name, a malformed place, or a budget without a limit.
        DataError: if a file of rows, or a distribution, is missing.
        PermissionNeeded: if rows lie where the campaign may not read.
    """
    check_budget(config.budget)
    if config.budget.audit_fall and config.task.gold != "audit":
        raise ConfigError(
            "budget.audit_fall: expected task.gold = 'audit', gold that is hidden from the search, found "
            f"{config.task.gold!r}"
        )
    check_strategy(config.strategy)
    if config.stage is not None:
        check_stages(config)
    if config.scorers:
        from evolm.scorers import SCORERS

        for name in config.scorers:
            if name not in functions:
                refuse_unknown(name, SCORERS, "scorers")
    data = config.task.data
    places = [place for _, place in data if place] if isinstance(data, DataFiles) else [] if framed else [data]
    if config.guard and config.guard.data:
        require_data(config.guard.data, root, admitted)
    for place in [*places, *filter(None, [config.task.unlabelled])]:
        require_data(place, root, admitted, trusted)


def check_budget(budget: BudgetSection) -> None:
    """Raise ConfigError if no limit is set, since the search would never end."""
    limiting = [name for name in BudgetSection.model_fields if name != "audit_fall"]  # which may never happen
    if not any(getattr(budget, name) for name in limiting):
        limits = ", ".join(limiting)
        raise ConfigError(f"budget: expected a limit above 0 on at least one of {limits}, found none")


def check_strategy(settings: Mapping[str, Any]) -> None:
    """Raise ConfigError if a ``[strategy]`` table names no strategy."""
    from evolm.strategies import STRATEGIES

    name = str(settings.get("name", DEFAULT_STRATEGY))
    if name not in (EXTERNAL, AUTO):
        refuse_unknown(name, STRATEGIES, "strategy.name")


def check_stages(config: CampaignConfig) -> None:
    """Raise ConfigError if a campaign in stages has a strategy of its own, or a stage names none that is known."""
    if config.strategy not in ({}, {"name": DEFAULT_STRATEGY}):
        raise ConfigError(
            f"strategy.name: expected no [strategy] beside [[stage]], found "
            f"{config.strategy.get('name', DEFAULT_STRATEGY)!r}; every stage has its own"
        )
    for stage in config.stage or ():
        if stage.strategy.get("name") == AUTO:
            raise ConfigError(f"stage.strategy: expected a strategy of one stage, found {AUTO!r}, which has several")
        check_strategy(stage.strategy)


def refuse_unknown(name: str, catalogue: Mapping[str, Any], where: str) -> None:
    """Raise ConfigError if a name is neither a key of the catalogue nor ``package.module:attribute``."""
    if name not in catalogue and ":" not in name:
        raise ConfigError(
            f"{where}: {name!r} is unknown, expected one of {sorted(catalogue)}{nearest(name, catalogue)}"
        )
