"""A saved prompt at work: predictions for new rows, and its score on labelled ones.

Everything comes from ``prompt.json`` (:mod:`evolm.export.prompt`), so a prompt works from a run's directory, from
an exported folder, or on its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evolm.campaign.build import jobs, make_scorer, scoring_of, task_scorer
from evolm.campaign.statistics import bootstrap
from evolm.config import Campaign, validate
from evolm.errors import DataError, RunError, nearest
from evolm.evaluation.engine import Engine
from evolm.evaluation.evaluator import Evaluator
from evolm.genomes import from_record
from evolm.models import LanguageModel, prepare
from evolm.scorers import SCORERS, Evaluation, Weighted
from evolm.storage import AnswerStore, RunLayout
from evolm.tasks import Item, Task, Template, read_items
from evolm.wording import listed

FILE = "prompt.json"


def find_prompt(place: Path, use: str = "best") -> Path:
    """Return the ``prompt.json`` that ``place`` stands for.

    Args:
        place: a run's directory, an exported folder, or the file itself.
        use: of a run: ``"best"``, or a folder's name in ``baselines/``.

    Raises:
        RunError: if there is none.
    """
    if place.is_file():
        return place
    layout = RunLayout(place)
    if not layout.journal.exists():
        if (place / FILE).exists():
            return place / FILE
        raise RunError(f"{place}: expected a run, a folder with {FILE} or that file, found none of them")
    layout.require_run()
    path = (layout.best if use == "best" else layout.baselines / use) / FILE
    if not path.exists():
        folders = layout.baselines.iterdir() if layout.baselines.exists() else ()
        known = ["best"] * layout.best.exists() + sorted(folder.name for folder in folders)
        raise RunError(f"{place}: expected a prompt {use!r}, found {listed(known)}{nearest(use, known)}")
    return path


@dataclass(frozen=True)
class Score:
    """How a prompt fared on labelled rows.

    Attributes:
        metric: its name.
        value: what it is.
        interval: 95 % bootstrap interval over rows.
        items: rows that were scored.
        evaluation: everything the scorer said.
    """

    metric: str
    value: float
    interval: tuple[float, float]
    items: Sequence[Item]
    evaluation: Evaluation


class SavedPrompt:
    """A prompt with its model, ready for rows.

    Args:
        place: see :func:`find_prompt`.
        n_jobs: workers.
        use: which prompt of a run.

    Raises:
        RunError: if there is no prompt, or it is damaged.
        ModelError: if the model is missing or another one.
    """

    def __init__(self, place: Path, n_jobs: int | str = 1, use: str = "best") -> None:
        path = find_prompt(place, use)
        self.record = _read(path)
        self.config = _config_of(self.record, path)
        self.genome = from_record(self.record["genome"])
        section = self.record["model"]
        prepared = prepare(section["name"], dtype=section["dtype"], device="auto", root=path.parent)
        if prepared.fingerprint != section["fingerprint"]:
            raise RunError(
                f"{place}: the model changed since the run: expected {section['fingerprint'][:16]}, "
                f"found {prepared.fingerprint[:16]}"
            )
        self.model = LanguageModel(prepared, "on" if self.record["chat_template"] else "off")
        self.engine = Engine(self.model, AnswerStore(":memory:"), jobs(n_jobs, self.model))

    def predict(self, source: str | pd.DataFrame, root: Path = Path()) -> pd.DataFrame:
        """Return the rows with the model's answer to each; rows with empty cells get none.

        A classification task adds ``label`` and one ``p_LABEL`` column per label; a choice task ``label``, the
        option, and its probability ``p``; a generation task ``output``.

        Args:
            source: a file with the task's columns (no label needed), or a frame.
            root: folder that a relative file starts from.
        """
        frame, items = read_items(source, self.config.task, root=root, trusted=True)
        rows, task, evaluation = self._evaluated(items, gold=False)
        if evaluation.label_logprobs is None:
            return frame.assign(output=_column(len(frame), rows, evaluation.texts))
        chosen = [task.options_of(item)[best] for item, best in zip(task.test, _best(evaluation), strict=True)]
        result = frame.assign(label=_column(len(frame), rows, chosen))
        probabilities = np.exp(evaluation.label_logprobs)
        columns = {f"p_{label}": probabilities[:, i] for i, label in enumerate(task.labels)}
        for name, values in (columns or {"p": probabilities.max(axis=1)}).items():
            result[name] = np.nan
            result.loc[result.index[rows], name] = values
        return result

    def score(self, source: str | pd.DataFrame, root: Path = Path()) -> Score:
        """Return the prompt's score on labelled rows; rows with empty cells are left out."""
        _, items = read_items(source, self.config.task, root=root, trusted=True, gold=True)
        _, task, evaluation = self._evaluated(items, gold=True)
        assert evaluation.outcomes is not None
        interval = bootstrap(task.metric_function, task.gold_indices(task.test), evaluation.outcomes)
        return Score(task.metric, evaluation.score, interval, task.test, evaluation)

    def _evaluated(self, items: Sequence[Item | None], gold: bool) -> tuple[list[int], Task, Evaluation]:
        """Let the task's own scorer judge the rows that are whole; return their places, the task, what it said."""
        rows = [index for index, item in enumerate(items) if item is not None]
        if not rows:
            raise DataError("expected at least one row without empty cells, found none")
        task = _task_of(self.config, [item for item in items if item is not None], gold)
        words = {label: (self.genome.word(label),) for label in task.labels}
        scoring = scoring_of(self.config, task, self.model, words, lambda genome: 0)
        scorer = make_scorer(SCORERS[task_scorer(task)], Weighted(), scoring)
        (evaluation,) = Evaluator(self.engine, task, {}, scorer, scoring.prompt_tokens).judged(
            [self.genome], task.test
        )
        if isinstance(evaluation, str):
            raise DataError(evaluation)
        return rows, task, evaluation

    def close(self) -> None:
        """End the workers."""
        self.engine.close()


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        kept = record["schema"], record["task"], record["template"], record["model"], record["genome"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}: expected a prompt saved by evolm: {type(error).__name__} {error}") from None
    if kept[0] != 2:
        raise RunError(f"{path}: expected schema 2, found {kept[0]!r}")
    return record


def _config_of(record: Mapping[str, Any], path: Path) -> Campaign:
    """Return the campaign that a saved prompt remembers; it has no rows of its own."""
    tables = {
        "model": {"name": record["model"]["name"]},
        "task": {**record["task"], "data": "rows", "normalization": record["normalization"] or "auto"},
        "template": record["template"],
        "generation": record.get("generation") or {},
    }
    return validate(Campaign, tables, str(path))


def _task_of(config: Campaign, items: Sequence[Item], gold: bool) -> Task:
    """Return the saved prompt's task with ``items`` as its test split."""
    section = config.task
    template = Template.from_section(config.template, list(section.columns), section.kind)
    words = section.labels if isinstance(section.labels, list) else section.labels.values()
    labels = tuple(dict.fromkeys(words))
    return Task(section.name, section.kind, section.metric, labels, template, (), (), (), tuple(items), (), gold)


def _best(evaluation: Evaluation) -> list[int]:
    assert evaluation.outcomes is not None
    return [max(int(best), 0) for best in evaluation.outcomes]


def _column(length: int, rows: Sequence[int], values: Sequence[str]) -> np.ndarray:
    """Return ``(length,)`` texts: ``values`` at ``rows``, None elsewhere."""
    column = np.full(length, None, dtype=object)
    column[list(rows)] = values
    return column


@contextmanager
def saved_prompt(place: Path, n_jobs: int | str = 1, use: str = "best") -> Iterator[SavedPrompt]:
    """Open a :class:`SavedPrompt` and close it afterwards."""
    opened = SavedPrompt(place, n_jobs, use)
    try:
        yield opened
    finally:
        opened.close()
