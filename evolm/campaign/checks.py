"""Checks that need the whole campaign: context length and the memory for shared states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evolm.errors import ConfigError, ContextExceeded, Unanswerable
from evolm.evaluation.evaluator import Evaluator
from evolm.founders.loading import Founders
from evolm.genomes import DELTA, Phenotype, Space
from evolm.models.text_notes import text_notes
from evolm.scorers import Scorer
from evolm.tasks import Item


def check_trunk(evaluator: Evaluator, founders: Founders, space: Space) -> None:
    """Raise if the memory limit for shared states is too small for a single item.

    Raises:
        ConfigError: naming the megabytes that the longest item needs.
    """
    model = evaluator.engine.model
    deltas = space.get(DELTA)
    if deltas is None or not deltas.depth or not model.passes.trunk_bytes:
        return
    width = model.width * (2 if model.prepared.dtype == "bfloat16" else 4)
    longest = max(evaluator.task.dev, key=lambda item: sum(map(len, item.fields.values())))
    shown = evaluator.express(founders.genomes[0])
    asked: Sequence[Any] = evaluator.engine.tokenize(
        next(next(iter(evaluator.scorers.values()))[0].dialogue(shown, [longest]))
    )
    needed = max((len(request.context) * width for request in asked), default=0)
    if needed > model.passes.trunk_bytes:
        raise ConfigError(
            f"evaluation.trunk_mb: expected at least {-(-needed // 2**20)} for the longest item, found "
            f"{model.passes.trunk_bytes // 2**20}; 0 shares nothing"
        )


def check_context(evaluator: Evaluator, founders: Founders) -> None:
    """Raise if a founder and the longest item do not fit the model's context.

    Raises:
        ContextExceeded: naming the founder and the number of tokens that are too many.
    """
    task = evaluator.task
    items = (*task.dev, *task.validation, *task.test)
    longest = max(items, key=lambda item: sum(map(len, item.fields.values())))
    scorers = _scorers(evaluator)
    for founder in founders.genomes:
        for scorer in scorers:
            try:
                evaluator.engine.tokenize(next(scorer.dialogue(evaluator.express(founder), [longest])))
            except ContextExceeded as error:
                raise ContextExceeded(f"founder {founders.names[founder.digest]}: {error}") from None


def check_texts(evaluator: Evaluator, founders: Founders) -> None:
    """Raise if the model cannot be asked about an item behind the first founder.

    Raises:
        Unanswerable: naming the item and the reason.
    """
    task, shown = evaluator.task, evaluator.express(founders.genomes[0])
    for scorer in _scorers(evaluator):
        for items in (task.dev, task.validation, task.test):
            if _refusal(evaluator, scorer, shown, items):
                for item in items:
                    if error := _refusal(evaluator, scorer, shown, [item]):
                        raise Unanswerable(
                            f"task.data: the row {' | '.join(item.fields.values())[:60]!r} cannot be asked about: "
                            f"{error}; task.exclude drops rows"
                        )


def _scorers(evaluator: Evaluator) -> list[Scorer]:
    """Return the scorers whose requests are checked."""
    if evaluator.task.knows_gold:
        return [evaluator.task_scorer]
    return [scorer for scorer, _ in evaluator.scorers.values()]


def _refusal(evaluator: Evaluator, scorer: Scorer, shown: Phenotype, items: Sequence[Item]) -> Unanswerable | None:
    """Return why the model cannot be asked about some items, or None."""
    if items:
        try:
            evaluator.engine.tokenize(next(scorer.dialogue(shown, items)))
        except Unanswerable as error:
            return error
    return None


def told_about_texts(evaluator: Evaluator, founders: Founders) -> tuple[str, ...]:
    """Return sentences about how the model reads the campaign's rows and founders."""
    task = evaluator.task
    prompts = [evaluator.express(founder).prompt.prefix(task.template) for founder in founders.genomes]
    items = (*task.train, *task.dev, *task.validation, *task.test)
    return text_notes(evaluator.engine.model, (item.text for item in items), prompts)
