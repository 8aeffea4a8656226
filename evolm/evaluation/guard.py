"""The guard of general ability: the perplexity of text that has nothing to do with the task.

A delta that is fitted to a narrow task can spoil the model for everything else. The guard measures the perplexity of
general text under every delta, and a campaign keeps its rise over that of the unchanged model within a limit
(Deb's rules, :mod:`evolm.fitness`) or maximises its negative logarithm as one of several objectives.
Prompts and readouts leave the weights as they are, so the guard asks nothing about genomes without a delta.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np

from evolm.config import GuardSection
from evolm.errors import ConfigError
from evolm.evaluation.dialogue import AnswersRequests, hold
from evolm.genomes import Phenotype
from evolm.genomes.chromosome import content_digest
from evolm.models import LogLikelihood
from evolm.scorers import Dialogue, Evaluation, ItemTerms, Scorer, Scoring, Weighted
from evolm.scorers.base import FLOOR
from evolm.tasks import Item

if TYPE_CHECKING:
    from evolm.models import LanguageModel

PERPLEXITY = "general_perplexity"  # name of the measure
ABILITY = "general_ability"  # name of the objective
PASSAGE = 128  # most tokens of a passage
LEAST = 100  # tokens; the perplexity of fewer says little


@dataclass(frozen=True)
class Base:
    """The unchanged model.

    Attributes:
        evaluation: of the general text.
        tokens: charged for it.
    """

    evaluation: Evaluation
    tokens: int


class Guard(Scorer):
    """The mean log-probability (nats) per token of general text: minus the logarithm of its perplexity.

    Args:
        scoring: what scorers are made from.
        params: the ``[guard]`` table.
        passages: the text, see :func:`passages_of`.
    """

    decomposable = True
    limits = (FLOOR, 0.0)

    def __init__(self, scoring: Scoring, params: GuardSection, passages: Sequence[LogLikelihood]) -> None:
        super().__init__(scoring, Weighted())
        self.settings = params
        self.passages = tuple(passages)
        self.base: Base | None = None

    @property
    def constrains(self) -> bool:
        """Whether it is a constraint; otherwise it is an objective."""
        return self.settings.use == "constraint"

    def measure_base(self, engine: AnswersRequests) -> Base:
        """Return the unchanged model's evaluation; it is asked once."""
        if self.base is None:
            (outcome,) = hold([self._asked(0)], engine)
            if outcome.result is None:
                raise ConfigError(f"guard.data: expected text that the model can be asked about: {outcome.error}")
            self.base = Base(outcome.result, outcome.tokens)
        return self.base

    def dialogue(self, shown: Phenotype, items: Sequence[Item]) -> Dialogue:
        """Ask about every passage under the genome's delta; about none if it has none and the base is known."""
        if shown.delta is None and self.base is not None:
            yield []
            return _spread(self.base.evaluation, len(items))
        return (yield from self._asked(len(items)))

    def _asked(self, n: int) -> Dialogue:
        answers = yield list(self.passages)
        mean = float(np.concatenate([answer[0] for answer in answers]).mean(dtype=np.float64))
        failures = {0: "the log-probabilities of the general text are not finite"} if np.isnan(mean) else {}
        mean = max(mean, FLOOR) if not failures else mean
        whole = Evaluation(np.empty(0), mean, measures={PERPLEXITY: float(np.exp(-mean))}, failures=failures)
        return _spread(whole, n)

    def item_terms(self, evaluation: Evaluation, items: Sequence[Item], all_items: Sequence[Item]) -> ItemTerms:
        """Return the same number for every item; it needs no item to be known."""
        return ItemTerms(evaluation.scores, evaluation.objective, evaluation.objective)

    def violation_at(self, perplexity: float) -> float:
        """Return by how much a perplexity's rise is above its limit, as a share of the unchanged model's perplexity.

        0 if it is not, or there is no limit.
        """
        assert self.base is not None  # the evaluator measures it first
        rise = perplexity / self.base.evaluation.measures[PERPLEXITY] - 1
        return max(0.0, rise - self.settings.max_rise) if self.constrains else 0.0

    def describe(self) -> dict[str, Any]:
        """Return the limit and a digest of the text."""
        text = content_digest([[passage.item, *passage.continuations] for passage in self.passages])
        return {"use": self.settings.use, "max_rise": self.settings.max_rise, "text": text}


def _spread(evaluation: Evaluation, n: int) -> Evaluation:
    """Return the evaluation with its objective as the score of each of ``n`` items."""
    return Evaluation(
        np.full(n, evaluation.objective),
        evaluation.objective,
        measures=evaluation.measures,
        failures=evaluation.failures,
    )


# -- the text --------------------------------------------------------------------------------------------------


def sample_text() -> str:
    """Return the shipped sample: openings of English and American books, all in the public domain."""
    return resources.files("evolm.evaluation").joinpath("general_text.txt").read_text(encoding="utf-8")


def passages_of(text: str, model: LanguageModel, most: int) -> tuple[LogLikelihood, ...]:
    """Cut a text into requests for the log-probability of each passage behind its first word.

    Passages end at blank lines, and have at most :data:`PASSAGE` tokens or as many as the model's context holds.

    Args:
        text: general text.
        model: the model that is asked.
        most: tokens in all; the rest of the text is left out.

    Raises:
        ConfigError: if the text has fewer than :data:`LEAST` tokens.
    """
    length = min(PASSAGE, model.context_length - 2)
    found, tokens = [], 0
    for words, count in _groups(text, model, length, most):
        if len(words) > 1:
            found.append(LogLikelihood("", words[0], (f" {' '.join(words[1:])}",), chat=False))
            tokens += count
    if tokens < LEAST:
        raise ConfigError(f"guard.data: expected text of at least {LEAST} tokens, found {tokens}")
    return tuple(found)


def _groups(text: str, model: LanguageModel, length: int, most: int) -> Iterator[tuple[list[str], int]]:
    """Yield words of at most ``length`` tokens, and the number of their tokens, until there are ``most``."""
    left = most
    for paragraph in re.split(r"\n\s*\n", text):
        words: list[str] = []
        size = 0
        spaced = [f" {word}" for word in paragraph.split()]
        for word, tokens in zip(spaced, model.encode(spaced, chat=True), strict=True):
            if size and size + len(tokens) > min(length, left):
                yield words, size
                left -= size
                words, size = [], 0
            if len(tokens) > min(length, left):
                continue
            words.append(word[1:])
            size += len(tokens)
        if words:
            yield words, size
            left -= size
