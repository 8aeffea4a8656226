"""Predictions for new rows with a saved prompt, and its score on labelled rows.

Everything is read from ``prompt.json`` (:mod:`evolm.artifacts.prompt_record`), so a prompt can be used from a run's
directory, from an exported folder, or on its own.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evolm import evaluation, models
from evolm.artifacts import (
    DELTA_FILE,
    READOUT_FILE,
    PromptRecord,
    find_prompt,
    prompt_folder,
    read_delta,
    read_readout,
    seen_by_run,
)
from evolm.config import CampaignConfig
from evolm.errors import ConfigError, DataError, Unanswerable
from evolm.evaluation.dialogue import hold
from evolm.evaluation.settings import jobs, pass_settings
from evolm.export.predicted_rows import PredictedRows, spread
from evolm.export.saved_task import answer_columns, task_with_test, with_gold
from evolm.export.score_report import ScoreReport, reasons
from evolm.genomes import (
    DELTA,
    PROMPT,
    READOUT,
    ChromosomeSpace,
    DeltaGenes,
    Genome,
    Phenotype,
    Prompt,
    PromptSpace,
    Readout,
    ReadoutSpace,
    Space,
)
from evolm.models import PreparedModel
from evolm.models.deltas import Change
from evolm.models.moved import moved_model, recorded_model
from evolm.models.text_notes import text_notes
from evolm.readout_kinds import KINDS_OF_READOUTS, WORDS
from evolm.readouts import Fit
from evolm.scorers import Dialogue, Evaluation, Scoring, generate_texts
from evolm.scorers.likelihood import evaluate_labels
from evolm.scorers.task_scorer import make_scoring, make_task_scorer
from evolm.storage import AnswerStore
from evolm.tasks import KINDS, Item, Task, read_items

NO_KEYS: Mapping[str, Any] = {}
EMPTY = "an empty cell"
UNANSWERABLE = "an empty cell, or fewer than two different options"
BETWEEN = "a label in no bin of task.bins"


@dataclass(frozen=True)
class Predictions:
    """The evaluation of a table's rows.

    Attributes:
        rows: places of the rows that the model was asked about.
        task: the prompt's task; its test split has these rows.
        evaluation: of these rows.
        left_out: reason -> number of other rows.
    """

    rows: list[int]
    task: Task
    evaluation: Evaluation
    left_out: dict[str, int]


class Predictor:
    """A saved prompt with its model.

    Args:
        place: see :func:`evolm.artifacts.find_prompt`.
        n_jobs: workers.
        use: which prompt of a run.
        model: the model's new place, if it has moved.

    Attributes:
        path: its ``prompt.json``.
        left_out: demonstrations that it had when it was scored, and that were left out.
        genome: the prompt.
        config: its campaign: how rows are read, the template, the form of answers.
        readout: how labels or options are read.
        fit: of the readout; None if it is not fitted.
        space, delta: the model's change and its space; None if the model is not changed.
        notes: sentences about how the last rows were read.

    Raises:
        RunError: if there is no prompt, or it is damaged.
        ModelError: if the model is missing, or another one.
    """

    def __init__(self, place: Path, n_jobs: int | str = 1, use: str = "best", model: str | None = None) -> None:
        path = find_prompt(place, use)
        record = PromptRecord.read(path)
        self.path = path
        self.left_out = record.left_out
        self.genome = Prompt.from_record(record.genome)
        self.config = record.campaign(str(path))
        self.notes: tuple[str, ...] = ()
        prepared, section = self._prepared(record.model.fingerprint, model), self.config.model
        self.model = models.LanguageModel(prepared, section.chat_template, pass_settings(self.config))
        self.space: Any = None
        self.delta: DeltaGenes | None = None
        if record.delta is not None:
            self.space, self.delta = read_delta(path.with_name(DELTA_FILE), self.model)
        self.fit: Fit | None = None
        self.readout = Readout(record.readout or WORDS)
        if KINDS_OF_READOUTS[self.readout.kind].fitted:
            self.fit = read_readout(path.with_name(READOUT_FILE), self._labels, self.model.width)
            self.readout = self.fit.genes
        self.change = self.space.delta(self.delta) if self.space and self.delta else None
        self.engine = evaluation.Engine(self.model, AnswerStore(":memory:"), jobs(n_jobs, self.model))

    def _prepared(self, fingerprint: str, place: str | None) -> PreparedModel:
        """Return the prompt's model, from a place that the user names or from the one that it was saved with."""
        section = self.config.model
        if place is None:
            return recorded_model(
                section.name, fingerprint, section.dtype, revision=section.revision, root=self.path.parent
            )
        prepared = moved_model(place, fingerprint, section.dtype)
        self.config = with_model(self.config, prepared)
        return prepared

    def predict(
        self, source: str | pd.DataFrame, root: Path = Path(), read: Mapping[str, Any] = NO_KEYS
    ) -> pd.DataFrame:
        """Return the rows with the model's answers beside their own columns; see :meth:`answer`."""
        return self.answer(source, root, read).frame()

    def answer(
        self, source: str | pd.DataFrame, root: Path = Path(), read: Mapping[str, Any] = NO_KEYS
    ) -> PredictedRows:
        """Return the rows and the model's answers; rows that the model cannot be asked about get none.

        A classification adds ``label`` and one ``p_LABEL`` column per label; a choice task ``label``, the option,
        and its probability ``p``; a generation task ``output``. If the rows have a column of such a name, all of
        these names begin with ``predicted_``.

        Args:
            source: a file with the task's columns (no label needed), or a frame.
            root: folder that a relative file starts from.
            read: keys of ``[task.read]`` for this very file.

        Raises:
            DataError: if a column is missing, or the model cannot be asked about any row.
        """
        found = read_items(source, self.config.task, root=root, trusted=True, own=read)
        rows, self.notes = found.frame, found.notes
        answered = self._answer(found.items, gold=False)
        columns = answer_columns(answered.task, answered.evaluation)
        cells = {name: spread(len(rows), answered.rows, values) for name, values in columns.items()}
        failed = Counter(answered.evaluation.failures.values())
        return PredictedRows.of(rows, cells, {**answered.left_out, **failed})

    def score(
        self,
        source: str | pd.DataFrame,
        label: str | None = None,
        root: Path = Path(),
        read: Mapping[str, Any] = NO_KEYS,
    ) -> ScoreReport:
        """Return the prompt's score on labelled rows; a row that occurs twice counts twice.

        Args:
            source: a file with the task's columns, its label among them, or a frame.
            label: the column of gold labels, if other than in the prompt's campaign. Labels of a classification are
                raw values, as in the campaign's data, or words.
            root: folder that a relative file starts from.
            read: keys of ``[task.read]`` for this very file.

        Raises:
            ConfigError: if neither the campaign nor ``label`` names a column.
            DataError: if fewer than two rows can be scored, or a label is unknown.
        """
        section = with_gold(self.config.task, label)
        rows = read_items(source, section, root=root, trusted=True, gold=True, own=read)
        self.notes = rows.notes
        answered = self._answer(rows.items, gold=True, between=rows.between)
        return ScoreReport.of(answered.task, answered.evaluation, answered.left_out, seen_by_run(self.path))

    def score_items(self, items: Sequence[Item]) -> ScoreReport:
        """Return the prompt's score on items that have gold; see :meth:`score` for errors."""
        self.notes = ()
        answered = self._answer(items, gold=True)
        return ScoreReport.of(answered.task, answered.evaluation, answered.left_out)

    def over(self, prepared: PreparedModel, changed: bool = True) -> Predictor:
        """Return the prompt over another model, to be closed by the caller.

        Args:
            prepared: the model.
            changed: whether this prompt's delta changes it; its modules must have the same shapes.
        """
        other = copy.copy(self)
        other.config = with_model(self.config, prepared)
        other.model = models.LanguageModel(prepared, self.config.model.chat_template, pass_settings(self.config))
        other.engine = evaluation.Engine(other.model, AnswerStore(":memory:"))
        if not changed:
            other.space = other.delta = other.change = None
        return other

    def without_examples(self) -> Predictor:
        """Return the prompt without demonstrations, over the same model; it was not scored."""
        other = copy.copy(self)
        other.genome = replace(self.genome, demonstrations=())
        other.left_out = self.left_out + len(self.genome.demonstrations)
        return other

    def require_changes(self) -> Mapping[str, Change]:
        """Return the model's changes: module -> change.

        Raises:
            ConfigError: if the model is not changed.
        """
        if self.change is None:
            raise ConfigError(
                f"{self.path.parent}: expected a prompt with a delta, found one that leaves the model's weights as "
                "they are; --to prompt exports it"
            )
        return self.change.changes

    def files(self) -> dict[str, str | bytes]:
        """Return the files of the prompt's folder: name -> content."""
        task = task_with_test(self.config, (), gold=False)
        labels = self._scoring(task).labels
        genome, around = Genome({PROMPT: self.genome}), ReadoutSpace.around(self.readout)
        spaces: dict[str, ChromosomeSpace] = {PROMPT: PromptSpace.build(self.config.space.prompts, task, self.model)}
        if self.space and self.delta:
            genome, spaces = genome.with_chromosome(DELTA, self.delta), spaces | {DELTA: self.space}
        genome, spaces = genome.with_chromosome(READOUT, self.readout), spaces | {READOUT: around}
        return prompt_folder(genome, Space(spaces), task, self.model, self.config, labels, self.engine, self.left_out)

    @property
    def _labels(self) -> tuple[str, ...]:
        return task_with_test(self.config, (), gold=False).labels

    @property
    def _shown(self) -> Phenotype:
        """The prompt and its readout; the engine adds the model's change."""
        return Phenotype(self.genome, readout=self.readout)

    def _scoring(self, task: Task) -> Scoring:
        words = {label: (self.genome.word(label),) for label in task.labels}
        return make_scoring(self.config, task, self.model, words, lambda genome: 0, self.fit)

    def _answer(self, items: Sequence[Item | None], gold: bool, between: int = 0) -> Predictions:
        """Ask the model about every row that is complete and fits its context.

        Args:
            items: None for each other row.
            gold: whether gold labels are known.
            between: number of rows that are left out because their label is in no bin.

        Raises:
            DataError: if there is none.
        """
        whole = {index: item for index, item in enumerate(items) if item is not None}
        self.notes += text_notes(self.model, (item.text for item in whole.values()))
        refused = self._refused(whole, gold)
        fitting = {index: item for index, item in whole.items() if index not in refused}
        incomplete = UNANSWERABLE if KINDS[self.config.task.kind].options else EMPTY
        missing = len(items) - len(whole) - between
        counts = {incomplete: missing, BETWEEN: between, **Counter(refused.values())}
        left_out = {reason: number for reason, number in counts.items() if number}
        if not fitting:
            raise DataError(
                f"expected at least one row that the model can be asked about, found none{reasons(left_out)}"
            )
        task = task_with_test(self.config, list(fitting.values()), gold)
        [outcome] = hold([_dialogue(self._scoring(task), self._shown, gold)], self.engine, [self.change])
        if outcome.result is None:
            raise DataError(str(outcome.error))
        return Predictions(list(fitting), task, outcome.result, left_out)

    def _refused(self, items: Mapping[int, Item], gold: bool) -> dict[int, str]:
        """Return the items that the model cannot be asked about behind the prompt, each with the reason."""
        if not items or not self._refusal(list(items.values()), gold):
            return {}
        reasons = {index: self._refusal([item], gold) for index, item in items.items()}
        return {index: reason for index, reason in reasons.items() if reason}

    def _refusal(self, items: Sequence[Item], gold: bool) -> str:
        """Return why the model cannot be asked about some items, or ``""``."""
        dialogue = _dialogue(self._scoring(task_with_test(self.config, items, gold)), self._shown, gold)
        try:
            self.engine.tokenize(next(dialogue))
        except Unanswerable as error:
            return error.reason
        return ""

    def close(self) -> None:
        """End the workers."""
        self.engine.close()


def with_model(config: CampaignConfig, prepared: PreparedModel) -> CampaignConfig:
    """Return a campaign with another model."""
    names = {"name": prepared.name, "revision": "", "dtype": prepared.dtype}
    return config.model_copy(update={"model": config.model.model_copy(update=names)})


def _dialogue(scoring: Scoring, shown: Phenotype, gold: bool) -> Dialogue:
    """Return the task scorer's dialogue about the test split; without gold, a dialogue that only predicts."""
    items = scoring.task.test
    if gold:
        return make_task_scorer(scoring).dialogue(shown, items)
    return _predict(scoring, shown, items)


def _predict(scoring: Scoring, shown: Phenotype, items: Sequence[Item]) -> Dialogue:
    if scoring.labels is not None:
        logprobs = yield from scoring.labels.ask(shown, items)
        return evaluate_labels(scoring.task, logprobs, items)
    texts = yield from generate_texts(scoring, shown.prompt, items)
    return Evaluation(scores=np.full(len(items), np.nan), objective=float("nan"), texts=texts)


@contextmanager
def saved_prompt(
    place: Path, n_jobs: int | str = 1, use: str = "best", model: str | None = None
) -> Iterator[Predictor]:
    """Open a :class:`Predictor` and close it afterwards."""
    opened = Predictor(place, n_jobs, use, model)
    try:
        yield opened
    finally:
        opened.close()
