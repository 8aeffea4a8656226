"""Predictions for new rows with a saved prompt or committee, and its score on labelled rows.

Everything is read from ``prompt.json`` (:mod:`evolm.artifacts.prompt_record`), so a prompt can be used from a run's
directory, from an exported folder, or on its own. The members of a committee have one each. They share the model and
its passes: their requests are answered together.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evolm import evaluation, models
from evolm.artifacts import committee_folder, find_prompt, prompt_folder, read_members, seen_by_run
from evolm.baselines.single import SINGLE
from evolm.config import CampaignConfig
from evolm.errors import ConfigError, DataError, PermissionNeeded, Unanswerable
from evolm.evaluation.dialogue import Round, hold, transcribed
from evolm.evaluation.settings import jobs, pass_settings
from evolm.export.predicted_rows import PredictedRows, spread
from evolm.export.saved_prompt import SavedPrompt, read_records
from evolm.export.saved_task import answer_columns, task_with_test, with_gold
from evolm.export.score_report import ScoreReport, reasons
from evolm.genomes import Committee, DeltaGenes, DeltaSpace, Phenotype, Prompt, PromptSpace, Readout
from evolm.models import PreparedModel
from evolm.models.deltas import Change
from evolm.models.moved import moved_model, recorded_model, served_again
from evolm.models.served.names import host_elsewhere, is_served
from evolm.models.text_notes import text_notes
from evolm.readouts import Fit
from evolm.scorers import Dialogue, Evaluation, Scoring, generate_texts
from evolm.scorers.likelihood import evaluate_labels, joint_evaluation
from evolm.scorers.task_scorer import make_scoring, make_task_scorer
from evolm.storage import AnswerStore
from evolm.tasks import KINDS, Item, Task, read_items
from evolm.tasks.template import forget_rendered

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
    """A saved prompt, or the members of a saved committee, with their model.

    Args:
        place: see :func:`evolm.artifacts.find_prompt`.
        n_jobs: workers.
        use: which prompt of a run.
        model: the model's new place, if it has moved.

    Attributes:
        path: its ``prompt.json`` or ``committee.json``.
        members: the prompts that answer together; one, unless it is a committee.
        weights: of each member.
        config: its campaign: how rows are read, the template, the form of answers.
        notes: sentences about how the last rows were read.

    Raises:
        RunError: if there is no prompt, a member is missing, or it is damaged.
        ModelError: if the model is missing, or another one.
    """

    def __init__(self, place: Path, n_jobs: int | str = 1, use: str = "best", model: str | None = None) -> None:
        self.path = find_prompt(place, use)
        paths, self.weights = zip(*read_members(self.path), strict=True)
        records = read_records(paths)
        self.config = records[0].campaign(str(paths[0]))
        self.notes: tuple[str, ...] = ()
        self.model = self._model(paths[0].parent, records[0].model.fingerprint, model)
        read = zip(paths, records, strict=True)
        self.members = tuple(SavedPrompt.of(path, record, self.config, self.model) for path, record in read)
        self.engine = evaluation.Engine(self.model, AnswerStore(":memory:"), jobs(n_jobs, self.model))

    def _model(self, root: Path, fingerprint: str, place: str | None) -> Any:
        """Return the prompt's model, from a place that the user names or from the one that it was saved with."""
        section = self.config.model
        if place is None and (host := host_elsewhere(section.name)):
            raise PermissionNeeded(
                f"{self.path}: expected a model of this machine, found the server {host!r}, which would be sent the "
                f"rows and the key; admit it with --model {section.name}"
            )
        if is_served(place or section.name):
            named = section.model_copy(update={"name": place or section.name})
            self.config = self.config.model_copy(update={"model": named})
            return served_again(named, fingerprint, KINDS[self.config.task.kind].open)
        if place is None:
            prepared = recorded_model(section.name, fingerprint, section.dtype, revision=section.revision, root=root)
        else:
            prepared = moved_model(place, fingerprint, section.dtype)
            self.config = with_model(self.config, prepared)
        return models.LanguageModel(prepared, self.config.model.chat_template, pass_settings(self.config))

    # -- what it is ----------------------------------------------------------------------------------------

    @property
    def only(self) -> SavedPrompt:
        """The prompt, which is no committee.

        Raises:
            ConfigError: if it is a committee.
        """
        if len(self.members) > 1:
            raise ConfigError(
                f"{self.path.parent}: expected a single prompt, found a committee of {len(self.members)}; "
                f"--use {SINGLE.name} takes the best single individual of its run"
            )
        return self.members[0]

    @property
    def genome(self) -> Prompt:
        """The prompt; see :attr:`only` for errors."""
        return self.only.genome

    @property
    def readout(self) -> Readout:
        """How labels or options are read; see :attr:`only` for errors."""
        return self.only.readout

    @property
    def fit(self) -> Fit | None:
        """The fit of the prompt's readout, if it has one; see :attr:`only` for errors."""
        return self.only.fit

    @property
    def space(self) -> Any:
        """The space of the prompt's delta, if it has one; see :attr:`only` for errors."""
        return self.only.space

    @property
    def delta(self) -> DeltaGenes | None:
        """The prompt's delta, if it has one; see :attr:`only` for errors."""
        return self.only.delta

    @property
    def left_out(self) -> int:
        """Demonstrations that were there when it was scored, and that were left out."""
        return sum(member.left_out for member in self.members)

    @property
    def digest(self) -> str:
        """Digest of the prompt, or of the committee."""
        if len(self.members) == 1:
            return self.genome.digest
        return Committee(tuple(member.whole for member in self.members), self.weights).digest

    # -- rows ----------------------------------------------------------------------------------------------

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

    # -- other forms ---------------------------------------------------------------------------------------

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
            other.members = tuple(member.unchanged() for member in self.members)
        return other

    def without_examples(self) -> Predictor:
        """Return the prompt without demonstrations, over the same model; it was not scored."""
        other = copy.copy(self)
        other.members = tuple(member.without_examples() for member in self.members)
        return other

    def student(self, genome: Prompt, space: DeltaSpace, delta: DeltaGenes) -> Predictor:
        """Return another prompt whose labels are read by their words, and another delta, over the same model."""
        other = copy.copy(self)
        other.members = (SavedPrompt(self.path, genome, Readout(), space=space, delta=delta),)
        other.weights, other.notes = (1,), ()
        return other

    def answered(self, items: Sequence[Item], rounds: list[Round] | None = None) -> Predictions:
        """Return the evaluation of those items that the model can be asked about; gold is not read.

        Args:
            items: the items.
            rounds: gets what a single prompt asks about the items, and the answers.

        Raises:
            DataError: if there is none.
        """
        self.notes = ()
        return self._answer(items, gold=False, rounds=rounds)

    def refusals(self, items: Sequence[Item]) -> dict[int, str]:
        """Return the places of the items that the model cannot be asked about, each with the reason."""
        return self._refused(dict(enumerate(items)), gold=False)

    def forget(self) -> None:
        """Forget rows and answers that were kept to be asked again, so that a process that lives long stays small."""
        self.engine.forget()
        forget_rendered()

    def require_changes(self) -> Mapping[str, Change]:
        """Return the model's changes: module -> change.

        Raises:
            ConfigError: if the model is not changed, or it is a committee.
        """
        if self.only.change is None:
            raise ConfigError(
                f"{self.path.parent}: expected a prompt with a delta, found one that leaves the model's weights as "
                "they are; --to prompt exports it"
            )
        return self.only.change.changes

    def files(self) -> dict[str, str | bytes]:
        """Return the files of the folder of the prompt or the committee: name -> content."""
        task = task_with_test(self.config, (), gold=False)
        prompts = PromptSpace.build(self.config.space.prompts, task, self.model)
        folders = [
            prompt_folder(
                member.whole,
                member.space_around(prompts),
                task,
                self.model,
                self.config,
                self._scoring(member, task).labels,
                self.engine,
                member.left_out,
            )
            for member in self.members
        ]
        return folders[0] if len(folders) == 1 else committee_folder(self.weights, folders)

    # -- the model -----------------------------------------------------------------------------------------

    def _scoring(self, member: SavedPrompt, task: Task) -> Scoring:
        words = {label: (member.genome.word(label),) for label in task.labels}
        return make_scoring(self.config, task, self.model, words, lambda genome: 0, member.fit)

    def scoring(self, task: Task) -> Scoring:
        """Return what scorers of a task are made from; see :attr:`only` for errors."""
        return self._scoring(self.only, task)

    def _dialogues(self, task: Task, gold: bool) -> list[Dialogue]:
        """Return each member's dialogue about the task's test split."""
        return [_dialogue(self._scoring(member, task), member.shown, gold) for member in self.members]

    def _answer(
        self, items: Sequence[Item | None], gold: bool, between: int = 0, rounds: list[Round] | None = None
    ) -> Predictions:
        """Ask the model about every row that is complete and fits its context.

        Args:
            items: None for each other row.
            gold: whether gold labels are known.
            between: number of rows that are left out because their label is in no bin.
            rounds: see :meth:`answered`.

        Raises:
            DataError: if there is none.
        """
        whole = {index: item for index, item in enumerate(items) if item is not None}
        self.notes += text_notes(self.model, (item.text for item in whole.values()))
        refused = self._refused(whole, gold)
        fitting = {index: item for index, item in whole.items() if index not in refused}
        missing = len(items) - len(whole) - between
        counts = {incomplete(self.config.task.kind): missing, BETWEEN: between, **Counter(refused.values())}
        left_out = {reason: number for reason, number in counts.items() if number}
        if not fitting:
            raise DataError(
                f"expected at least one row that the model can be asked about, found none{reasons(left_out)}"
            )
        task = task_with_test(self.config, list(fitting.values()), gold)
        dialogues = self._dialogues(task, gold)
        if rounds is not None and len(dialogues) == 1:
            dialogues = [transcribed(dialogues[0], rounds)]
        outcomes = hold(dialogues, self.engine, [member.change for member in self.members])
        results = [outcome.result for outcome in outcomes if outcome.result is not None]
        if len(results) < len(outcomes):
            raise DataError(next(str(outcome.error) for outcome in outcomes if outcome.error))
        joint = results[0] if len(results) == 1 else joint_evaluation(task, results, self.weights, task.test)
        return Predictions(list(fitting), task, joint, left_out)

    def _refused(self, items: Mapping[int, Item], gold: bool) -> dict[int, str]:
        """Return the items that the model cannot be asked about behind the prompt, each with the reason."""
        if not items or not self._refusal(list(items.values()), gold):
            return {}
        reasons = {index: self._refusal([item], gold) for index, item in items.items()}
        return {index: reason for index, reason in reasons.items() if reason}

    def _refusal(self, items: Sequence[Item], gold: bool) -> str:
        """Return why the model cannot be asked about some items, or ``""``."""
        for dialogue in self._dialogues(task_with_test(self.config, items, gold), gold):
            try:
                self.engine.tokenize(next(dialogue))
            except Unanswerable as error:
                return error.reason
        return ""

    def close(self) -> None:
        """End the workers."""
        self.engine.close()


def incomplete(kind: str) -> str:
    """Return why a row of a kind of task has no item."""
    return UNANSWERABLE if KINDS[kind].options else EMPTY


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
