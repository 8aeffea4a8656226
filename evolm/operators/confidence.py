"""A model's own answers to items without gold, and how sure it is of them.

- *margin* and *probability* of the likeliest label, by default after batch calibration (Zhou 2023,
  https://arxiv.org/abs/2309.17249): the mean of the label probabilities over the items, which a model prefers without
  reading them, is divided out. Of a generated text, both are the mean probability of its tokens (geometric).
- *p_true*: that the model calls its answer true (Kadavath 2022, https://arxiv.org/abs/2207.05221).
- *self_consistency*: that two drawn answers agree (Wang 2022, https://arxiv.org/abs/2203.11171).
- *committee*: several individuals answer; the probability of the likeliest label of their mean, or the share of them
  that write the same text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evolm.config import SelfTrainingSection
from evolm.genomes import Phenotype, Prompt, mixture
from evolm.models import Dialogue, LogLikelihood
from evolm.readouts import calibrated, mean_prior
from evolm.scorers import SCORERS, Scoring, generate_texts
from evolm.scorers.p_true import PTrueParams, p_true
from evolm.scorers.perplexity import per_token
from evolm.tasks import Item, Task
from evolm.tasks.items import normalised

COMMITTEE = "committee"


@dataclass(frozen=True)
class OwnAnswers:
    """Answers to ``n`` items.

    Attributes:
        answers: ``n`` labels, options or texts; ``""`` = none.
        confidence: ``(n,)`` in [0, 1], 0 without an answer.
        logprobs: ``(n, n_options)`` log-probabilities (nats), calibrated if that is asked for; None of texts.
    """

    answers: tuple[str, ...]
    confidence: np.ndarray
    logprobs: np.ndarray | None = None


def own_answers(
    settings: SelfTrainingSection, scoring: Scoring, shown: Phenotype, items: Sequence[Item]
) -> Dialogue[OwnAnswers]:
    """Let a genome answer items, and measure how sure it is; for a committee, each of its members is asked.

    Raises:
        DataError: if its readout cannot be fitted.
    """
    if scoring.labels is None:
        return (yield from _own_texts(settings, scoring, shown, items))
    task = scoring.task
    logprobs = yield from scoring.labels.ask(shown, items)
    if settings.calibrate and task.labels:
        logprobs = calibrated(logprobs, mean_prior(logprobs)[None])
    read = _read(task, logprobs, items, settings.confidence)
    if settings.confidence != "p_true":
        return read
    claimed = [answer or task.options_of(item)[0] for answer, item in zip(read.answers, items, strict=True)]
    true = yield from p_true(task, PTrueParams(), items, claimed)
    return OwnAnswers(read.answers, np.where(read.confidence > 0, true, 0.0), logprobs)


def joint_answers(task: Task, members: Sequence[OwnAnswers], items: Sequence[Item]) -> OwnAnswers:
    """Return the answers of a committee, from those of its members, at least one."""
    if members[0].logprobs is not None:
        several = [member.logprobs for member in members if member.logprobs is not None]
        return _read(task, mixture(several, [1] * len(several)), items, "probability")
    answers, shares = [], []
    for texts in zip(*(member.answers for member in members), strict=True):
        votes = Counter(map(normalised, texts))
        chosen = max(texts, key=lambda text: (votes[normalised(text)], -texts.index(text)))
        answers.append(chosen)
        shares.append(votes[normalised(chosen)] / len(texts) if chosen else 0.0)
    return OwnAnswers(tuple(answers), np.array(shares))


def confident(found: OwnAnswers, settings: SelfTrainingSection, keep: float, closed: bool) -> list[int]:
    """Return the places of the answers to learn from, in order.

    Args:
        found: answers and confidence.
        settings: whether a share or a threshold decides.
        keep: the share or the threshold.
        closed: whether all items share their labels: then the share is one of each label's answers, so that easy
            labels do not displace the others (class-balanced self-training, Zou 2018,
            https://arxiv.org/abs/1810.07911).
    """
    answered = [place for place, answer in enumerate(found.answers) if answer]
    if settings.select == "threshold":
        return [place for place in answered if found.confidence[place] >= keep]
    groups: dict[str, list[int]] = {}
    for place in answered:
        groups.setdefault(found.answers[place] if closed else "", []).append(place)
    kept = []
    for group in groups.values():
        ranked = sorted(group, key=lambda place: (-found.confidence[place], place))
        kept += ranked[: int(np.ceil(keep * len(group)))]
    return sorted(kept)


def _read(task: Task, logprobs: np.ndarray, items: Sequence[Item], measure: str) -> OwnAnswers:
    """Return the likeliest options and how sure ``(n, n_options)`` log-probabilities are of them."""
    finite = np.isfinite(logprobs.max(axis=1))
    probabilities = np.where(finite[:, None], np.exp(logprobs), 0.0)
    first, second = np.sort(probabilities, axis=1)[:, ::-1][:, :2].T
    confidence = {
        "margin": first - second,
        "self_consistency": (probabilities**2).sum(axis=1),  # two draws from p agree with probability sum p^2
    }.get(measure, first)
    best = probabilities.argmax(axis=1)
    answers = tuple(
        task.options_of(item)[index] if known else "" for item, index, known in zip(items, best, finite, strict=True)
    )
    return OwnAnswers(answers, np.where(finite, confidence, 0.0), logprobs)


def _own_texts(
    settings: SelfTrainingSection, scoring: Scoring, shown: Phenotype, items: Sequence[Item]
) -> Dialogue[OwnAnswers]:
    if settings.confidence == "self_consistency":
        scorer = SCORERS["self_consistency"](scoring, SCORERS["self_consistency"].Params())
        evaluation = yield from scorer.dialogue(shown, items)
        return _of_texts(evaluation.texts, evaluation.scores)
    texts = yield from generate_texts(scoring, shown.prompt, items)
    if settings.confidence == "p_true":
        params = PTrueParams()
        return _of_texts(texts, (yield from p_true(scoring.task, params, items, [text or "-" for text in texts])))
    if settings.confidence == COMMITTEE:
        return _of_texts(texts, np.ones(len(texts)))
    return _of_texts(texts, (yield from _token_probability(scoring, shown.prompt, items, texts)))


def _of_texts(texts: Sequence[str], confidence: np.ndarray) -> OwnAnswers:
    written = np.array([bool(text.strip()) for text in texts])
    return OwnAnswers(tuple(texts), np.where(written & np.isfinite(confidence), confidence, 0.0))


def _token_probability(
    scoring: Scoring, prompt: Prompt, items: Sequence[Item], texts: Sequence[str]
) -> Dialogue[np.ndarray]:
    """Return the ``(n,)`` geometric means of the probabilities of each text's tokens; 0 for an empty text."""
    template = scoring.task.template
    prefix = prompt.prefix(template)
    written = [place for place, text in enumerate(texts) if text.strip()]
    answers = yield [
        LogLikelihood(prefix, template.item(items[i].fields), (template.answer(texts[i]),), template.system)
        for i in written
    ]
    means = np.zeros(len(texts))
    means[written] = np.exp(per_token(answers))
    return means


__all__ = ["COMMITTEE", "OwnAnswers", "confident", "joint_answers", "own_answers"]
