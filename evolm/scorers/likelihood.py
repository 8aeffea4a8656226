"""Label likelihood: the model's own log-probability of each label's word after the item.

Log-probabilities of all tokens of a label count, so labels that share a first token are told apart. A longer
label collects more negative terms; ``normalization`` says what is done about it, once per campaign:

- ``sum``: nothing (right where all labels have the same number of tokens);
- ``tokens``: mean per token (as ``acc_norm`` of lm-evaluation-harness does per character);
- ``auto``: ``sum`` where all words that may stand for labels have the same number of tokens, else ``tokens``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from evolm.config import Section
from evolm.models import Answer, LanguageModel, LogLikelihood
from evolm.scorers.base import Evaluation
from evolm.tasks import CLASSIFICATION_METRICS, Item, Task

FLOOR = -12.0  # nats; keeps one hopeless item from deciding a mean


class LikelihoodParams(Section):
    weight: float = 1.0
    normalization: Literal["auto", "sum", "tokens"] = "auto"


class LabelLikelihood:
    """Scores a prompt by the labels it makes likely.

    Args:
        task: labels, template and metric.
        model: counts the tokens of labels.
        params: weight and normalization.
        words: label -> all words that may stand for it in this campaign.
    """

    Params = LikelihoodParams
    needs_gold = True

    def __init__(
        self, task: Task, model: LanguageModel, params: LikelihoodParams, words: Mapping[str, Sequence[str]]
    ) -> None:
        self.task = task
        every = {word for label in task.labels for word in words.get(label, (label,))}
        self.word_tokens = {word: self._length(task, model, word) for word in sorted(every)}
        same = len(set(self.word_tokens.values())) == 1
        self.normalization = ("sum" if same else "tokens") if params.normalization == "auto" else params.normalization

    @staticmethod
    def _length(task: Task, model: LanguageModel, word: str) -> int:
        """Tokens of a label's answer behind some item; a word without any is refused by the model."""
        fields = dict.fromkeys(task.fields, "x")
        request = LogLikelihood("", task.template.item(fields), (task.template.answer(word),), task.template.system)
        return len(model.tokenize([request])[0].continuations[0])

    def describe(self) -> dict[str, Any]:
        """Return the normalization and the number of tokens of each word."""
        return {"normalization": self.normalization, "word_tokens": self.word_tokens}

    def requests(self, genome: Any, items: Sequence[Item]) -> list[LogLikelihood]:
        """Return one request per item; its continuations are the answers in the order of the task's labels."""
        template = self.task.template
        prefix, answers = genome.prefix(template), genome.answers(template, self.task.labels)
        return [LogLikelihood(prefix, template.item(item.fields), answers, template.system) for item in items]

    def label_logprobs(self, answers: Sequence[Answer]) -> np.ndarray:
        """Return ``(n, n_labels)`` log-probabilities (nats), normalised over the labels of each item."""
        reduce = np.mean if self.normalization == "tokens" else np.sum
        raw = np.array([[reduce(tokens, dtype=np.float64) for tokens in answer] for answer in answers])
        raw = raw.reshape(len(answers), len(self.task.labels))
        return raw - np.logaddexp.reduce(raw, axis=1, keepdims=True)

    def score(self, genome: Any, answers: Sequence[Answer], items: Sequence[Item]) -> Evaluation:
        """Predict the likeliest label; the objective is the task's metric.

        Per-item scores are the probability of the gold label; the tie-break is their mean logarithm, each
        class counting alike.
        """
        return self.evaluate(self.label_logprobs(answers), items)

    def evaluate(self, logprobs: np.ndarray, items: Sequence[Item]) -> Evaluation:
        """Evaluate ``(n, n_labels)`` log-probabilities against the items' gold labels."""
        finite = np.isfinite(logprobs).all(axis=1)
        failures = {int(i): "the model's log-probabilities are not finite" for i in np.flatnonzero(~finite)}
        predictions = np.where(finite, logprobs.argmax(axis=1), -1)
        if not self.task.has_gold:
            nothing = float("nan")
            return Evaluation(
                np.exp(logprobs.max(axis=1)), predictions, logprobs, nothing, nothing, failures=failures
            )
        gold = self.task.gold_indices(items)
        of_gold = logprobs[np.arange(len(items)), gold]
        # Means of recalls that are equal on paper differ in their last bits; rounded, they tie as they should.
        metric = round(CLASSIFICATION_METRICS[self.task.metric](predictions, gold, len(self.task.labels)), 12)
        means = [np.maximum(of_gold[gold == label], FLOOR).mean() for label in np.unique(gold)]
        return Evaluation(
            scores=np.exp(of_gold),
            predictions=predictions,
            label_logprobs=logprobs,
            objective=float("nan") if failures else metric,
            score=metric,
            tie_break=float(np.mean(means)),
            measures={"gold_probability": float(np.exp(of_gold).mean())},
            failures=failures,
        )
