"""The model's probabilities of labels or options: their requests, normalisation and readouts.

Log-probabilities of all tokens of an answer count, so labels that share a first token are told apart. A longer
answer has more negative terms; ``task.normalization`` corrects for that, in the same way throughout a campaign:

- ``sum``: no correction (right if all answers have the same number of tokens);
- ``tokens``: mean per token;
- ``characters``: mean per character, as ``acc_norm`` of lm-evaluation-harness does; characters of the item that are
  scored with the answers, since one token spans the border, count for each of them;
- ``auto``: ``sum`` if all words for labels have the same number of tokens, otherwise the normalization of the task's
  kind: ``tokens`` for labels, ``characters`` for options, whose lengths differ more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from cachetools import LRUCache

from evolm.genomes import Phenotype, Prompt, Readout
from evolm.models import Dialogue, LogLikelihood, LogProbs
from evolm.models.requests import characters
from evolm.readouts import Fit, Reader, reader_class
from evolm.tasks import KINDS, Item, Task

if TYPE_CHECKING:
    from evolm.models import Model


READERS = 1024  # whose fits are kept
CONTENT_FREE = ("N/A", "[MASK]", "")  # Zhao 2021, section 5
PREMISE = ("",)  # Holtzman 2021: the option behind the template without an item

# (tokens ``(m,)`` of each answer, function returning the answers' characters) -> divisor of summed log-probabilities
NORMALIZATIONS: dict[str, Callable[[np.ndarray, Callable[[], list[int]]], np.ndarray | float]] = {
    "sum": lambda tokens, characters: 1.0,
    "tokens": lambda tokens, characters: tokens,
    "characters": lambda tokens, characters: np.array(characters()),
}


class LabelProbabilities:
    """The model's probabilities of an item's labels or options.

    Args:
        task: labels, options and template.
        model: counts the tokens of labels.
        normalization: a name above, or ``"auto"``.
        words: label -> all words that may represent it in this campaign.
        fit: of a saved readout, which is used in place of one on the train rows.
    """

    def __init__(
        self,
        task: Task,
        model: Model,
        normalization: str,
        words: Mapping[str, Sequence[str]],
        fit: Fit | None = None,
    ) -> None:
        self.task = task
        self.fit = fit
        self._readers: LRUCache[tuple[str, str, str], Reader] = LRUCache(READERS)
        all_words = {word for label in task.labels for word in words.get(label, (label,))}
        self.word_tokens = self._lengths(model, sorted(all_words))
        same_length = len(set(self.word_tokens.values())) == 1
        chosen = "sum" if same_length else KINDS[task.kind].normalization
        self.normalization = chosen if normalization == "auto" else normalization

    def _lengths(self, model: Model, words: Sequence[str]) -> dict[str, int]:
        """Return word -> tokens of its answer behind an item.

        Raises:
            ModelError: if a word has no tokens, or two words have the same ones.
        """
        if not words:
            return {}
        template = self.task.template
        item = template.item(dict.fromkeys(self.task.fields, "x"))
        texts = tuple(template.answer(word) for word in words)
        return dict(zip(words, model.answer_lengths(LogLikelihood("", item, texts, template.system)), strict=True))

    def describe(self) -> dict[str, Any]:
        """Return the normalization and the number of tokens of each word."""
        return {"normalization": self.normalization, "word_tokens": self.word_tokens}

    def reader(self, shown: Phenotype) -> Reader:
        """Return the readout of a genome; one that was fitted remembers its fit."""
        genes = shown.readout or Readout()
        key = (shown.prompt.digest, shown.delta.digest if shown.delta else "", genes.digest)
        if key not in self._readers:
            self._readers[key] = reader_class(genes.kind, self.task.labels)(genes, shown.prompt, self)
        return self._readers[key]

    def ask(self, shown: Phenotype, items: Sequence[Item]) -> Dialogue[np.ndarray]:
        """Ask what the readout of a genome needs to know about every item, and about train rows if it is fitted.

        Returns:
            ``(n, n_options)`` log-probabilities (nats), normalised over the options of each item.

        Raises:
            DataError: if the readout cannot be fitted.
        """
        return (yield from self.reader(shown).ask(items, self.fit))

    def requests(self, prompt: Prompt, items: Sequence[Item]) -> list[LogLikelihood]:
        """Return one request per item; its continuations are the answers, in the order of the item's options."""
        template = self.task.template
        prefix = prompt.prefix(template)
        return [
            LogLikelihood(prefix, template.item(item.fields, item.options), texts, template.system)
            for item, texts in zip(items, self.answers(prompt, items), strict=True)
        ]

    def answers(self, prompt: Prompt, items: Sequence[Item]) -> list[tuple[str, ...]]:
        """Return, for each item, the answer text of each of its options."""

        def texts(options: Sequence[str]) -> tuple[str, ...]:
            return tuple(self.task.template.answer(prompt.word(word), index) for index, word in enumerate(options))

        labels = self.task.labels
        return [texts(labels)] * len(items) if labels else [texts(item.options) for item in items]

    def read(self, prompt: Prompt, answers: Sequence[LogProbs], items: Sequence[Item]) -> np.ndarray:
        """Turn the answers to :meth:`requests` into normalised log-probabilities ``(n, n_options)``."""
        flat = [tokens for answer in answers for tokens in answer]
        lengths = np.array([len(tokens) for tokens in flat])
        sums = np.add.reduceat(np.concatenate(flat).astype(np.float64), np.cumsum(lengths) - lengths)
        divisor = NORMALIZATIONS[self.normalization](
            lengths,
            lambda: [
                characters(text, answer.joined)
                for texts, answer in zip(self.answers(prompt, items), answers, strict=True)
                for text in texts
            ],
        )
        options = np.array([len(answer) for answer in answers])
        raw = np.full((len(items), self.task.n_options), -np.inf)
        asked = np.arange(raw.shape[1]) < options[:, None]  # (n, n_options)
        raw[asked] = sums / divisor
        with np.errstate(invalid="ignore"):  # infinities become NaN, which fails the item
            return raw - np.logaddexp.reduce(raw, axis=1, keepdims=True)

    def prior_requests(self, prompt: Prompt, items: Sequence[Item]) -> list[LogLikelihood]:
        """Return the requests for the prior: the answers' probabilities without an informative item.

        For labels, behind content-free inputs (contextual calibration, Zhao 2021, https://arxiv.org/abs/2102.09690);
        for options, which differ from item to item, behind the empty item (domain conditional PMI, Holtzman 2021,
        https://arxiv.org/abs/2104.08315).
        """
        blanks = [
            Item.of(self.task.kind, dict.fromkeys(self.task.fields, text), None, options)
            for options in self._asked_options(items)
            for text in (CONTENT_FREE if self.task.labels else PREMISE)
        ]
        return self.requests(prompt, blanks)

    def _asked_options(self, items: Sequence[Item]) -> list[tuple[str, ...]]:
        return [()] if self.task.labels else [item.options for item in items]

    def prior(self, prompt: Prompt, answers: Sequence[LogProbs], items: Sequence[Item]) -> np.ndarray:
        """Turn the answers to :meth:`prior_requests` into log-probabilities: ``(1 or n, n_options)``.

        Several content-free inputs are averaged as probabilities.
        """
        asked = self._asked_options(items)
        each = len(answers) // len(asked)
        blanks = [Item.of(self.task.kind, {}, None, options) for options in asked for _ in range(each)]
        logprobs = self.read(prompt, answers, blanks).reshape(len(asked), each, -1)
        return np.logaddexp.reduce(logprobs, axis=1) - np.log(each)
