"""Predictions for new rows with a saved prompt, and its score on labelled ones.

Everything is read from ``prompt.json`` (:mod:`evolm.artifacts.prompt_files`), so a prompt can be used from a run's
directory, from an exported folder, or on its own.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evolm import evaluation, models
from evolm.artifacts.delta import DELTA_FILE, read_delta
from evolm.artifacts.prompt_files import FILE, best_files, pretty
from evolm.artifacts.prompt_record import PromptRecord, find_prompt, seen_by_run
from evolm.campaign.build import jobs, pass_settings
from evolm.campaign.scorers import make_scoring, make_task_scorer
from evolm.config import CampaignConfig, TaskSection
from evolm.errors import ConfigError, ContextExceeded, DataError, RunError
from evolm.evaluation.dialogue import hold
from evolm.export.score_report import ScoreReport, reasons
from evolm.genomes import DELTA, PROMPT, ChromosomeSpace, DeltaGenes, Genome, Prompt, PromptSpace, Space
from evolm.models import PreparedModel
from evolm.scorers import Dialogue, Evaluation, Scoring, generate_texts
from evolm.scorers.likelihood import evaluate_labels
from evolm.storage import AnswerStore
from evolm.tasks import KINDS, Item, Task, Template, read_items
from evolm.tasks.items import LABEL

EMPTY = "an empty cell"
UNANSWERABLE = "an empty cell, or fewer than two different options"
TOO_LONG = "longer than the model's context"


@dataclass(frozen=True)
class Predictions:
    """What came of asking about a table's rows.

    Attributes:
        rows: places of those that were asked about; the others were left out.
        task: the prompt's task; its test split is these rows.
        evaluation: what the scorer says about them.
        left_out: why -> how many rows.
    """

    rows: list[int]
    task: Task
    evaluation: Evaluation
    left_out: dict[str, int]


class Predictor:
    """A prompt with its model, ready for rows.

    Args:
        place: see :func:`find_prompt`.
        n_jobs: workers.
        use: which prompt of a run.

    Attributes:
        path: its ``prompt.json``.
        left_out: demonstrations that it showed when it was scored.
        genome: the prompt.
        config: what its campaign says about reading rows, templates and answers.
        space, delta: how the model is changed for it; None where it is not.
        seen: content keys of what its run selected on or learned from; None where no run is around.

    Raises:
        RunError: if there is no prompt, it is damaged, or its model changed.
        ModelError: if the model is missing.
    """

    def __init__(self, place: Path, n_jobs: int | str = 1, use: str = "best") -> None:
        path = find_prompt(place, use)
        record = PromptRecord.read(path)
        self.path = path
        self.left_out = record.left_out
        self.genome = Prompt.from_record(record.genome)
        self.config = record.campaign(str(path))
        self.seen = seen_by_run(path)
        section, fingerprint = self.config.model, record.model.fingerprint
        prepared = models.prepare(section.name, revision=section.revision, dtype=section.dtype, root=path.parent)
        if prepared.fingerprint != fingerprint:
            raise RunError(
                f"{place}: the model changed since the run: expected {fingerprint[:16]}, "
                f"found {prepared.fingerprint[:16]}"
            )
        self.model = models.LanguageModel(prepared, section.chat_template, pass_settings(self.config))
        self.space: Any = None
        self.delta: DeltaGenes | None = None
        if record.delta is not None:
            self.space, self.delta = read_delta(path.with_name(DELTA_FILE), self.model)
        self.change = self.space.delta(self.delta) if self.space and self.delta else None
        self.engine = evaluation.Engine(self.model, AnswerStore(":memory:"), jobs(n_jobs, self.model))

    def predict(self, source: str | pd.DataFrame, root: Path = Path()) -> pd.DataFrame:
        """Return the rows with the model's answer to each; those that cannot be asked about get none.

        A classification adds ``label`` and one ``p_LABEL`` column per label; a choice task ``label``, the option,
        and its probability ``p``; a generation task ``output``.

        Args:
            source: a file with the task's columns (no label needed), or a frame.
            root: folder that a relative file starts from.

        Raises:
            DataError: if a column is missing, or no row can be asked about.
        """
        frame, items = read_items(source, self.config.task, root=root, trusted=True)
        answered = self._answer(items, gold=False)
        columns = _answer_columns(answered)
        return frame.assign(**{name: _column(len(frame), answered.rows, cells) for name, cells in columns.items()})

    def score(self, source: str | pd.DataFrame, label: str | None = None, root: Path = Path()) -> ScoreReport:
        """Return the prompt's score on labelled rows; every row counts, also one that occurs twice.

        Args:
            source: a file with the task's columns, its label among them, or a frame.
            label: the column of gold labels, if other than in the prompt's campaign. A classification's hold raw
                values, as the campaign's data did, or words.
            root: folder that a relative file starts from.

        Raises:
            ConfigError: if the campaign named no such column, and ``label`` does not either.
            DataError: if fewer than two rows can be scored, or a label is unknown.
        """
        _, items = read_items(source, _with_gold(self.config.task, label), root=root, trusted=True, gold=True)
        answered = self._answer(items, gold=True)
        return ScoreReport.of(answered.task, answered.evaluation, answered.left_out, self.seen)

    def score_items(self, items: Sequence[Item]) -> ScoreReport:
        """Return the prompt's score on items of a task, which have gold; see :meth:`score` for errors."""
        answered = self._answer(items, gold=True)
        return ScoreReport.of(answered.task, answered.evaluation, answered.left_out)

    def over(self, prepared: PreparedModel, changed: bool = True) -> Predictor:
        """Return the prompt over another model, to be closed by the caller.

        Args:
            prepared: the model.
            changed: whether it is changed as this one is; its modules must be of the same shapes.
        """
        other = copy.copy(self)
        names = {"name": prepared.name, "revision": "", "dtype": prepared.dtype}
        section = self.config.model.model_copy(update=names)
        other.config = self.config.model_copy(update={"model": section})
        other.model = models.LanguageModel(prepared, section.chat_template, pass_settings(self.config))
        other.engine = evaluation.Engine(other.model, AnswerStore(":memory:"))
        if not changed:
            other.space = other.delta = other.change = None
        return other

    def without_examples(self) -> Predictor:
        """Return the prompt without demonstrations, over the same model: another one than was scored."""
        other = copy.copy(self)
        other.genome = replace(self.genome, demonstrations=())
        other.left_out = self.left_out + len(self.genome.demonstrations)
        return other

    def files(self) -> dict[str, str | bytes]:
        """Return the files of the prompt's folder: name -> content."""
        task = _task_of(self.config, (), gold=False)
        labels, ask = self._scoring(task).labels, self.engine.answer
        genome = Genome({PROMPT: self.genome})
        parts: dict[str, ChromosomeSpace] = {PROMPT: PromptSpace.build(self.config.space.prompts, task, self.model)}
        if self.space and self.delta:
            genome, parts = genome.with_chromosome(DELTA, self.delta), parts | {DELTA: self.space}
        files = best_files(genome, Space(parts), task, self.model, self.config, labels, ask)
        if self.left_out:
            files[FILE] = pretty({**json.loads(files[FILE]), "left_out": self.left_out})
        return files

    def _scoring(self, task: Task) -> Scoring:
        words = {label: (self.genome.word(label),) for label in task.labels}
        return make_scoring(self.config, task, self.model, words, lambda genome: 0)

    def _answer(self, items: Sequence[Item | None], gold: bool) -> Predictions:
        """Ask about every row that is whole and fits the model's context.

        Raises:
            DataError: if there is none.
        """
        whole = {index: item for index, item in enumerate(items) if item is not None}
        fitting = self._fitting(whole, gold)
        incomplete = UNANSWERABLE if KINDS[self.config.task.kind].options else EMPTY
        counts = {incomplete: len(items) - len(whole), TOO_LONG: len(whole) - len(fitting)}
        left_out = {reason: number for reason, number in counts.items() if number}
        if not fitting:
            raise DataError(f"expected at least one row that can be asked about, found none{reasons(left_out)}")
        task = _task_of(self.config, list(fitting.values()), gold)
        [outcome] = hold([_dialogue(self._scoring(task), self.genome, gold)], self.engine, [self.change])
        if outcome.result is None:
            raise DataError(str(outcome.error))
        evaluation = outcome.result
        return Predictions(list(fitting), task, evaluation, left_out)

    def _fitting(self, items: Mapping[int, Item], gold: bool) -> dict[int, Item]:
        """Return the items that fit the model's context behind the prompt."""
        if not items or self._fits(list(items.values()), gold):
            return dict(items)
        return {index: item for index, item in items.items() if self._fits([item], gold)}

    def _fits(self, items: Sequence[Item], gold: bool) -> bool:
        task = _task_of(self.config, items, gold)
        try:
            self.engine.tokenize(next(_dialogue(self._scoring(task), self.genome, gold)))
        except ContextExceeded:
            return False
        return True

    def close(self) -> None:
        """End the workers."""
        self.engine.close()


def _dialogue(scoring: Scoring, genome: Any, gold: bool) -> Dialogue:
    """Return the task's own scorer's dialogue about the test split, or without gold one that only listens."""
    items = scoring.task.test
    if gold:
        return make_task_scorer(scoring).dialogue(genome, items)
    return _listening(scoring, genome, items)


def _listening(scoring: Scoring, genome: Any, items: Sequence[Item]) -> Dialogue:
    if scoring.labels is not None:
        logprobs = yield from scoring.labels.ask(genome, items)
        return evaluate_labels(scoring.task, logprobs, items)
    texts = yield from generate_texts(scoring, genome, items)
    return Evaluation(scores=np.full(len(items), np.nan), objective=float("nan"), texts=texts)


def _answer_columns(answered: Predictions) -> dict[str, Sequence[Any]]:
    """Return column -> value of each row that was asked about."""
    task, evaluation = answered.task, answered.evaluation
    logprobs, outcomes = evaluation.label_logprobs, evaluation.outcomes
    if logprobs is None or outcomes is None:
        return {"output": list(evaluation.texts)}
    options = [task.options_of(item) for item in task.test]
    chosen = [None if best < 0 else known[best] for known, best in zip(options, outcomes, strict=True)]
    probabilities = np.exp(logprobs)
    columns = {f"p_{label}": probabilities[:, index] for index, label in enumerate(task.labels)}
    return {"label": chosen, **(columns or {"p": probabilities.max(axis=1)})}


def _column(length: int, rows: Sequence[int], cells: Sequence[Any]) -> np.ndarray:
    """Return ``(length,)`` cells: the given ones at ``rows``, missing elsewhere."""
    return pd.Series(cells, index=rows).reindex(range(length)).to_numpy()


def _with_gold(section: TaskSection, label: str | None) -> TaskSection:
    """Return how labelled rows are read.

    Raises:
        ConfigError: if no column has the labels.
    """
    columns = section.columns | ({LABEL: label} if label else {})
    if LABEL not in columns:
        raise ConfigError("the prompt was evolved without gold labels: expected the name of their column (--label)")
    words = section.labels if isinstance(section.labels, list) else list(section.labels.values())
    raw = {} if isinstance(section.labels, list) else section.labels
    return section.model_copy(update={"columns": columns, "labels": {word: word for word in words} | raw})


def _task_of(config: CampaignConfig, items: Sequence[Item], gold: bool) -> Task:
    """Return the saved prompt's task with ``items`` as its test split."""
    section = config.task
    template = Template.from_section(config.template, list(section.columns), section.kind)
    words = section.labels if isinstance(section.labels, list) else section.labels.values()
    labels = tuple(dict.fromkeys(words))
    return Task(
        name=section.name,
        kind=section.kind,
        metric=section.metric,
        labels=labels,
        template=template,
        train=(),
        dev=(),
        validation=(),
        test=tuple(items),
        notes=(),
        has_gold=gold,
        answer_key=section.answer_key,
    )


@contextmanager
def saved_prompt(place: Path, n_jobs: int | str = 1, use: str = "best") -> Iterator[Predictor]:
    """Open a :class:`Predictor` and close it afterwards."""
    opened = Predictor(place, n_jobs, use)
    try:
        yield opened
    finally:
        opened.close()
