"""Learning as variation: a few gradient steps on train items.

A child differs from its parent by Adam's steps (Kingma 2014, https://arxiv.org/abs/1412.6980, with the decoupled
weight decay of Loshchilov 2017, https://arxiv.org/abs/1711.05101). Adam's moments are inherited with the genes
(Lamarckian evolution; memetic algorithms, Moscato 1989). The settings are inherited, too: learning rate, weight decay
and the number of steps mutate each time (the first two by a lognormal factor) and are selected with the genes.

The loss of :class:`GradientStep` is a mean over the minibatch. With ``"cross_entropy"`` it is minus the gold answer's
log-probability among the item's labels or options, normalised as the scorers normalise it, read by their words; in a
generation task, of the target text and of its end. With ``"margin"`` it is the hinge between the gold answer and the
best wrong one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self, TypeVar

import numpy as np

from evolm.genomes import DELTA, DeltaGenes, Genome, Learning, Prompt
from evolm.models import GradientRequest, LogLikelihood
from evolm.models.deltas import Delta
from evolm.operators.adam import adam_direction
from evolm.operators.base import DocumentedOperator, Family, LearningSettings, Role, VariationContext
from evolm.operators.goals import SupervisedLoss
from evolm.scorers import Scoring
from evolm.tasks import Item

SPREAD = 0.3  # of the lognormal factor on rate and decay
MOST_STEPS = 16
GRADIENT_STEP = "gradient_step"


def adam_step(genes: np.ndarray, gradient: np.ndarray, learning: Learning) -> tuple[np.ndarray, Learning]:
    """Return genes and memory after one step *up* the gradient.

    Args:
        genes: ``(n,)``.
        gradient: ``(n,)``, of the objective that is maximised.
        learning: settings and moments.
    """
    count, rate = learning.count + 1, learning.rate
    step, first, second = adam_direction(gradient, learning.first, learning.second, count)
    moved = genes * (1 - rate * learning.decay) + rate * step
    return moved.astype(np.float32), replace(learning, first=first, second=second, count=count)


def begun(dimension: int, settings: LearningSettings) -> Learning:
    """Return how genes learn that have not learnt yet."""
    nothing = np.zeros(dimension, np.float32)
    return Learning(settings.rate, settings.decay, settings.steps, nothing, nothing)


def mutated(rng: np.random.Generator, learning: Learning) -> Learning:
    """Return the same moments with slightly different rate, decay and number of steps."""
    rate, decay = (value * float(np.exp(SPREAD * rng.standard_normal())) for value in (learning.rate, learning.decay))
    steps = int(np.clip(learning.steps + rng.integers(-1, 2), 1, MOST_STEPS))
    return replace(learning, rate=rate, decay=decay, steps=steps)


def lesson(
    scoring: Scoring,
    prompt: Prompt,
    delta: Delta,
    items: Sequence[Item],
    loss: SupervisedLoss = SupervisedLoss(),
) -> GradientRequest:
    """Return the request for the gradient of the gold answers of some items, under a prompt.

    Args:
        scoring: how labels are asked for and normalised.
        prompt: the text before each item.
        delta: the change that learns.
        items: with gold.
        loss: of the gold answer among the item's labels or options; that of a text is its cross-entropy.
    """
    task = scoring.task
    if scoring.labels is None:
        share, template = 1 / len(items), task.template
        prefix = prompt.prefix(template)
        end = ending(scoring)
        texts = [template.answer(str(item.gold)) + end for item in items]
        examples = tuple(
            LogLikelihood(prefix, template.item(item.fields), (text,), template.system, delta=delta, ended=not end)
            for item, text in zip(items, texts, strict=True)
        )
        return GradientRequest(examples, ((share,),) * len(items), "tokens", contrast=False)
    gold = [task.options_of(item).index(str(item.gold)) for item in items]
    request = soft_lesson(scoring, prompt, delta, items, np.eye(task.n_options)[gold])
    return replace(request, loss=loss.name, margin=loss.margin)


def ending(scoring: Scoring) -> str:
    """Return the text that ends a generated answer; empty if the model's own end of a text does.

    It is learnt with the answer; otherwise the model forgets where to stop. In plain text it is the separator, as
    behind a demonstration, if that holds a stop string, otherwise the first stop string. In a chat the turn ends.
    """
    stops, separator = scoring.decoding.stop_strings, scoring.task.template.separator
    if scoring.model.chat or not stops:
        return ""
    return separator if any(stop in separator for stop in stops) else stops[0]


def soft_lesson(
    scoring: Scoring, prompt: Prompt, delta: Delta, items: Sequence[Item], targets: np.ndarray
) -> GradientRequest:
    """Return the request for the gradient of minus the mean cross-entropy with given distributions.

    Args:
        scoring: how labels or options are asked for and normalised.
        prompt: the text before each item.
        delta: the change that learns.
        items: gold is not read.
        targets: ``(n, n_options)`` probabilities of each item's labels or options.
    """
    labels, share = scoring.labels, 1 / len(items)
    assert labels is not None
    examples = tuple(replace(request, delta=delta) for request in labels.requests(prompt, items))
    weights = tuple(
        tuple(share * float(probability) for probability in target[: len(request.continuations)])
        for request, target in zip(examples, targets, strict=True)
    )
    return GradientRequest(examples, weights, labels.normalization, contrast=True)


@dataclass
class Pupil:
    """A genome that is learning, under the prompt that the model sees of it."""

    genome: Genome
    prompt: Prompt
    genes: np.ndarray
    learning: Learning
    learnt: bool = False

    @classmethod
    def of(cls, genome: Genome, context: VariationContext) -> Self:
        """Return a genome that begins to learn; its settings mutate first if the context says so."""
        learning = genome.delta.learning or begun(genome.delta.genes.size, context.learning)
        if context.learning.adapt:
            learning = mutated(context.rng, learning)
        return cls(genome, context.space.express(genome).prompt, genome.delta.genes, learning)

    @property
    def finished(self) -> Genome | None:
        """The genome with the genes and the memory of learning; None if no step taught anything."""
        if not self.learnt:
            return None
        learnt = replace(self.genome.delta, genes=self.genes, learning=self.learning)
        return self.genome.with_chromosome(DELTA, learnt)

    def step(self, gradient: np.ndarray) -> None:
        """Take a step up a gradient; none if that is not finite."""
        if np.isfinite(gradient).all():
            self.genes, self.learning = adam_step(self.genes, gradient, self.learning)
            self.learnt = True


AnyPupil = TypeVar("AnyPupil", bound=Pupil)


def take_steps(
    pupils: Sequence[AnyPupil], context: VariationContext, lesson_of: Callable[[AnyPupil, Delta], GradientRequest]
) -> None:
    """Let pupils take their numbers of Adam steps, side by side; see :func:`take_lessons`.

    Args:
        pupils: their genes and learning change.
        context: with a delta's space and access to the model.
        lesson_of: returns the request for the gradient of one step, from a pupil and its present delta.
    """
    take_lessons(pupils, context, lambda active: [lesson_of(pupil, delta) for pupil, delta in active])


def take_lessons(
    pupils: Sequence[AnyPupil],
    context: VariationContext,
    lessons_of: Callable[[Sequence[tuple[AnyPupil, Delta]]], Sequence[GradientRequest | None]],
) -> None:
    """Let pupils take their numbers of Adam steps, side by side.

    Args:
        pupils: their genes and learning change.
        context: with a delta's space and access to the model.
        lessons_of: returns the request for the gradient of one step for each pupil and its present delta, in order;
            None if there is nothing to learn from.
    """
    deltas, model_access = context.space[DELTA], context.model_access
    assert model_access is not None
    for step in range(max((pupil.learning.steps for pupil in pupils), default=0)):
        active = [pupil for pupil in pupils if step < pupil.learning.steps]
        lessons = lessons_of([(pupil, Delta(deltas.changes(pupil.genes), deltas.depth)) for pupil in active])
        results = iter(model_access.learn([request for request in lessons if request is not None]))
        for pupil, request in zip(active, lessons, strict=True):
            learnt = None if request is None else next(results)
            if learnt is not None:
                pupil.step(deltas.pullback(DeltaGenes(pupil.genes), learnt.gradients))


def unshown(prompt: Prompt, items: Sequence[Item]) -> Sequence[Item]:
    """Return the items with gold that a prompt does not show, since shown ones teach to copy; all if it shows all."""
    shown = {demonstration.item for demonstration in prompt.demonstrations}
    known = [item for item in items if item.gold is not None]
    return [item for item in known if item.digest not in shown] or known


def minibatch(rng: np.random.Generator, items: Sequence[Item], size: int) -> list[Item]:
    """Draw items with gold, without replacement."""
    return draw(rng, [item for item in items if item.gold is not None], size)


def draw(rng: np.random.Generator, items: Sequence[Item], size: int) -> list[Item]:
    """Draw items without replacement."""
    chosen = rng.choice(len(items), min(size, len(items)), replace=False)
    return [items[index] for index in chosen]


@dataclass(frozen=True)
class GradientStep(DocumentedOperator):
    """Take a few Adam steps on minibatches of train items, with inherited moments and settings."""

    name: str = GRADIENT_STEP
    role: Role = "learning"
    chromosome: str = DELTA
    weight: float = 1.0
    asks_model: bool = True
    needs_gold: bool = True

    def vary(self, families: Sequence[Family], context: VariationContext) -> list[Genome | None]:
        """Let each family's first parent learn, all side by side; None without train items or model access."""
        model_access = context.model_access
        if model_access is None or context.space.get(DELTA) is None or not model_access.train:
            return [None] * len(families)
        pupils = [Pupil.of(family[0].genome, context) for family in families]

        def lesson_of(pupil: Pupil, delta: Delta) -> GradientRequest:
            items = minibatch(context.rng, unshown(pupil.prompt, model_access.train), context.learning.batch)
            return lesson(model_access.scoring, pupil.prompt, delta, items, model_access.loss)

        take_steps(pupils, context, lesson_of)
        return [pupil.finished for pupil in pupils]
