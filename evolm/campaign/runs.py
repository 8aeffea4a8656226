"""Starting and continuing runs: a directory in, a result out."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from evolm import config as configuration
from evolm.artifacts import PromptRecord, prompts_below
from evolm.campaign.build import Components, Models, build
from evolm.campaign.campaign import Campaign
from evolm.campaign.permissions import MODEL, Permissions
from evolm.campaign.schedule import Deadline, Schedule
from evolm.config import EXTERNAL, FRAME, BudgetSection
from evolm.data_access import moved_data_hint
from evolm.errors import ConfigError, RunError, nearest
from evolm.founders.files import founders_files
from evolm.models.moved import move_hint, moved_section
from evolm.observers import Observer
from evolm.report import ReportWriter
from evolm.storage import AnswerStore, RunLayout, read_entries, write_atomically
from evolm.storage.layout import DATA, FOUNDERS, ITEMS
from evolm.tasks import SPLITS
from evolm.tasks.tables.frames import mapped_texts


@dataclass(frozen=True)
class Run:
    """A finished or interrupted run.

    Attributes:
        directory: the run's directory.
        result: the content of ``result.json``.
    """

    directory: Path
    result: dict[str, Any]


def start_run(
    config: configuration.CampaignConfig,
    root: Path,
    out: Path,
    *,
    permissions: Permissions = Permissions(),
    observers: Sequence[Observer] = (),
    instructions: Sequence[str] = (),
    warm_starts: Sequence[Path] = (),
    frame: pd.DataFrame | None = None,
    functions: Mapping[str, Callable[..., float]] | None = None,
    answers: Path | None = None,
    models: Models | None = None,
    report: bool = True,
    schedule: Schedule = Schedule(),
    cluster: str = "",
) -> Run:
    """Run a campaign in a new directory.

    Nothing is written before everything named in ``config`` is found, allowed and checked.

    Args:
        config: the campaign.
        root: folder that its relative paths start from.
        out: the new directory.
        permissions, instructions, warm_starts, frame, functions: see :func:`evolm.campaign.build.build`.
        observers: notified of every event.
        answers: an answer cache shared with other runs; none = the run's own.
        models: models shared with other runs of this process; see :func:`evolm.campaign.build.loaded`.
        report: whether ``report.html`` is written.
        schedule: when the process must end, and how long it may take after a signal.
        cluster: computes the answers; see :func:`evolm.evaluation.clusters.executor_of`. ``""`` = this machine.

    Raises:
        EvolmError: for every error that the user can correct.
        Interrupted: after Ctrl-C; ``continue_run(out)`` continues the run.
    """
    refuse_external(config)
    layout = RunLayout(out)
    layout.require_free()
    parts, files = built(
        config,
        root,
        permissions=permissions,
        frame=frame,
        functions=functions,
        instructions=instructions,
        warm_starts=warm_starts,
        models=models,
    )
    move_to(cluster, parts)
    layout.create()
    with layout.lock():
        write_first(layout, files)
        parts.engine.answers.close()
        parts.engine.answers = AnswerStore(answers or layout.answers)
        return _run(parts, layout, observers, report, schedule)


def move_to(cluster: str, parts: Components) -> None:
    """Let a cluster compute a campaign's answers; ``""`` and ``local`` change nothing.

    Raises:
        EvolmError: if it cannot be reached; the campaign's objects are then closed.
    """
    if not cluster:
        return
    from evolm.evaluation.clusters import executor_of

    try:
        executor = executor_of(cluster, parts.model, parts.config.evaluation.mixed_hosts)
    except BaseException:
        parts.engine.close()
        raise
    if executor is not None:
        parts.engine.executor = executor


def refuse_external(config: configuration.CampaignConfig) -> None:
    """Raise ConfigError for the strategy of :class:`evolm.Objective`, which proposes nothing by itself."""
    if config.strategy.get("name") == EXTERNAL:
        raise ConfigError(
            f"strategy.name: expected one of evolm's strategies, found {EXTERNAL!r}, which is reserved for "
            "evolm.Objective"
        )


def built(
    config: configuration.CampaignConfig, root: Path, **sources: Any
) -> tuple[Components, dict[str, str | bytes]]:
    """Return a new run's objects, and the files that its directory begins with; see :func:`first_files`.

    Args:
        config: the campaign.
        root: folder that its relative paths start from.
        sources: see :func:`evolm.campaign.build.build`.

    Raises:
        EvolmError: for every error that the user can correct.
    """
    parts = build(config, root, **sources)
    try:
        return parts, first_files(parts, sources.get("frame"))
    except BaseException:
        parts.engine.close()
        raise


def first_files(parts: Components, frame: pd.DataFrame | None) -> dict[str, str | bytes]:
    """Return the files of a run's directory before anything is evaluated: name -> content, ``campaign.toml`` last.

    Args:
        parts: the run's objects.
        frame: its rows, if they came from Python.
    """
    keys = {split: [item.content_key for item in getattr(parts.task, split)] for split in SPLITS}
    seen = parts.founders.seen
    files = founders_files(parts.founders.records(parts.space), seen)
    files[ITEMS] = json.dumps({**keys, "inherited": sorted(seen)}) + "\n"
    if frame is not None:
        files[DATA] = mapped_texts(frame, parts.config.task.column_names).to_parquet()
    own = parts.config.model_copy(update={"founders": [FOUNDERS]})
    files[configuration.FILE_NAME] = own.to_toml()
    return files


def write_first(layout: RunLayout, files: Mapping[str, str | bytes]) -> None:
    """Mark a directory as a run's, and write :func:`first_files` into it."""
    layout.begin()
    layout.clear_scratch()
    for name, content in files.items():
        write_atomically(layout.directory / name, content)


def _run(
    parts: Components,
    layout: RunLayout,
    observers: Sequence[Observer],
    report: bool,
    schedule: Schedule,
    raised: configuration.CampaignConfig | None = None,
) -> Run:
    """Run a campaign; ``raised`` has a larger budget, which the run keeps as soon as it can be continued."""
    written = [ReportWriter()] if report else []  # first: trackers upload the report
    limits = [] if schedule.until is None else [Deadline(parts, schedule.until)]
    campaign = Campaign(parts, layout, [*written, *observers, *limits], schedule.grace)
    try:
        campaign.open()
        if raised is not None:
            write_atomically(layout.campaign, raised.to_toml())
        return Run(layout.directory, campaign.run())
    finally:
        campaign.close()


def continue_run(
    directory: Path,
    *,
    add: Mapping[str, float] | None = None,
    n_jobs: int | str | None = None,
    permissions: Permissions = Permissions(),
    observers: Sequence[Observer] = (),
    functions: Mapping[str, Callable[..., float]] | None = None,
    answers: Path | None = None,
    models: Models | None = None,
    report: bool = True,
    model: str | None = None,
    schedule: Schedule = Schedule(),
    cluster: str = "",
) -> Run:
    """Continue a run from its last checkpoint; it ends exactly as an uninterrupted run would.

    Args:
        directory: of the run.
        add: key of ``[budget]`` -> how much to add; the searches continue and the test split is opened again.
        n_jobs: workers, if different from before; no result depends on it.
        permissions: packages and hosts must be allowed again; data may lie anywhere, since its content is checked.
        answers, models, report: as for :func:`start_run`; no result depends on them.
        model: the model's new place, if it has moved; the run remembers it.
        schedule, cluster: as for :func:`start_run`; no result depends on the cluster.

    Raises:
        RunError: if ``directory`` is no run, another process works on it, or its data or model changed.
        ModelError: if ``model`` is another one.
    """
    layout = RunLayout(directory)
    layout.require_run()
    with layout.lock():
        layout.clear_scratch()
        config = configuration.load(layout.campaign)
        if config.strategy.get("name") == EXTERNAL:
            raise RunError(
                f"{directory}: expected a campaign's run, found one of evolm.Objective; run its "
                "program again with the "
                "same out to continue it"
            )
        config = _with_budget(config, add or {})
        if n_jobs is not None:
            config = changed(config, {"evaluation": {"n_jobs": n_jobs}})
        if model is not None:
            config, permissions = _moved(layout, config, model), replace(permissions, trusted_models=(MODEL,))
        with move_hint(config.model.name), moved_data_hint(_sources(config), layout.campaign):
            parts = build_from_run(layout, config, permissions, functions, answers, models)
        move_to(cluster, parts)
        return _run(parts, layout, observers, report, schedule, config if add else None)


def _sources(config: configuration.CampaignConfig) -> list[str]:
    """Return the places of a run's rows; none if they came from Python."""
    data = config.task.data
    if isinstance(data, str):
        return [] if data == FRAME else [data]
    return [place for _, place in data if place]


def _moved(layout: RunLayout, config: configuration.CampaignConfig, place: str) -> configuration.CampaignConfig:
    """Write the model's new place into a run's campaign file and prompts; return the campaign with it."""
    head = next(read_entries(layout.journal), {})
    section = moved_section(config.model, place, str(head.get("model", {}).get("fingerprint")))
    for path in [*prompts_below(layout.best), *prompts_below(layout.baselines)]:
        write_atomically(path, PromptRecord.read(path).with_model_name(section.name).to_json())
    moved = config.model_copy(update={"model": section})
    write_atomically(layout.campaign, moved.to_toml())
    return moved


def build_from_run(
    layout: RunLayout,
    config: configuration.CampaignConfig,
    permissions: Permissions = Permissions(),
    functions: Mapping[str, Callable[..., float]] | None = None,
    answers: Path | None = None,
    models: Models | None = None,
) -> Components:
    """Build a run's objects from its directory."""
    trusted = replace(permissions, trusted_data=True)
    frame = layout.read_data(config.task.data)
    return build(
        config,
        layout.directory,
        permissions=trusted,
        frame=frame,
        functions=functions,
        answers=answers or layout.answers,
        models=models,
    )


def changed(config: configuration.CampaignConfig, tables: dict[str, Any]) -> configuration.CampaignConfig:
    """Return a configuration with some keys changed and validated."""
    merged = configuration.overlay(config.model_dump(by_alias=True, mode="json"), tables)
    return configuration.validate(configuration.CampaignConfig, merged, "campaign")


def _with_budget(config: configuration.CampaignConfig, add: Mapping[str, float]) -> configuration.CampaignConfig:
    known = list(BudgetSection.model_fields)
    limits: dict[str, Any] = {}
    for name, more in add.items():
        if name not in known:
            raise ConfigError(f"--add: {name!r} is no limit, expected one of {known}{nearest(name, known)}")
        before = getattr(config.budget, name)
        if not before:
            raise ConfigError(f"--add {name}: the run has no limit on {name} that could be raised")
        if not math.isfinite(more) or more <= 0 or (name != "seconds" and more != int(more)):
            kind = "number above 0" if name == "seconds" else "whole number above 0"
            raise ConfigError(f"--add {name}: expected a {kind}, found {more:g}")
        limits[name] = before + (more if name == "seconds" else int(more))
    return changed(config, {"budget": limits}) if limits else config


__all__ = ["Run", "build_from_run", "continue_run", "refuse_external", "start_run"]
