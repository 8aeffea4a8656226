"""Distillation: a delta that learns what a prompt answers, so that the model does without the prompt.

The teacher is a saved prompt with its delta and its readout, or a committee of them. The student reads the bare
item, and its labels by their words. Its delta learns the teacher's probabilities of labels or options by Adam on
train rows, and on unlabelled rows if there are any: soft targets (Hinton 2015, https://arxiv.org/abs/1503.02531),
here between prompts of one model (context distillation, Snell 2022, https://arxiv.org/abs/2209.15189). The genes that
are kept are those with the lowest cross-entropy with the teacher on dev rows. Gold labels are only read to score both
on validation rows.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from evolm.artifacts import to_json
from evolm.errors import ConfigError, DataError
from evolm.export.adapter import base_name
from evolm.export.folder import write_folder
from evolm.export.peft import adapter_files
from evolm.export.predictor import NO_KEYS, Predictor, saved_prompt
from evolm.export.saved_task import task_with_test
from evolm.export.transfer import task_of_run
from evolm.genomes import DeltaGenes, DeltaSettings, DeltaSpace, Prompt
from evolm.models.deltas import Delta
from evolm.operators import LearningSettings
from evolm.operators.learning import adam_step, begun, soft_lesson
from evolm.randomness import Randomness, derive_seed
from evolm.storage.files import require_new
from evolm.tasks import Item, Task, read_items
from evolm.wording import counted

logger = logging.getLogger("evolm")

RECORD_FILE = "distilled.json"
SEED = derive_seed("distill")  # of the minibatches
STEPS = 160
LOOK = 16  # steps between two looks at dev rows
LEARNING = LearningSettings(rate=0.01, decay=0.01, batch=32)
DEPTH = 6  # the highest layers that change
MODULES, RANK, ENCODING = ("all-linear",), 2, "lowrank"


@dataclass(frozen=True)
class Lessons:
    """Rows, and what the teacher answers.

    Attributes:
        items: ``n`` of them.
        targets: ``(n, n_options)`` probabilities.
    """

    items: Sequence[Item]
    targets: np.ndarray

    @classmethod
    def of(cls, teacher: Predictor, items: Sequence[Item]) -> Lessons:
        """Ask the teacher about items; those that it cannot answer are left out.

        Raises:
            DataError: if none is left.
        """
        targets = probabilities(teacher, items)
        kept = np.flatnonzero(targets.sum(axis=1)).tolist()
        if not kept:
            raise DataError("expected rows that the prompt can answer, found none")
        return cls([items[index] for index in kept], targets[kept])

    def agreement(self, answers: np.ndarray) -> float:
        """Return the share of items whose likeliest label is the teacher's, among ``(n, n_options)`` answers."""
        return float(np.mean(self.targets.argmax(axis=1) == answers.argmax(axis=1)))

    def cross_entropy(self, answers: np.ndarray) -> float:
        """Return the mean cross-entropy (nats) of ``(n, n_options)`` probabilities with the teacher's."""
        logs = np.log(np.maximum(answers, np.finfo(np.float64).tiny))
        return float(-(self.targets * logs).sum(axis=1).mean())


def probabilities(prompt: Predictor, items: Sequence[Item]) -> np.ndarray:
    """Return a prompt's ``(n, n_options)`` probabilities; 0 for items that it cannot answer."""
    found = prompt.answered(items)
    logprobs = found.evaluation.label_logprobs
    assert logprobs is not None
    table = np.zeros((len(items), logprobs.shape[1]))
    table[found.rows] = np.exp(logprobs)
    table[[found.rows[index] for index in found.evaluation.failures]] = 0.0
    return table


def distill(
    place: Path,
    target: Path,
    *,
    rows: str | None = None,
    use: str = "best",
    keep_instruction: bool = False,
    n_jobs: int | str = 1,
    model: str | None = None,
    read: Mapping[str, Any] = NO_KEYS,
    steps: int = STEPS,
) -> list[str]:
    """Write a new folder with a prompt without demonstrations and a delta that learnt the teacher's answers.

    Args:
        place: a run's directory.
        target: the folder.
        rows: a file of further rows, whose labels are not read.
        use: which prompt of the run is the teacher.
        keep_instruction: whether the student still reads the instruction.
        n_jobs: workers.
        model: the place of the run's model, if it has moved.
        read: keys of ``[task.read]`` for ``rows``.
        steps: of Adam.

    Returns:
        Sentences about the student.

    Raises:
        ConfigError: if the teacher has no prompt to do without, or the task has neither labels nor options.
        DataError: if the run's rows changed, or none can be learnt from.
        RunError: if ``place`` is no whole run, or ``target`` exists.
    """
    require_new(target, "folder")
    with saved_prompt(place, n_jobs, use, model) as teacher:
        prompt = _bare(teacher, keep_instruction)
        task = task_of_run(teacher.path)
        items, said = _items(teacher, task, rows, read)
        lessons, dev = Lessons.of(teacher, items), Lessons.of(teacher, task.dev)
        student = _taught(teacher, prompt, lessons, dev, steps)
        record = _record(teacher, student, task, lessons)
        name, structure = base_name(teacher, None), teacher.model.structure
        adapter = adapter_files(student.require_changes(), student.space.sites, structure.layers, name)
        write_folder(target, adapter | student.files() | {RECORD_FILE: to_json(record)})
    return [f"Written: {target}", *said, *_sentences(record), f"Next: evolm score {target} ROWS"]


def _bare(teacher: Predictor, keep_instruction: bool) -> Prompt:
    """Return the teacher's prompt without demonstrations and instruction; of a committee, its weightiest member's.

    Raises:
        ConfigError: if this leaves nothing out, or the task has neither labels nor options.
    """
    if teacher.config.task.kind == "generation":
        raise ConfigError("distill: expected a task with labels or options, found a generation task")
    genome = teacher.members[int(np.argmax(teacher.weights))].genome
    bare = replace(genome, demonstrations=(), instruction=genome.instruction if keep_instruction else "")
    if bare == genome and len(teacher.members) == 1:
        what = "demonstrations" if keep_instruction else "an instruction or demonstrations"
        raise ConfigError(f"{teacher.path}: expected a prompt with {what} to do without, found none")
    return bare


def _items(
    teacher: Predictor, task: Task, rows: str | None, read: Mapping[str, Any]
) -> tuple[Sequence[Item], list[str]]:
    """Return the rows to learn from, and a sentence about those of a file: rows of the test split are left out."""
    if rows is None:
        if not task.train:
            raise DataError("expected train rows, or a file of unlabelled ones (--rows), found neither")
        return task.train, []
    found = read_items(rows, teacher.config.task, root=Path(), trusted=True, own=read)
    known = {item.content_key for item in (*task.train, *task.dev, *task.validation)} | task.test_keys
    new = {item.content_key: item for item in found.items if item is not None and item.content_key not in known}
    sentence = f"{counted(len(new), 'row')} of {rows} are new; empty ones and those of the run are left out."
    return [*task.train, *new.values()], [sentence]


def _start(teacher: Predictor) -> tuple[DeltaSpace, np.ndarray]:
    """Return the student's space and its first genes: the teacher's if they are low-rank factors, else zeros."""
    first, alone = teacher.members[0], len(teacher.members) == 1
    if alone and first.space and first.delta and first.space.settings.encoding == ENCODING:
        return first.space, first.delta.genes
    layers = f"last:{min(DEPTH, teacher.model.layers)}"
    space = DeltaSpace.of(teacher.model, DeltaSettings(layers, MODULES, RANK, ENCODING))
    return space, space.neutral().genes


def _taught(teacher: Predictor, prompt: Prompt, lessons: Lessons, dev: Lessons, steps: int) -> Predictor:
    """Return the student after the steps that bring it nearest to the teacher on dev rows."""
    space, genes = _start(teacher)
    rng, learning = Randomness(SEED).numpy, begun(space.dimension, LEARNING)
    best, lowest = teacher.student(prompt, space, DeltaGenes(genes)), np.inf
    scoring = best.scoring(task_with_test(best.config, lessons.items, gold=False))
    for step in range(1, steps + 1):
        chosen = rng.choice(len(lessons.items), min(LEARNING.batch, len(lessons.items)), replace=False)
        delta = Delta(space.changes(genes), space.depth)
        asked = soft_lesson(scoring, prompt, delta, [lessons.items[i] for i in chosen], lessons.targets[chosen])
        (learnt,) = teacher.engine.learn([asked])
        gradient = space.pullback(DeltaGenes(genes), learnt.gradients)
        if np.isfinite(gradient).all():
            genes, learning = adam_step(genes, gradient, learning)
        if step % LOOK and step != steps:
            continue
        student = teacher.student(prompt, space, DeltaGenes(genes))
        distance = dev.cross_entropy(probabilities(student, dev.items))
        logger.info("step %d of %d: cross-entropy with the prompt's answers on dev %.3f", step, steps, distance)
        if distance < lowest:
            best, lowest = student, distance
    return best


# -- what is told --------------------------------------------------------------------------------------------


def _record(teacher: Predictor, student: Predictor, task: Task, lessons: Lessons) -> dict[str, Any]:
    """Return the content of ``distilled.json``: both on rows that no step learnt from and that chose none."""
    split = "validation" if task.validation else "dev"
    seen = Lessons.of(teacher, task.validation or task.dev)
    pair = {"teacher": teacher, "student": student}
    scores = {name: each.score_items(seen.items).value for name, each in pair.items()} if task.knows_gold else None
    return {
        "teacher": str(teacher.path),
        "learnt_rows": len(lessons.items),
        "split": split,
        "rows": len(seen.items),
        "agreement": seen.agreement(probabilities(student, seen.items)),
        "metric": task.metric,
        "scores": scores,
        "tokens_per_row": {name: _tokens(each, seen.items) for name, each in pair.items()},
        "fitted_on_these_rows": any(member.fit for member in teacher.members),
    }


def _tokens(prompt: Predictor, items: Sequence[Item]) -> float:
    """Return the tokens of a row, its prompt included, each row on its own."""
    before = prompt.engine.usage.tokens_charged
    prompt.answered(items)
    return (prompt.engine.usage.tokens_charged - before) / len(items)


def _sentences(record: Mapping[str, Any]) -> list[str]:
    tokens, scores, rows = record["tokens_per_row"], record["scores"], f"{record['rows']} {record['split']} rows"
    learnt = f"It learnt from {counted(record['learnt_rows'], 'row')}"
    said = [f"{learnt}; of {rows} it answers {record['agreement']:.1%} as the prompt does."]
    if scores:
        metric = str(record["metric"]).replace("_", " ")
        also = ", whose readout was fitted on these rows" if record["fitted_on_these_rows"] else ""
        said.append(f"There it has {scores['student']:.3f} {metric}, the prompt {scores['teacher']:.3f}{also}.")
    return [*said, f"Tokens of a row: {tokens['student']:.0f}, with the prompt {tokens['teacher']:.0f}."]
