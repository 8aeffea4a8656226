"""Learning once more on more rows: the last step of a delta that was learnt by gradient.

An individual's schedule is the number of its steps, its learning rate and its weight decay, which dev rows have
selected. It is taken again from no change at all, on train and dev rows, and must beat the winner so far on
validation rows. One that wins is taken a last time, on all rows but those of the test split; as with readouts
(:func:`evolm.readouts.refitted`), no row is left that could measure this last step before the test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from evolm.campaign.build import Components
from evolm.campaign.contests import Contention, Standing, answers, contestable
from evolm.campaign.search import Search
from evolm.genomes import DELTA, Genome
from evolm.individual import Individual
from evolm.models import GradientRequest
from evolm.models.deltas import Delta
from evolm.operators import VariationContext
from evolm.operators.learning import GRADIENT_STEP, Pupil, begun, lesson, minibatch, take_steps, unshown
from evolm.randomness import derive_seed
from evolm.strategies import Strategy
from evolm.tasks import Item


def contend(
    search: Search, parts: Components, single: Individual, alone: Standing, rival: Standing
) -> Contention | None:
    """Let the best single individual learn once more and compare it with the winner so far on validation rows.

    The tokens of learning are charged to the search.

    Args:
        search: gives the size of minibatches and the access to the model.
        parts: the campaign's objects.
        single: the individual that won the final.
        alone: its standing on validation rows.
        rival: the standing of the winner so far.

    Returns:
        None if the campaign is never learnt once more, the individual has not learnt by gradient, or what it learns
        cannot answer every row.
    """
    if not (switched_on(parts) and by_gradient(search.strategy)):
        return None
    schedule = single.genome.delta.learning
    if schedule is None or not schedule.count:
        return None
    task = parts.task
    confirming = _learnt_again(single.genome, search, parts, [*task.train, *task.dev])
    if confirming is None:
        return None
    on_dev, on_validation = (answers([confirming], parts, rows)[0] for rows in (task.dev, task.validation))
    standing = Standing.of(on_validation, task, task.validation)
    if on_dev is None or on_validation is None:
        return None
    everything = [*task.train, *task.dev, *task.validation]
    last = _learnt_again(single.genome, search, parts, everything) if standing > rival else None
    record = {
        "id": single.id,
        "steps": schedule.count,
        "rows": len(everything),
        "dev": single.score,
        **standing.to_record(),
        "single": alone.to_record(),
        "won": last is not None,
    }
    return Contention(last or confirming, standing, record)


def switched_on(parts: Components) -> bool:
    """Return whether the winner of a search may learn once more, if it has learnt."""
    return parts.config.finals.relearn and contestable(parts)


def by_gradient(strategy: Strategy) -> bool:
    """Return whether a strategy learns by gradient steps on gold answers alone."""
    return {operator.name for operator, _ in strategy.variation.operators if operator.role == "learning"} == {
        GRADIENT_STEP
    }


def _learnt_again(genome: Genome, search: Search, parts: Components, rows: Sequence[Item]) -> Genome | None:
    """Return the genome after its schedule on rows that its prompt does not show, taken from no change."""
    model_access, settings = search.strategy.context.model_access, search.strategy.learning_settings()
    assert model_access is not None
    rng = np.random.Generator(np.random.PCG64(derive_seed("relearning", parts.config.seed, genome.digest, len(rows))))
    context = VariationContext(rng, parts.space, model_access, (), replace(settings, adapt=False))
    pupil = _beginner(genome, context)
    unseen = unshown(pupil.prompt, rows)

    def lesson_of(pupil: Pupil, delta: Delta) -> GradientRequest:
        items = minibatch(rng, unseen, settings.batch)
        return lesson(model_access.scoring, pupil.prompt, delta, items, model_access.loss)

    take_steps([pupil], context, lesson_of)
    search.ledger.charge_operators(model_access.spent())
    return pupil.finished


def _beginner(genome: Genome, context: VariationContext) -> Pupil:
    """Return the genome without its change, about to take all steps of its schedule."""
    schedule, neutral = genome.delta.learning, context.space[DELTA].neutral()
    assert schedule is not None
    fresh = begun(neutral.genes.size, replace(context.learning, rate=schedule.rate, decay=schedule.decay))
    unlearnt = replace(neutral, sigma=genome.delta.sigma, learning=replace(fresh, steps=schedule.count))
    return Pupil.of(genome.with_chromosome(DELTA, unlearnt), context)
