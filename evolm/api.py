"""evolm from Python: :func:`evolve`, and the result it returns.

A result can be used in four ways::

    result = evolve(frame, "models/tiny", out="runs/mail")
    result.predict(new_rows)                       # a frame with labels, options or written texts
    result.score(labelled_rows).interval           # its score on rows that no campaign has seen
    result.export("best-prompt")                   # a folder for evolm predict and evolm score
    evolve(frame, "models/tiny", warm_start=[result])  # another campaign that starts from this one's best
"""

from __future__ import annotations

import html
import logging
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from evolm import config as configuration
from evolm.baselines import BASELINES
from evolm.baselines.single import SINGLE
from evolm.campaign import Observer, Permissions, start_run
from evolm.campaign.permissions import MODELS
from evolm.choices import ExportForm
from evolm.config import DEFAULT_STRATEGY, FRAME
from evolm.data_access import require_data
from evolm.errors import ConfigError, DataError, RunError
from evolm.export.export import export as write_export
from evolm.export.predictor import saved_prompt
from evolm.export.score_report import ScoreReport
from evolm.founders.sources import find_source
from evolm.models.served.names import is_served
from evolm.report import RunRecord
from evolm.report.run_files import readable
from evolm.storage import RunLayout
from evolm.storage.damage import read_record
from evolm.typed import at_home
from evolm.wording import shell_word

logger = logging.getLogger("evolm")


@dataclass
class Result:
    """A finished run.

    Attributes:
        directory: the run's directory; removed with this object if no ``out`` was given.
        record: the content of ``result.json``.
    """

    directory: Path
    record: dict[str, Any]
    _temporary: tempfile.TemporaryDirectory[str] | None = field(default=None, repr=False)
    _server: str | None = field(default=None, repr=False)  # that the caller of evolve named

    @property
    def best(self) -> dict[str, Any]:
        """The summary of the best individual: kind of chromosome -> its summary, such as ``{"prompt": {...}}``."""
        return self.record["best"]["genome"]

    @property
    def prompt(self) -> str:
        """The prompt of the best individual, with the item's template where an item goes."""
        layout = RunLayout(self.directory)
        single = layout.baselines / SINGLE.name / layout.prompt.name
        return (single if single.exists() else layout.prompt).read_text(encoding="utf-8")

    @property
    def committee(self) -> list[dict[str, Any]] | None:
        """The members of a committee that won, each with ``id``, ``weight``, ``genome`` and scores; else None.

        The committee then answers :meth:`predict` and :meth:`score`; ``use="single"`` takes the best individual.
        """
        committee = self.record.get("committee")
        return committee and committee["members"]

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
        """One row per individual of the main search, in the order of asking.

        ``status`` is evaluated, failed or dropped; of the last two, which have no ``score``, ``reason`` says why.
        """
        with readable(self.directory):
            return RunRecord.read(self.directory).individuals("main")

    @property
    def front(self) -> list[dict[str, Any]] | None:
        """The Pareto front's members, each with ``id``, ``digest``, ``objectives`` and ``genome``.

        None if one objective was searched (``fitness.combine = "sum"``).
        """
        front = self.record.get("front")
        return front and front["members"]

    def predict(
        self,
        rows: pd.DataFrame | str | Path,
        n_jobs: int | str = 1,
        model: str | None = None,
        use: str = "best",
    ) -> pd.DataFrame:
        """Return ``rows``, from a frame or a file, with the answer of the best to each row.

        A classification adds ``label`` and one ``p_LABEL`` column per label; a choice task ``label``, the option,
        and its probability ``p``; a generation task ``output``, the written text. If the rows have a column of such
        a name, such as their gold ``label``, all of these names begin with ``predicted_``, and a warning is logged.
        Rows with empty cells, and those longer than the model's context, get no answer; a warning counts them.

        Args:
            rows: with the task's columns.
            n_jobs: worker processes.
            model: the model's new place, if it has moved since the run.
            use: ``"best"``, or a baseline such as ``"founder"``.

        Raises:
            DataError: if a column is missing, or no row can be asked about.
            ModelError: if the model is missing, or another one.
        """
        with saved_prompt(self.directory, n_jobs, use, model or self._server) as opened:
            predicted = opened.answer(_source(rows))
        for sentence in filter(None, (*opened.notes, predicted.renamed, predicted.missing)):
            logger.warning(sentence)
        return predicted.frame()

    def score(
        self,
        rows: pd.DataFrame | str | Path,
        label: str | None = None,
        n_jobs: int | str = 1,
        model: str | None = None,
        use: str = "best",
    ) -> ScoreReport:
        """Return the score of the best on labelled rows, from a frame or a file.

        Args:
            rows: with the task's columns, its label among them.
            label: the column of right answers; needed if the prompt was evolved without one.
            n_jobs: worker processes.
            model: the model's new place, if it has moved since the run.
            use: ``"best"``, or a baseline such as ``"founder"``.

        Raises:
            ConfigError: if no column of right answers is known.
            DataError: if a column is missing, a label unknown, or fewer than two rows can be scored.
        """
        with saved_prompt(self.directory, n_jobs, use, model or self._server) as opened:
            report = opened.score(_source(rows), None if label is None else str(label))
        for sentence in opened.notes:
            logger.warning(sentence)
        return report

    def export(
        self,
        path: str | Path,
        to: ExportForm = "prompt",
        *,
        use: str = "best",
        without_examples: bool = False,
        copy: bool = False,
        base: str | None = None,
        model: str | None = None,
    ) -> Path:
        """Write the best prompt, delta or population to a new folder and return the folder.

        Args:
            path: the folder; missing parents are created.
            to: ``"prompt"`` = the best prompt, for ``evolm predict`` and ``evolm score``; ``"peft"`` = its delta as
                an adapter for PEFT; ``"merged"`` = a model with the delta in its weights; ``"population"`` = the best
                as a founding population, for ``evolm run`` and ``warm_start``.
            use: which prompt: ``"best"``, or a baseline such as ``"founder"``.
            without_examples: leave out demonstrations, which are rows of the data. The prompt is then not the
                one that was scored. A population keeps hashes of rows, so that it is never tested on rows
                it has seen; its README says what they reveal.
            copy: copy the campaign's rows into the population, as one of a temporary run needs.
            base: with ``"peft"``: another copy of the model, a folder or a hub id, that the adapter is for. If it is
                on this machine, the adapter is scored on it.
            model: the model's new place, if it has moved since the run; the export names this place.

        Raises:
            ConfigError: if the arguments contradict each other.
            RunError: if ``path`` exists already.
        """
        folder = Path(at_home(str(path)))
        write_export(
            self.directory,
            folder,
            to,
            use=use,
            without_examples=without_examples,
            copy=copy,
            base=base,
            model=model or self._server,
        )
        return folder

    def __repr__(self) -> str:
        return f"Result({self.claim!r}, directory={str(self.directory)!r})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        test = self.test or {}
        titles = {"best": "best", **{name: baseline.title for name, baseline in BASELINES.items()}}
        rows = "".join(
            f"<tr><td>{html.escape(title)}</td><td>{test[name]:.3f}</td></tr>"
            for name, title in titles.items()
            if test.get(name) is not None
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
    strategy: str | Mapping[str, Any] = DEFAULT_STRATEGY,
    budget: int | Mapping[str, Any] = 200,
    seed: int = 0,
    n_jobs: int | str = "auto",
    out: str | Path | None = None,
    callbacks: Sequence[Observer] = (),
    options: Mapping[str, Any] | None = None,
    warm_start: Sequence[str | Path | Result] = (),
    report: bool = True,
    cluster: str = "",
) -> Result:
    """Run a campaign and return its result.

    Args:
        task: the ``[task]`` table; its ``data`` is a file or a DataFrame. A DataFrame alone has the columns
            ``text`` and ``label``.
        model: a model's name, or the ``[model]`` table.
        space: the ``[space]`` table, like ``{"prompt": {"demonstrations": [0, 4]}}``.
        founders: instructions to start from; none = generated from the task.
        scorers: name -> weight, or name -> ``function(item, predicted_label, {label: probability})`` returning a
            number, higher is better. Functions run in this process only.
        strategy: a strategy's name, or the ``[strategy]`` table.
        budget: evaluations, or the ``[budget]`` table.
        seed: of the search.
        n_jobs: worker processes; ``"auto"`` = cores. No result depends on it.
        out: directory of the run; none = a temporary one that lives as long as the result.
        callbacks: observers of the campaign.
        options: further tables of campaign.toml, like ``{"baselines": {"few_shot": False}}``.
        warm_start: runs, founding populations or results whose best prompts to start from, beside ``founders``. One
            that has seen an item of the test split is refused.
        report: whether ``report.html`` is written.
        cluster: whose workers compute the answers: ``dask://HOST:PORT``, ``ray://HOST:PORT`` or ``ray``; ``""`` =
            this machine's.

    Raises:
        EvolmError: for every error that the caller can correct, in one sentence.
        Interrupted: after Ctrl-C; the run can be resumed if ``out`` was given.
    """
    given = arguments(
        "evolve", task, model, space, founders, scorers, strategy, budget, seed, n_jobs, options, warm_start
    )
    directory, temporary = run_directory(out)
    heard = observers(callbacks)
    run = start_run(
        given.config, Path.cwd(), directory, observers=heard, report=report, cluster=cluster, **given.sources
    )
    server = given.config.model.name if is_served(given.config.model.name) else None
    return Result(run.directory, run.result, temporary, server)


@dataclass(frozen=True)
class Arguments:
    """A Python caller's arguments: a configuration, and the objects that a campaign file cannot hold.

    Attributes:
        config: the validated tables.
        sources: rows, functions, founders and permissions, by the names that
            :func:`evolm.campaign.build.build` and :func:`evolm.campaign.start_run` give them.
    """

    config: configuration.CampaignConfig
    sources: dict[str, Any]


def arguments(
    where: str,
    task: Mapping[str, Any] | pd.DataFrame,
    model: str | Mapping[str, Any],
    space: Mapping[str, Any] | None,
    founders: Sequence[str],
    scorers: Mapping[str, float | Callable[..., float]] | None,
    strategy: str | Mapping[str, Any],
    budget: int | Mapping[str, Any],
    seed: int,
    n_jobs: int | str,
    options: Mapping[str, Any] | None,
    warm_start: Sequence[str | Path | Result],
) -> Arguments:
    """Return the arguments of :func:`evolve` as a campaign; ``where`` names the caller in error messages.

    Raises:
        ConfigError: if a key or value is wrong.
        GenomeError: if a warm start cannot be found.
    """
    frame, table = _task_table(task)
    for name, given in (("scorers", scorers), ("options", options)):
        if given is not None and not isinstance(given, Mapping):
            raise ConfigError(f"{name}: expected a table of names, found {given!r:.60}")
    functions = {name: value for name, value in (scorers or {}).items() if callable(value)}
    weights = {name: 1.0 if callable(value) else value for name, value in (scorers or {}).items()}
    tables: dict[str, Any] = {
        "seed": seed,
        "task": table,
        "model": _table(model, "name"),
        "strategy": _table(strategy, "name"),
        "budget": _table(budget, "evaluations"),
        "evaluation": {"n_jobs": n_jobs},
    }
    if space is not None:
        tables["space"] = dict(space) if isinstance(space, Mapping) else space
    if weights:
        tables["scorers"] = weights
    configuration.overlay(tables, options or {})
    sources = {
        "permissions": Permissions(trusted_data=True, trusted_models=MODELS),
        "instructions": _texts("founders", founders),
        "warm_starts": [_place(start) for start in _several(warm_start)],
        "frame": frame,
        "functions": functions,
    }
    return Arguments(configuration.validate(configuration.CampaignConfig, tables, where), sources)


def observers(callbacks: Any) -> list[Observer]:
    """Return a caller's observers, which are given in any sequence, or alone.

    Raises:
        ConfigError: if one is no observer, such as a class.
    """
    found = [callbacks] if isinstance(callbacks, Observer) else list(callbacks)
    for each in found:
        if isinstance(each, type) or not hasattr(each, "on_start"):
            raise ConfigError(f"callbacks: expected objects with the methods of evolm.Observer, found {each!r:.60}")
    return found


def run_directory(out: str | Path | None) -> tuple[Path, tempfile.TemporaryDirectory[str] | None]:
    """Return a run's directory, and the temporary directory that holds it if ``out`` is None."""
    if out is not None:
        return Path(at_home(str(out))), None
    temporary = tempfile.TemporaryDirectory(prefix="evolm-")
    return Path(temporary.name), temporary


def load_result(directory: str | Path) -> Result:
    """Return the result of a finished run.

    Raises:
        RunError: if the directory holds no finished run.
    """
    layout = RunLayout(Path(at_home(str(directory))))
    layout.require_run()
    if not layout.result.exists():
        raise RunError(
            f"{directory}: expected a finished run, found no {layout.result.name}; go on with 'evolm resume'"
        )
    advice = f"if it is deleted, 'evolm resume {shell_word(directory)}' writes it again"
    return Result(layout.directory, read_record(layout.result, "the run's result", advice))


def _source(rows: pd.DataFrame | str | Path) -> pd.DataFrame | str:
    if isinstance(rows, str | Path):
        require_data(str(rows), Path(), trusted=True)  # before the model is loaded
        return at_home(str(rows))
    if not isinstance(rows, pd.DataFrame):
        raise DataError(f"rows: expected a file's name or a pandas DataFrame, found {_kind_of(rows)}")
    return rows


def _table(given: Any, key: str) -> dict[str, Any]:
    """Return a table that is given as such, or as the value of its ``key``."""
    return dict(given) if isinstance(given, Mapping) else {key: given}


def _several(given: Any) -> list[Any]:
    """Return a list; a text, a path or a result alone is a list of one."""
    if isinstance(given, str | os.PathLike | Result):
        return [given]
    return list(given)


def _texts(name: str, given: Any) -> list[str]:
    """Return texts that are given in any sequence, or alone.

    Raises:
        ConfigError: naming the first that is no text.
    """
    try:
        values = _several(given)
    except TypeError:
        raise ConfigError(f"{name}: expected a list of texts, found {given!r:.60}") from None
    for value in values:
        if not isinstance(value, str):
            raise ConfigError(f"{name}: expected a list of texts, found {value!r:.60} in it")
    return [str(value) for value in values]


def _place(start: str | Path | Result) -> Path:
    return start.directory if isinstance(start, Result) else find_source(str(start), trusted=True)


def _task_table(task: Mapping[str, Any] | pd.DataFrame) -> tuple[pd.DataFrame | None, dict[str, Any]]:
    """Return the rows, if they come from Python, and the ``[task]`` table."""
    if isinstance(task, pd.DataFrame):
        return task, {"data": FRAME, "name": "frame", "columns": {"text": "text", "label": "label"}}
    if not isinstance(task, Mapping):
        raise ConfigError(f"task: expected a pandas DataFrame or the [task] table, found {_kind_of(task)}")
    table = dict(task)
    data = table.get("data")
    if isinstance(data, pd.DataFrame):
        table["data"] = FRAME
        return data, table
    if data is not None and not isinstance(data, str | Path | Mapping):
        raise ConfigError(f"task.data: expected a file's name or a pandas DataFrame, found {_kind_of(data)}")
    for split, file in data.items() if isinstance(data, Mapping) else ():
        if not isinstance(file, str | Path):
            raise ConfigError(f"task.data.{split}: expected a file's name, found {_kind_of(file)}")
    if isinstance(data, Path):
        table["data"] = str(data)
    return None, table


def _kind_of(value: Any) -> str:
    """Return the type of a value, and how to make a pandas frame of another package's."""
    kind = type(value)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    return f"{name}; convert it with .to_pandas()" if hasattr(value, "to_pandas") else name
