"""Starting, continuing and applying runs: a directory in, a result out."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evolm import config as configuration
from evolm.campaign.build import Parts, Permissions, build, jobs
from evolm.campaign.loop import Campaign
from evolm.campaign.observers import Observer
from evolm.config import BudgetSection
from evolm.errors import ConfigError, DataError, RunError, nearest
from evolm.evaluation.engine import Engine
from evolm.genomes import from_record
from evolm.location import locate
from evolm.models import LanguageModel, prepare
from evolm.scorers import LabelLikelihood
from evolm.storage import AnswerStore, RunLayout, write_atomically
from evolm.tasks import Task, Template, read_items
from evolm.tasks.sources import cell_text
from evolm.wording import listed


@dataclass(frozen=True)
class Run:
    """A finished or interrupted run.

    Attributes:
        directory: where everything lies.
        result: what ``result.json`` holds.
    """

    directory: Path
    result: dict[str, Any]


def absolute(
    config: configuration.Campaign, root: Path, permissions: Permissions, framed: bool
) -> configuration.Campaign:
    """Return the campaign with every relative path made absolute, so that it means the same from anywhere.

    Args:
        framed: whether the rows came from Python, so that ``task.data`` is no file.
    """

    def place(source: str) -> str:
        if not source or source.startswith("package:"):
            return source
        return str(locate(source, root, permissions.data_roots, permissions.trusted_data))

    data = config.task.data
    if not isinstance(data, str):
        files: Any = {name: place(source) for name, source in data.model_dump().items()}
    else:
        files = data if framed else place(data)
    model = config.model.name
    if not model.startswith("package:") and ((root / model).exists() or model.endswith(".gguf")):
        model = str((root / model).expanduser().resolve())
    tables = config.model_dump(by_alias=True)
    tables["task"]["data"] = files
    tables["model"]["name"] = model
    tables["founders"] = [place(source) for source in config.founders]
    return configuration.validate(configuration.Campaign, tables, "campaign")


def start_run(
    config: configuration.Campaign,
    root: Path,
    out: Path,
    *,
    permissions: Permissions = Permissions(),
    observers: Sequence[Observer] = (),
    instructions: Sequence[str] = (),
    frame: pd.DataFrame | None = None,
    functions: Mapping[str, Callable[..., float]] | None = None,
) -> Run:
    """Run a campaign in a new directory.

    Nothing is written before everything named in ``config`` was found and fits.

    Raises:
        EvolmError: for anything a user can mend.
        Interrupted: after Ctrl-C; ``continue_run(out)`` goes on.
    """
    layout = RunLayout(out)
    if layout.journal.exists():
        layout.create()  # refuses, before anything slow happens
    parts = build(config, root, permissions=permissions, frame=frame, functions=functions, instructions=instructions)
    resolved = absolute(config, root, permissions, frame is not None)
    rows = None if frame is None else _as_text(frame, config).to_parquet()
    layout.create()
    with layout.lock():
        layout.begin()
        layout.clear_scratch()
        founders = [founder.to_record() for founder in parts.founders]
        lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in founders)
        write_atomically(layout.directory / "founders.jsonl", lines)
        if rows is not None:
            write_atomically(layout.data, rows)
        local = {"founders": ["founders.jsonl"]}
        tables = configuration.overlay(resolved.model_dump(by_alias=True, mode="json"), local)
        write_atomically(
            layout.campaign, configuration.validate(configuration.Campaign, tables, "campaign").to_toml()
        )
        parts.engine.answers.close()
        parts.engine.answers = AnswerStore(layout.answers)
        return _drive(parts, layout, observers)


def _as_text(frame: pd.DataFrame, config: configuration.Campaign) -> pd.DataFrame:
    """Return the mapped columns as the text that tasks are made of, which any file can hold."""
    mapped = list(dict.fromkeys(config.task.columns.values()))
    return frame[mapped].map(cell_text).reset_index(drop=True)


def _drive(parts: Parts, layout: RunLayout, observers: Sequence[Observer]) -> Run:
    campaign = Campaign(parts, layout, observers)
    try:
        campaign.open()
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
) -> Run:
    """Go on with a run from its last checkpoint, to the end that an undisturbed run would have reached.

    Args:
        directory: of the run.
        add: limits to raise, by the names of ``[budget]``; the searches go on and the test split is opened again.
        n_jobs: workers, if other than before; no result depends on it.
        permissions: packages are admitted anew; data is accepted where it is, since its content is checked.

    Raises:
        RunError: if it is no run, another process works on it, or its data or model changed.
    """
    layout = RunLayout(directory)
    layout.require_run()
    with layout.lock():
        layout.clear_scratch()
        config = configuration.load(layout.campaign)
        config = _with_budget(config, add or {})
        if n_jobs is not None:
            config = _changed(config, {"evaluation": {"n_jobs": n_jobs}})
        parts = build_from_run(layout, config, permissions, functions)
        if add:
            write_atomically(layout.campaign, config.to_toml())
        return _drive(parts, layout, observers)


def build_from_run(
    layout: RunLayout,
    config: configuration.Campaign,
    permissions: Permissions = Permissions(),
    functions: Mapping[str, Callable[..., float]] | None = None,
) -> Parts:
    """Build a run's parts from its directory."""
    trusted = Permissions(permissions.packages, permissions.data_roots, trusted_data=True)
    frame = pd.read_parquet(layout.data) if layout.data.exists() else None
    return build(
        config,
        layout.directory,
        permissions=trusted,
        frame=frame,
        functions=functions,
        answers=layout.answers,
    )


def _changed(config: configuration.Campaign, tables: dict[str, Any]) -> configuration.Campaign:
    merged = configuration.overlay(config.model_dump(by_alias=True, mode="json"), tables)
    return configuration.validate(configuration.Campaign, merged, "campaign")


def _with_budget(config: configuration.Campaign, add: Mapping[str, float]) -> configuration.Campaign:
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
    return _changed(config, {"budget": limits}) if limits else config


class Predictor:
    """Applies a run's best prompt, or one of its baselines, to rows.

    Args:
        directory: of the run.
        n_jobs: workers.
        use: ``"best"``, or a folder's name in ``baselines/``.

    Raises:
        RunError: if there is no best prompt yet.
        ModelError: if the model is missing or another one.
    """

    def __init__(self, directory: Path, n_jobs: int | str = 1, use: str = "best") -> None:
        layout = RunLayout(directory)
        layout.require_run()
        path = (layout.best if use == "best" else layout.baselines / use) / "prompt.json"
        if not path.exists():
            folders = layout.baselines.iterdir() if layout.baselines.exists() else ()
            known = ["best"] * layout.best.exists() + sorted(folder.name for folder in folders)
            raise RunError(f"{directory}: expected a prompt {use!r}, found {listed(known)}{nearest(use, known)}")
        record = json.loads(path.read_text())
        self.config = configuration.load(layout.campaign)
        section = self.config.model
        prepared = prepare(
            section.name, revision=section.revision, dtype=record["model"]["dtype"], device=section.device
        )
        if prepared.fingerprint != record["model"]["fingerprint"]:
            raise RunError(
                f"{directory}: the model changed since the run: expected {record['model']['fingerprint'][:16]}, "
                f"found {prepared.fingerprint[:16]}"
            )
        labels = tuple(record["answers"])
        template = Template.from_section(self.config.template, list(self.config.task.columns))
        section_name = self.config.task.name or str(self.config.task.data)
        self.task = Task(
            section_name,
            self.config.task.kind,
            self.config.task.metric,
            labels,
            template,
            (),
            (),
            (),
            (),
            (),
            False,
        )
        self.model = LanguageModel(prepared, "on" if record["chat_template"] else "off")
        self.genome = from_record(record["genome"])
        words = {label: (self.genome.word(label),) for label in self.task.labels}
        params = LabelLikelihood.Params(normalization=record["normalization"])
        self.likelihood = LabelLikelihood(self.task, self.model, params, words)
        self.prior = np.array([(record.get("prior") or {}).get(label, 0.0) for label in labels])
        self.engine = Engine(self.model, AnswerStore(":memory:"), jobs(n_jobs, self.model))

    def predict(self, source: str | pd.DataFrame, root: Path = Path()) -> pd.DataFrame:
        """Return the rows with ``label`` and one ``p_LABEL`` column per label; rows with empty cells get none.

        Args:
            source: a file with the task's columns (no label needed), or a frame.
            root: folder that a relative file starts from.
        """
        section = self.config.task
        frame, items = read_items(source, section, root=root, trusted=True)
        present = [(index, item) for index, item in enumerate(items) if item is not None]
        logprobs = self._logprobs([item for _, item in present])
        rows = [index for index, _ in present]
        labels = np.full(len(frame), None, dtype=object)
        labels[rows] = [self.task.labels[i] for i in logprobs.argmax(axis=1)]
        result = frame.assign(label=labels)
        for column, label in enumerate(self.task.labels):
            values = np.full(len(frame), np.nan)
            values[rows] = np.exp(logprobs[:, column])
            result[f"p_{label}"] = values
        return result

    def _logprobs(self, items: Sequence[Any]) -> np.ndarray:
        if not items:
            raise DataError("expected at least one row without empty cells to predict, found none")
        requests = self.likelihood.requests(self.genome, items)
        shifted = self.likelihood.label_logprobs(self.engine.answer(requests)) - self.prior
        return shifted - np.logaddexp.reduce(shifted, axis=1, keepdims=True)

    def close(self) -> None:
        """End the workers."""
        self.engine.close()


@contextmanager
def predictor(directory: Path, n_jobs: int | str = 1, use: str = "best") -> Iterator[Predictor]:
    """Open a :class:`Predictor` and close it afterwards."""
    opened = Predictor(directory, n_jobs, use)
    try:
        yield opened
    finally:
        opened.close()


__all__ = ["Predictor", "Run", "build_from_run", "continue_run", "predictor", "start_run"]
