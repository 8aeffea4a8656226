"""What scorers are made from, and the task scorer, whose score is the task's metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evolm.config import CampaignConfig
from evolm.models import Decoding
from evolm.readouts import Fit
from evolm.scorers import SCORERS, LabelProbabilities, Scorer, Scoring
from evolm.tasks import KINDS, Task

if TYPE_CHECKING:
    from evolm.models import Model


def make_scoring(
    config: CampaignConfig,
    task: Task,
    model: Model,
    words: Mapping[str, Sequence[str]],
    prompt_tokens: Callable[[Any], int],
    fit: Fit | None = None,
) -> Scoring:
    """Return what all scorers of a campaign are made from.

    Args:
        config: the campaign: its normalization and ``[generation]``.
        task: what is scored.
        model: the model that is asked.
        words: label -> words that may stand for it.
        prompt_tokens: genome -> length of its prompt in tokens, item excluded.
        fit: of a saved readout; see :class:`LabelProbabilities`.
    """
    template = task.template
    model.control.keep(template.item_source + template.answer_source + template.separator + template.system)
    closed = not KINDS[task.kind].open
    labels = LabelProbabilities(task, model, config.task.normalization, words, fit) if closed else None
    decoding = Decoding(**config.generation.model_dump(exclude={"refine"}))
    return Scoring(task, model, labels, decoding, prompt_tokens, config.generation.refine)


def task_scorer_name(task: Task) -> str:
    """Return the name of the scorer whose score is the task's metric."""
    return KINDS[task.kind].task_scorer(task.metric)


def make_task_scorer(scoring: Scoring) -> Scorer:
    """Return the task scorer with its default parameters."""
    kind = SCORERS[task_scorer_name(scoring.task)]
    return kind(scoring, kind.Params())
