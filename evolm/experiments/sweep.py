"""Sweeps: every variant of a campaign with every seed, each cell an ordinary run, and one table of them all.

A sweep's directory holds ``VARIANT/seed-N`` for every cell, one answer cache that all cells share, and at the end
``sweep.json``, ``sweep.csv``, ``sweep.md`` and ``sweep.svg``. It has no state of its own: the cells tell
which are finished, so the same command continues a stopped sweep, or adds seeds and variants to it.
"""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolm import config as configuration
from evolm.baselines import BASELINES
from evolm.campaign.build import Models
from evolm.campaign.permissions import Permissions
from evolm.campaign.resolution import resolved
from evolm.campaign.runs import continue_run, refuse_external, start_run
from evolm.campaign.strategies import strategy_class
from evolm.config import AUTO, CampaignConfig, overlay
from evolm.early import check_budget
from evolm.errors import ConfigError, RunError
from evolm.experiments.comparison import Comparison, compare, require_comparable
from evolm.experiments.finished_runs import TestedRun, below, flat, is_finished, read_run
from evolm.observers import Observer
from evolm.report.comparison import group_frame, markdown, scores
from evolm.report.svg import render_file
from evolm.storage import RunLayout, write_atomically
from evolm.storage.layout import ANSWERS
from evolm.wording import listed

logger = logging.getLogger("evolm")

# Keys in which a cell on disk may differ from the requested one: no best depends on them, or a run resolves them.
SEARCHING = {name: str(baseline.strategy["name"]) for name, baseline in BASELINES.items() if baseline.strategy}
APART = ("name", "founders", "evaluation.n_jobs", *(f"baselines.{name}" for name in SEARCHING))


@dataclass(frozen=True)
class Cell:
    """One run of a sweep."""

    variant: str
    seed: int
    directory: Path
    config: CampaignConfig


@dataclass(frozen=True)
class Sweep:
    """A grid of runs.

    Attributes:
        folder: the founding population's.
        out: the sweep's directory.
        cells: seed by seed, each with all variants, so that finished seeds can be compared at any time.
        permissions: of every run.
    """

    folder: Path
    out: Path
    cells: list[Cell]
    permissions: Permissions


def plan_sweep(
    folder: Path,
    out: Path,
    variants: Mapping[str, Mapping[str, Any]],
    seeds: Sequence[int],
    overrides: Mapping[str, Any] | None = None,
    permissions: Permissions = Permissions(),
) -> Sweep:
    """Lay out a sweep and check it; nothing is written.

    The baseline random search, which costs as much as the search itself, is left out of all cells if random search is
    one of the variants, unless ``overrides`` ask for it.

    Args:
        folder: the founding population's.
        out: the sweep's directory; finished and interrupted cells in it are kept.
        variants: name -> tables that replace what the campaign file says, like ``{"strategy": {"name": "genetic"}}``.
        seeds: of the searches.
        overrides: tables for all variants.
        permissions: what the campaign may reach.

    Raises:
        EvolmError: if a configuration is wrong, or ``out`` holds something else or a cell of another one.
    """
    common = copy.deepcopy(dict(overrides or {}))
    for key in {"seed", "strategy.name"} & flat(common).keys():
        raise ConfigError(f"--set {key}: expected a sweep's seeds in --seeds and its strategies in --strategy")
    compared = {table.get("strategy", {}).get("name") for table in variants.values()}
    off = {name: False for name, strategy in SEARCHING.items() if strategy in compared}
    common = overlay({"baselines": off}, common) if off else common
    cells = []
    for seed in seeds:
        for name, tables in variants.items():
            changes = overlay(overlay(copy.deepcopy(common), copy.deepcopy(dict(tables))), {"seed": seed})
            config = configuration.load(folder / configuration.FILE_NAME, changes)
            title = f"{config.name or folder.resolve().name} · {name}"
            config = config.model_copy(update={"name": title})
            cells.append(Cell(name, seed, out / name / f"seed-{seed}", config))
    sweep = Sweep(folder, out, cells, permissions)
    _refuse_other_directory(sweep)
    for cell in cells:
        refuse_external(cell.config)
        if cell.config.strategy.get("name") != AUTO:
            strategy_class(cell.config.strategy, permissions)
        check_budget(cell.config.budget)
        _refuse_other_cell(cell, sweep)
    return sweep


def _refuse_other_directory(sweep: Sweep) -> None:
    """Raise if the directory holds anything but a sweep."""
    if RunLayout(sweep.out).journal.exists():
        raise RunError(f"{sweep.out}: expected a sweep's directory, found a run's")
    found = sorted(path.name for path in sweep.out.iterdir()) if sweep.out.is_dir() else []
    if found and not {ANSWERS, *(cell.variant for cell in sweep.cells)} & set(found):
        raise RunError(f"{sweep.out}: expected a new, empty or a sweep's directory, found {found[0]!r} in it")


def _refuse_other_cell(cell: Cell, sweep: Sweep) -> None:
    """Raise if a cell was begun with another configuration."""
    layout = RunLayout(cell.directory)
    if not layout.campaign.exists():
        return
    asked = resolved(cell.config, sweep.folder, sweep.permissions)
    was, wanted = (
        flat(config.model_dump(by_alias=True, mode="json")) for config in (configuration.load(layout.campaign), asked)
    )
    apart = (*APART, *(("strategy", "stage", "space") if asked.strategy.get("name") == AUTO else ()))
    for key in sorted(was | wanted):
        if was.get(key) != wanted.get(key) and not below(key, apart):
            raise RunError(
                f"{cell.directory}: expected {key} = {wanted.get(key)!r}, found a run with {was.get(key)!r}; "
                "choose another --out"
            )


def run_sweep(
    sweep: Sweep,
    watch: Callable[[], AbstractContextManager[Observer]] = lambda: nullcontext(Observer()),
    models: Models | None = None,
) -> Comparison:
    """Run the unfinished cells, compare the variants with the first one, and write the tables.

    Args:
        sweep: from :func:`plan_sweep`.
        watch: returns an observer for a cell that is run.
        models: models that other sweeps of this process have loaded; the cells of a sweep always share theirs.

    Raises:
        Interrupted: after Ctrl-C; calling it again goes on.
        EvolmError: if a cell cannot be run, or has no labelled test split.
    """
    groups: dict[str, list[TestedRun]] = {}
    models = {} if models is None else models
    for number, cell in enumerate(sweep.cells, 1):
        what = f"{cell.variant}, seed {cell.seed}"
        if not is_finished(cell.directory):
            logger.info("Cell %d of %d: %s", number, len(sweep.cells), what)
            with watch() as observer:
                _run_cell(cell, sweep, observer, models)
        run = read_run(cell.directory)
        groups.setdefault(cell.variant, []).append(run)
        require_comparable([run for runs in groups.values() for run in runs])
        _require_seeds_only(cell.variant, groups[cell.variant])
        logger.info("%s: %.3f on test", what, run.score())
    first, *others = groups
    comparison = compare(groups, [(other, first) for other in others])
    _write_tables(comparison.to_record(), sweep.out)
    return comparison


def _run_cell(cell: Cell, sweep: Sweep, observer: Observer, models: Models) -> None:
    layout, answers = RunLayout(cell.directory), RunLayout(sweep.out).answers
    if layout.journal.exists() and layout.journal.stat().st_size:
        continue_run(
            cell.directory,
            n_jobs=cell.config.evaluation.n_jobs,
            permissions=sweep.permissions,
            observers=[observer],
            answers=answers,
            models=models,
        )
    else:
        start_run(
            cell.config,
            sweep.folder,
            cell.directory,
            permissions=sweep.permissions,
            observers=[observer],
            answers=answers,
            models=models,
        )


def _write_tables(record: dict[str, Any], out: Path) -> None:
    files = {
        "sweep.json": json.dumps(record, ensure_ascii=False, indent=2) + "\n",
        "sweep.csv": group_frame(record).to_csv(index=False),
        "sweep.md": markdown(record),
        "sweep.svg": render_file(scores, record),
    }
    for name, content in files.items():
        write_atomically(out / name, content)


def _require_seeds_only(name: str, runs: Sequence[TestedRun]) -> None:
    """Raise if data, founders or model changed between cells of a variant."""
    for run in runs[1:]:
        if run.signature != runs[0].signature:
            settings = runs[0].settings | run.settings
            changed = [key for key in settings if run.settings.get(key) != runs[0].settings.get(key)]
            raise RunError(
                f"{name}: expected cells that differ in the seed only, found {listed(changed)} changed between "
                f"{runs[0].directory} and {run.directory}"
            )


def strategy_variants(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the variants that stand for strategies.

    Raises:
        ConfigError: if there are none, or one is named twice.
    """
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"--strategy: expected different names, like genetic,random_search, found {listed(names)}")
    return {name: {"strategy": {"name": name}} for name in names}
