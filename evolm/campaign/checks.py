"""Checks that need the whole campaign: context length and the memory for shared states."""

from __future__ import annotations

from evolm.errors import ConfigError, ContextExceeded
from evolm.evaluation.evaluator import Evaluator
from evolm.founders.loading import Founders
from evolm.genomes import DELTA, Space


def check_trunk(evaluator: Evaluator, founders: Founders, space: Space) -> None:
    """Raise if the memory limit for shared states is too small for a single item.

    Raises:
        ConfigError: naming the megabytes that the longest item needs.
    """
    model = evaluator.engine.model
    deltas = space.get(DELTA)
    if deltas is None or not deltas.depth or not model.passes.trunk_bytes:
        return
    width = int(model.config.get_text_config().hidden_size) * (2 if model.prepared.dtype == "bfloat16" else 4)
    longest = max(evaluator.task.dev, key=lambda item: sum(map(len, item.fields.values())))
    shown = evaluator.express(founders.genomes[0])
    asked = evaluator.engine.tokenize(next(next(iter(evaluator.scorers.values()))[0].dialogue(shown, [longest])))
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
    scorers = [evaluator.task_scorer] if task.knows_gold else [scorer for scorer, _ in evaluator.scorers.values()]
    for founder in founders.genomes:
        for scorer in scorers:
            try:
                evaluator.engine.tokenize(next(scorer.dialogue(evaluator.express(founder), [longest])))
            except ContextExceeded as error:
                raise ContextExceeded(f"founder {founders.names[founder.digest]}: {error}") from None
