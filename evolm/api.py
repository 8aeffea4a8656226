"""evolm from Python: :func:`evolve`, and the result it returns."""

from __future__ import annotations

import html
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from evolm import config as configuration
from evolm.campaign import Observer, Permissions, start_run
from evolm.campaign.runs import predictor
from evolm.errors import ConfigError, RunError
from evolm.report import RunRecord
from evolm.storage import RunLayout


@dataclass
class Result:
    """What a campaign leaves behind.

    Attributes:
        directory: the run; removed with this object where no ``out`` was given.
        record: the content of ``result.json``.
    """

    directory: Path
    record: dict[str, Any]
    _temporary: tempfile.TemporaryDirectory[str] | None = field(default=None, repr=False)

    @property
    def best(self) -> dict[str, Any]:
        """The best genome's record."""
        return self.record["best"]["genome"]

    @property
    def prompt(self) -> str:
        """The best prompt, with the item's template where an item goes."""
        return (RunLayout(self.directory).best / "prompt.txt").read_text()

    @property
    def test(self) -> dict[str, Any] | None:
        """Scores, gain and intervals on the test split; None without gold labels there."""
        return self.record["test"]

    @property
    def claim(self) -> str:
        """The verdict in one sentence."""
        return self.record["claim"]

    @property
    def history(self) -> pd.DataFrame:
        """One row per evaluated individual of the main search, in the order of asking."""
        return RunRecord.read(self.directory).individuals("main")

    def predict(self, rows: pd.DataFrame | str | Path, n_jobs: int = 1) -> pd.DataFrame:
        """Return ``rows`` with ``label`` and ``p_LABEL`` columns, from a frame or a file."""
        with predictor(self.directory, n_jobs) as opened:
            return opened.predict(rows if isinstance(rows, pd.DataFrame) else str(rows))

    def export(self, path: str | Path) -> Path:
        """Copy the best prompt's files to a new folder and return it.

        Raises:
            RunError: if something lies there already.
        """
        target = Path(path)
        if target.exists():
            raise RunError(f"{target}: expected a new folder, found something there")
        shutil.copytree(RunLayout(self.directory).best, target)
        return target

    def __repr__(self) -> str:
        return f"Result({self.claim!r}, directory={str(self.directory)!r})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        test = self.test or {}
        names = ("best", "random_search", "few_shot", "prior_corrected", "founder", "majority")
        rows = "".join(
            f"<tr><td>{name}</td><td>{test[name]:.3f}</td></tr>" for name in names if test.get(name) is not None
        )
        metric = html.escape(self.record["task"]["metric"])
        return (
            f"<p><b>{html.escape(self.claim)}</b></p>"
            f"<table><tr><th>test</th><th>{metric}</th></tr>{rows}</table>"
            f"<pre style='white-space: pre-wrap'>{html.escape(self.prompt)}</pre>"
        )


def evolve(
    task: Mapping[str, Any] | pd.DataFrame,
    model: str | Mapping[str, Any],
    space: Mapping[str, Any] | None = None,
    founders: Sequence[str] = (),
    scorers: Mapping[str, float | Callable[..., float]] | None = None,
    strategy: str | Mapping[str, Any] = "genetic",
    budget: int | Mapping[str, Any] = 200,
    seed: int = 0,
    n_jobs: int | str = "auto",
    out: str | Path | None = None,
    callbacks: Sequence[Observer] = (),
    options: Mapping[str, Any] | None = None,
) -> Result:
    """Run a campaign and return its result.

    Args:
        task: the ``[task]`` table; its ``data`` is a file or a DataFrame. A DataFrame alone has the columns
            ``text`` and ``label``.
        model: a model's name, or the ``[model]`` table.
        space: the ``[space]`` table, like ``{"prompt": {"demonstrations": [0, 4]}}``.
        founders: instructions to start from; none = written from the labels.
        scorers: name -> weight, or name -> ``function(item, predicted_label, {label: probability})`` returning a
            number, higher is better. Functions run in this process only.
        strategy: a strategy's name, or the ``[strategy]`` table.
        budget: evaluations, or the ``[budget]`` table.
        seed: of the search.
        n_jobs: worker processes; ``"auto"`` = cores. No result depends on it.
        out: directory of the run; none = a temporary one that lives as long as the result.
        callbacks: observers of the campaign.
        options: further tables of campaign.toml, like ``{"baselines": {"few_shot": False}}``.

    Raises:
        EvolmError: for anything that can be mended, in one sentence.
        Interrupted: after Ctrl-C; the run can be resumed where ``out`` was given.
    """
    frame, table = _task_table(task)
    functions = {name: value for name, value in (scorers or {}).items() if callable(value)}
    weights = {name: 1.0 if callable(value) else value for name, value in (scorers or {}).items()}
    tables: dict[str, Any] = {
        "seed": seed,
        "task": table,
        "model": {"name": model} if isinstance(model, str) else dict(model),
        "strategy": {"name": strategy} if isinstance(strategy, str) else dict(strategy),
        "budget": {"evaluations": budget} if isinstance(budget, int) else dict(budget),
        "evaluation": {"n_jobs": n_jobs},
    }
    if space is not None:
        tables["space"] = dict(space)
    if weights:
        tables["scorers"] = weights
    configuration.overlay(tables, options or {})
    config = configuration.validate(configuration.Campaign, tables, "evolve")
    temporary = None if out is not None else tempfile.TemporaryDirectory(prefix="evolm-")
    directory = Path(out) if out is not None else Path(temporary.name)  # type: ignore[union-attr]
    run = start_run(
        config,
        Path.cwd(),
        directory,
        permissions=Permissions(trusted_data=True),
        observers=callbacks,
        instructions=founders,
        frame=frame,
        functions=functions,
    )
    return Result(run.directory, run.result, temporary)


def load_result(directory: str | Path) -> Result:
    """Return the result of a finished run.

    Raises:
        RunError: if the directory holds no finished run.
    """
    layout = RunLayout(Path(directory))
    layout.require_run()
    if not layout.result.exists():
        raise RunError(f"{directory}: expected a finished run, found no result.json; go on with 'evolm resume'")
    return Result(layout.directory, json.loads(layout.result.read_text()))


def _task_table(task: Mapping[str, Any] | pd.DataFrame) -> tuple[pd.DataFrame | None, dict[str, Any]]:
    """Return the rows, where they come from Python, and the ``[task]`` table."""
    if isinstance(task, pd.DataFrame):
        return task, {"data": "frame", "name": "frame", "columns": {"text": "text", "label": "label"}}
    if not isinstance(task, Mapping):
        raise ConfigError(f"task: expected a DataFrame or the [task] table, found {type(task).__name__}")
    table = dict(task)
    data = table.get("data")
    if isinstance(data, pd.DataFrame):
        table["data"] = "frame"
        return data, table
    return None, table
