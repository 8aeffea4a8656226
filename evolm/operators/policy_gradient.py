"""Policy gradient: steps up the expected reward of the model's own answers.

REINFORCE (Williams 1992, https://doi.org/10.1007/BF00992696). The policy is the model under the delta; an answer is
one action, whose log-probability is the sum over its tokens.

- In a generation task k answers to each item are sampled, and an answer's advantage is its reward less the mean
  reward of the k - 1 others: an unbiased baseline without a model of its own (RLOO: Kool 2019,
  https://openreview.net/forum?id=r1lgTGL5DE; Ahmadian 2024, https://arxiv.org/abs/2402.14740). The policy is sampled
  as it is, at temperature 1 and without filters; otherwise the gradient would be that of another policy.
- In a task with labels or options the expectation is a sum over them, and its gradient is exact: nothing is sampled.

With ``kl``, the log-likelihood ratio of the answer under the changed and the unchanged model is subtracted from its
reward (Ahmadian 2024, section 2). Items whose answers all have the same reward teach nothing and are not passed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from evolm.genomes import DELTA, Genome, Prompt
from evolm.models import Dialogue, Generate, Generated, GradientRequest, LogLikelihood, TokenLikelihood
from evolm.models.deltas import Delta
from evolm.operators.base import DocumentedOperator, Family, Role, VariationContext
from evolm.operators.goals import Reward
from evolm.operators.learning import Pupil, draw, take_lessons
from evolm.operators.model_access import ModelAccess
from evolm.scorers import Scoring
from evolm.tasks import Item

POLICY_GRADIENT = "policy_gradient"
EMPTY, EQUAL = "every sampled text is empty", "the answers to every item have the same reward"
UNSCORED, TOO_LONG = "no answer could be rewarded", "no item fits the model's context"
SEEDS = 2**31

# A request for a gradient, or why there is nothing to learn from.
Lesson: TypeAlias = GradientRequest | str


def leave_one_out(rewards: np.ndarray) -> np.ndarray:
    """Return ``(k,)`` advantages of k samples: each reward less the mean of the others (Ahmadian 2024, section 3)."""
    return (rewards - rewards.mean()) * (len(rewards) / (len(rewards) - 1))


def sampled_lesson(
    scoring: Scoring, reward: Reward, prompt: Prompt, delta: Delta, items: Sequence[Item], seed: int
) -> Dialogue[Lesson]:
    """Sample answers to items, reward them, and return the request for RLOO's estimate of the gradient.

    Args:
        scoring: the task, and how texts end.
        reward: of an answer.
        prompt: the text before each item.
        delta: the policy is the model under it.
        items: of a generation task, at least one.
        seed: number of each item's first sample; the others follow.
    """
    template = scoring.task.template
    prefix = prompt.prefix(template)
    shown = [template.item(item.fields) for item in items]
    decoding = replace(scoring.decoding, temperature=1.0, top_p=1.0, top_k=0)
    drawn: list[Generated] = yield [
        Generate(prefix, text, replace(decoding, sample=seed + number), template.system, delta=delta)
        for text in shown
        for number in range(reward.samples)
    ]
    if not any(answer.text for answer in drawn):
        return EMPTY
    samples = [drawn[at : at + reward.samples] for at in range(0, len(drawn), reward.samples)]
    rewards = yield from reward.of(items, [[answer.text for answer in own] for own in samples])
    policies = [  # equal samples of an item are passed once
        TokenLikelihood(
            prefix,
            text,
            tuple(dict.fromkeys(answer.tokens for answer in own)),
            template.system,
            delta=delta,
        )
        for text, own in zip(shown, samples, strict=True)
    ]
    places = [
        [policy.continuations.index(answer.tokens) for answer in own]
        for policy, own in zip(policies, samples, strict=True)
    ]
    if reward.kl:
        ratios = yield from _token_ratios(policies)
        rewards = [r - reward.kl * ratio[place] for r, ratio, place in zip(rewards, ratios, places, strict=True)]
    weights = [  # those of equal samples are summed
        np.bincount(place, leave_one_out(r) / (len(r) * len(items)), len(policy.continuations))
        for policy, place, r in zip(policies, places, rewards, strict=True)
    ]
    return _request(policies, weights, rewards, "sum", contrast=False, loss="cross_entropy")


def expected_lesson(
    scoring: Scoring, reward: Reward, prompt: Prompt, delta: Delta, items: Sequence[Item]
) -> Dialogue[Lesson]:
    """Reward every label or option of items, and return the request for the exact gradient of the expected reward.

    Args:
        scoring: how labels or options are asked for and normalised.
        reward: of an answer.
        prompt: the text before each item.
        delta: the policy is the model under it.
        items: with labels or options, at least one.
    """
    labels = scoring.labels
    assert labels is not None
    rewards = yield from reward.of(items, [scoring.task.options_of(item) for item in items])
    bare = labels.requests(prompt, items)
    policies = [replace(request, delta=delta) for request in bare]
    if reward.kl:
        changed = labels.read(prompt, (yield policies), items)
        unchanged = labels.read(prompt, (yield bare), items)
        # The ratio is a constant of the gradient: that of sum p log p has a second term, sum grad p, which is 0.
        rewards = [
            r - reward.kl * (p[: len(r)] - q[: len(r)]) for r, p, q in zip(rewards, changed, unchanged, strict=True)
        ]
    # Any baseline leaves the gradient as it is; this one keeps float32 from subtracting large numbers.
    weights = [(r - r.mean()) / len(items) for r in rewards]
    return _request(policies, weights, rewards, labels.normalization, contrast=True, loss="expectation")


def _token_ratios(policies: Sequence[TokenLikelihood]) -> Dialogue[list[np.ndarray]]:
    """Return per request the log-likelihood ratios (nats) of its continuations, changed over unchanged model."""
    answers = yield [*policies, *(replace(policy, delta=None) for policy in policies)]
    sums = [np.array([tokens.sum(dtype=np.float64) for tokens in answer]) for answer in answers]
    both = zip(sums[: len(policies)], sums[len(policies) :], strict=True)
    return [changed - unchanged for changed, unchanged in both]


def _request(
    policies: Sequence[LogLikelihood | TokenLikelihood],
    weights: Sequence[np.ndarray],
    rewards: Sequence[np.ndarray],
    normalization: str,
    contrast: bool,
    loss: str,
) -> Lesson:
    """Return the request over the items whose answers differ in reward."""
    finite = [bool(np.isfinite(r).all()) for r in rewards]
    if not any(finite):
        return UNSCORED
    kept = [i for i, r in enumerate(rewards) if finite[i] and np.ptp(r) > 0]
    if not kept:
        return EQUAL
    return GradientRequest(
        tuple(policies[i] for i in kept),
        tuple(tuple(weights[i].tolist()) for i in kept),
        normalization,
        contrast,
        loss,
    )


@dataclass(frozen=True)
class PolicyGradient(DocumentedOperator):
    """Take a few Adam steps up the expected reward of the model's own answers to train items (REINFORCE)."""

    name: str = POLICY_GRADIENT
    role: Role = "learning"
    chromosome: str = DELTA
    weight: float = 0.0
    asks_model: bool = True
    needs_gold: bool = False

    def vary(self, families: Sequence[Family], context: VariationContext) -> list[Genome | None]:
        """Let each family's first parent learn, all side by side; None without items, reward or anything learnt."""
        access = context.model_access
        if access is None or access.reward is None or not access.rows or context.space.get(DELTA) is None:
            return [None] * len(families)
        pupils = [Pupil.of(family[0].genome, context) for family in families]

        def lessons_of(active: Sequence[tuple[Pupil, Delta]]) -> list[GradientRequest | None]:
            found = access.hold_dialogues([_lesson(pupil.prompt, delta, access, context) for pupil, delta in active])
            lessons = [TOO_LONG if each is None else each for each in found]
            access.nothing_learnt = next((each for each in lessons if isinstance(each, str)), "")
            return [None if isinstance(each, str) else each for each in lessons]

        take_lessons(pupils, context, lessons_of)
        return [pupil.finished for pupil in pupils]


def _lesson(prompt: Prompt, delta: Delta, access: ModelAccess, context: VariationContext) -> Dialogue[Lesson]:
    """Return the dialogue about a new minibatch."""
    assert access.reward is not None
    items = draw(context.rng, access.rows, context.learning.batch)
    if access.scoring.labels is not None:
        return expected_lesson(access.scoring, access.reward, prompt, delta, items)
    seed = int(context.rng.integers(SEEDS))
    return sampled_lesson(access.scoring, access.reward, prompt, delta, items, seed)
