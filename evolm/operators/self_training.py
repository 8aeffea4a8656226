"""Self-training: a genome answers rows without gold, and learns from the answers of which it is most confident.

Scudder 1965, "Probability of error of some adaptive pattern-recognition machines"; pseudo-labels: Lee 2013; iterated
with a share of each label's answers: Zou 2018, https://arxiv.org/abs/1810.07911. The teacher of a child is its
parent: answers are given once, before the child's steps. The share (or threshold) is a gene, inherited and mutated
like the learning rate, so selection decides how much of its own opinion a genome believes.

Labelled train rows, if there are any, teach alone at first (``warm_up``), and are part of every step after that. No
gold of the rows that are answered is known here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from evolm.config import SelfTrainingSection
from evolm.errors import EvolmError
from evolm.genomes import DELTA, Genome
from evolm.models import GradientRequest
from evolm.models.deltas import Delta
from evolm.operators.base import DocumentedOperator, Family, Role, VariationContext
from evolm.operators.confidence import COMMITTEE, OwnAnswers, confident, joint_answers, own_answers
from evolm.operators.learning import SPREAD, Pupil, lesson, minibatch, take_steps, unshown
from evolm.tasks import KINDS, Item

SELF_TRAINING = "self_training"
MEMBERS = 5  # of a committee beside the genome itself
LEAST_KEEP, MOST_KEEP = 0.02, 1.0


@dataclass
class SelfTaught(Pupil):
    """A genome that learns from its own answers.

    Attributes:
        own: rows whose gold is its own confident answer.
        warm: whether it learns from labelled train rows alone.
    """

    own: Sequence[Item] = ()
    warm: bool = False


@dataclass(frozen=True)
class SelfTraining(DocumentedOperator):
    """Take a few Adam steps on the model's own confident answers to rows without gold, beside labelled ones."""

    name: str = SELF_TRAINING
    role: Role = "learning"
    chromosome: str = DELTA
    weight: float = 1.0
    asks_model: bool = True
    needs_gold: bool = False
    needs_unlabelled: ClassVar[bool] = True

    def vary(self, families: Sequence[Family], context: VariationContext) -> list[Genome | None]:
        """Let each family's first parent learn; None for one whose own answers teach nothing.

        They teach nothing if none is confident enough, or if all are the same: a model that learns a single answer
        collapses.

        Raises:
            EvolmError: if no answer to any row reaches the threshold before anything was learnt from one.
        """
        model_access = context.model_access
        if not families or model_access is None or context.space.get(DELTA) is None or not model_access.unlabelled:
            return [None] * len(families)
        pupils = [_begun(family[0].genome, context) for family in families]
        _answer([pupil for pupil in pupils if not pupil.warm], context)

        def lesson_of(pupil: SelfTaught, delta: Delta) -> GradientRequest:
            items = _lesson_items(pupil, context)
            return lesson(model_access.scoring, pupil.prompt, delta, items, model_access.loss)

        take_steps([pupil for pupil in pupils if pupil.warm or pupil.own], context, lesson_of)
        return [pupil.finished for pupil in pupils]


def _begun(genome: Genome, context: VariationContext) -> SelfTaught:
    """Return a genome that begins to learn; its share or threshold, if it answers itself, mutates like its rate."""
    model_access = context.model_access
    assert model_access is not None
    settings, pupil = model_access.self_training, SelfTaught.of(genome, context)
    pupil.warm = bool(model_access.train) and pupil.learning.count < settings.warm_up
    if not pupil.warm:
        keep = pupil.learning.keep or settings.keep
        if context.learning.adapt:
            keep = float(np.clip(keep * np.exp(SPREAD * context.rng.standard_normal()), LEAST_KEEP, MOST_KEEP))
        pupil.learning = replace(pupil.learning, keep=keep)
    return pupil


def _answer(pupils: Sequence[SelfTaught], context: VariationContext) -> None:
    """Let genomes answer the same rows, drawn from the unlabelled ones, and keep what each is confident of."""
    model_access = context.model_access
    assert model_access is not None
    if not pupils:
        return
    settings, task, pool = model_access.self_training, model_access.scoring.task, model_access.unlabelled
    drawn = context.rng.choice(len(pool), min(settings.rows, len(pool)), replace=False)
    items = [pool[index] for index in sorted(drawn)]
    found = answered([pupil.genome for pupil in pupils], context, items)
    if not any(_has_answered(pupil.genome) for pupil in pupils):
        _require_some(found, settings, len(items))
    for pupil, own in zip(pupils, found, strict=True):
        places = confident(own, settings, pupil.learning.keep, bool(task.labels)) if own else []
        rows = [replace(items[place], gold=own.answers[place]) for place in places] if own else []
        several = len({row.gold for row in rows}) > 1
        pupil.own = rows if several or KINDS[task.kind].options else []


def _has_answered(genome: Genome) -> bool:
    """Return whether a genome, or an ancestor, has learnt from its own answers."""
    learning = genome.delta.learning
    return learning is not None and learning.keep > 0


def answered(genomes: Sequence[Genome], context: VariationContext, items: Sequence[Item]) -> list[OwnAnswers | None]:
    """Return what genomes answer to items, in order; None if the model cannot be asked."""
    model_access = context.model_access
    assert model_access is not None
    settings, scoring = model_access.self_training, model_access.scoring
    population = [member.genome for member in context.population[:MEMBERS]] if _in_committee(settings) else []
    asked = list({genome.digest: genome for genome in (*genomes, *population)}.values())
    shown = [context.space.express(genome) for genome in asked]
    dialogues = [own_answers(settings, scoring, each, items) for each in shown]
    results = model_access.hold_dialogues(dialogues, [each.delta for each in shown])
    known = {genome.digest: found for genome, found in zip(asked, results, strict=True) if found is not None}
    if not _in_committee(settings):
        return [known.get(genome.digest) for genome in genomes]
    return [_joint(genome, population, known, items, context) for genome in genomes]


def _joint(
    genome: Genome,
    population: Sequence[Genome],
    known: dict[str, OwnAnswers],
    items: Sequence[Item],
    context: VariationContext,
) -> OwnAnswers | None:
    assert context.model_access is not None
    members = dict.fromkeys([genome.digest, *(member.digest for member in population)])
    answers = [known[digest] for digest in members if digest in known]
    return joint_answers(context.model_access.scoring.task, answers, items) if genome.digest in known else None


def _in_committee(settings: SelfTrainingSection) -> bool:
    return settings.confidence == COMMITTEE


def _require_some(found: Sequence[OwnAnswers | None], settings: SelfTrainingSection, rows: int) -> None:
    """Raise EvolmError if no confidence reaches the campaign's threshold."""
    if settings.select != "threshold":
        return
    highest = max((float(own.confidence.max(initial=0.0)) for own in found if own), default=0.0)
    if highest < settings.keep:
        raise EvolmError(
            f"self_training: expected rows with a {settings.confidence} of at least {settings.keep:g}, found none "
            f"of {rows} (highest {highest:.3f}); lower self_training.keep, or "
            "let self_training.select = 'share' take the best"
        )


def _lesson_items(pupil: SelfTaught, context: VariationContext) -> list[Item]:
    """Draw the rows of one step: train rows that the prompt does not show, in their share, and own answers."""
    model_access, size = context.model_access, context.learning.batch
    assert model_access is not None
    train = unshown(pupil.prompt, model_access.train)
    if not pupil.own:
        return minibatch(context.rng, train, size)
    labelled = round(size * model_access.self_training.labelled) if train else 0
    return [
        *(minibatch(context.rng, train, labelled) if labelled else []),
        *(minibatch(context.rng, pupil.own, size - labelled) if labelled < size else []),
    ]
