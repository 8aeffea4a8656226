"""Learning as variation: a few gradient steps on train items.

An individual that learns is a child that differs from its parent by Adam's steps (Kingma 2014,
https://arxiv.org/abs/1412.6980, with the decoupled weight decay of Loshchilov 2017,
https://arxiv.org/abs/1711.05101). Its moments are inherited with its genes (Lamarckian evolution; memetic algorithms,
Moscato 1989), and how it learns is inherited too: learning rate, weight decay and the number of steps mutate by a
lognormal factor each time and are selected with the genes that they led to.

What is learnt is to say the gold answer: the mean over the minibatch of its log-probability among the item's labels
or options, normalised as the scorers normalise it (a calibrated prompt's prior is left out); of a generation task, of
the target text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from evolm.genomes import DeltaGenome, HybridGenome, Learning, deltas_of
from evolm.models import GradientRequest, LogLikelihood
from evolm.models.deltas import Delta
from evolm.operators.adam import adam_direction
from evolm.operators.base import Family, LearningSettings, Role, VariationContext
from evolm.scorers import Scoring
from evolm.tasks import Item
from evolm.wording import headline

SPREAD = 0.3  # of the lognormal factor on rate and decay
MOST_STEPS = 16


def adam_step(genes: np.ndarray, gradient: np.ndarray, learning: Learning) -> tuple[np.ndarray, Learning]:
    """Return genes and memory after one step *up* the gradient.

    Args:
        genes: ``(n,)``.
        gradient: ``(n,)`` of what is maximised.
        learning: settings and moments.
    """
    count, rate = learning.count + 1, learning.rate
    step, first, second = adam_direction(gradient, learning.first, learning.second, count)
    moved = genes * (1 - rate * learning.decay) + rate * step
    return moved.astype(np.float32), replace(learning, first=first, second=second, count=count)


def begun(dimension: int, settings: LearningSettings) -> Learning:
    """Return how a genome learns that has not learnt yet."""
    nothing = np.zeros(dimension, np.float32)
    return Learning(settings.rate, settings.decay, settings.steps, nothing, nothing)


def mutated(rng: np.random.Generator, learning: Learning) -> Learning:
    """Return the same memory with rate, decay and number of steps a little different."""
    rate, decay = (value * float(np.exp(SPREAD * rng.standard_normal())) for value in (learning.rate, learning.decay))
    steps = int(np.clip(learning.steps + rng.integers(-1, 2), 1, MOST_STEPS))
    return replace(learning, rate=rate, decay=decay, steps=steps)


def lesson(scoring: Scoring, prompt: Any, delta: Delta, items: Sequence[Item]) -> GradientRequest:
    """Return the lesson of saying the gold answers of some items, under a prompt.

    Args:
        scoring: how labels are asked for and normalised.
        prompt: what stands before each item.
        delta: what learns.
        items: with gold.
    """
    task, labels = scoring.task, scoring.labels
    share = 1 / len(items)
    if labels is None:
        template = task.template
        prefix = prompt.prefix(template)
        texts = [template.answer(str(item.gold)) for item in items]
        examples = tuple(
            LogLikelihood(prefix, template.item(item.fields), (text,), template.system, delta=delta)
            for item, text in zip(items, texts, strict=True)
        )
        return GradientRequest(examples, ((share,),) * len(items), "tokens", contrast=False)
    examples = tuple(replace(request, delta=delta) for request in labels.requests(prompt, items))
    gold = [task.options_of(item).index(str(item.gold)) for item in items]
    weights = tuple(
        tuple(share * (index == answer) for index in range(len(request.continuations)))
        for request, answer in zip(examples, gold, strict=True)
    )
    return GradientRequest(examples, weights, labels.normalization, contrast=True)


def delta_of(genome: Any) -> DeltaGenome:
    """Return the delta of a hybrid, or the delta itself."""
    return genome.delta if isinstance(genome, HybridGenome) else genome


def with_delta(genome: Any, delta: DeltaGenome) -> Any:
    """Return a genome with another delta."""
    return replace(genome, delta=delta) if isinstance(genome, HybridGenome) else delta


@dataclass
class _Pupil:
    """A genome that is learning."""

    genome: Any
    prompt: Any
    genes: np.ndarray
    learning: Learning

    @property
    def finished(self) -> Any:
        """The genome with what it has learnt."""
        return with_delta(self.genome, replace(delta_of(self.genome), genes=self.genes, learning=self.learning))


@dataclass(frozen=True)
class GradientStep:
    """Take a few Adam steps on minibatches of train items, with inherited moments and settings."""

    name: str = "gradient_step"
    role: Role = "learning"
    genome: str = DeltaGenome.kind
    weight: float = 1.0
    asks_model: bool = True
    needs_gold: bool = True

    @property
    def summary(self) -> str:
        """First line of the docstring."""
        return headline(self.__doc__)

    def vary(self, families: Sequence[Family], context: VariationContext) -> list[Any | None]:
        """Let each family's first parent learn, all side by side; None where there is nothing to learn from."""
        deltas, model_access = deltas_of(context.space), context.model_access
        if model_access is None or deltas is None or not model_access.train:
            return [None] * len(families)
        pupils = [self._pupil(family[0].genome, context) for family in families]
        for step in range(max((pupil.learning.steps for pupil in pupils), default=0)):
            active = [pupil for pupil in pupils if step < pupil.learning.steps]
            lessons = [
                lesson(
                    model_access.scoring,
                    pupil.prompt,
                    Delta(deltas.changes(pupil.genes), deltas.depth),
                    _minibatch(context.rng, model_access.train, context.learning.batch),
                )
                for pupil in active
            ]
            for pupil, learnt in zip(active, model_access.learn(lessons), strict=True):
                if learnt is None:
                    continue
                gradient = deltas.pullback(DeltaGenome(pupil.genes), learnt.gradients)
                if np.isfinite(gradient).all():
                    pupil.genes, pupil.learning = adam_step(pupil.genes, gradient, pupil.learning)
        return [pupil.finished for pupil in pupils]

    def _pupil(self, genome: Any, context: VariationContext) -> _Pupil:
        delta = delta_of(genome)
        learning = delta.learning or begun(delta.genes.size, context.learning)
        if context.learning.adapt:
            learning = mutated(context.rng, learning)
        return _Pupil(genome, context.space.express(genome).prompt, delta.genes, learning)


def _minibatch(rng: np.random.Generator, train: Sequence[Item], size: int) -> list[Item]:
    """Draw train items with gold, without replacement."""
    labelled = [item for item in train if item.gold is not None]
    chosen = rng.choice(len(labelled), min(size, len(labelled)), replace=False)
    return [labelled[index] for index in chosen]


LEARNING_OPERATORS = [GradientStep()]
