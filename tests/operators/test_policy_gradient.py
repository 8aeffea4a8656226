"""Policy gradients against theory on bandits, against autograd through plain transformers, and their charges."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from evolm.evaluation import Engine
from evolm.evaluation.dialogue import hold
from evolm.genomes import DELTA, PROMPT, DeltaSettings, DeltaSpace, Prompt, Space
from evolm.individual import Individual
from evolm.models import Decoding, Generate, GradientRequest, GradientResult, LanguageModel, TokenLikelihood
from evolm.models.deltas import Delta
from evolm.operators import LearningSettings, ModelAccess, PolicyGradient, Reward, VariationContext
from evolm.operators.policy_gradient import (
    EMPTY,
    EQUAL,
    UNSCORED,
    expected_lesson,
    leave_one_out,
    sampled_lesson,
)
from evolm.scorers import ExactMatch, FunctionParams, FunctionScorer, Scoring
from evolm.storage import AnswerStore
from evolm.tasks import Item, Task
from evolm.testing import scoring
from evolm.testing.small import small_prompts, small_task, tiny_model
from tests.support.plain_model import PlainModel

SHOWN = Prompt("Which animal is it?")
KL = 0.3


def test_leave_one_out_is_unbiased_and_exact_on_a_bandit() -> None:
    """Summed over all draws of k of three arms, the estimate is the gradient of the expected reward."""
    logits, rewards = np.array([0.3, -0.5, 1.1]), np.array([1.0, -2.0, 0.5])
    policy = np.exp(logits) / np.exp(logits).sum()
    exact = policy * (rewards - policy @ rewards)  # Sutton & Barto 2018, section 13.1
    for k in (2, 3, 4):
        mean = np.zeros(3)
        for draws in itertools.product(range(3), repeat=k):
            scores = np.eye(3)[list(draws)] - policy  # gradients of log-probabilities with respect to the logits
            mean += policy[list(draws)].prod() * (leave_one_out(rewards[list(draws)]) @ scores) / k
        assert mean == pytest.approx(exact)


# -- on a real model ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lab:
    """A task of a kind, the tiny model and a space of deltas, with an engine."""

    task: Task
    model: LanguageModel
    engine: Engine
    deltas: DeltaSpace

    def scoring(self, **decoding: Any) -> Scoring:
        return scoring(self.task, self.model, decoding=Decoding(**{"max_new_tokens": 3, **decoding}))

    def delta(self, seed: int = 0) -> Delta:
        genes = self.deltas.random(np.random.default_rng(seed)).genes
        return Delta(self.deltas.changes(genes), self.deltas.depth)

    def held(self, dialogue: Any) -> Any:
        [outcome] = hold([dialogue], self.engine)
        assert outcome.error is None
        return outcome.result

    def encoded(self, request: Any) -> list[int]:
        return list(self.model.tokenize([request])[0].context)


@pytest.fixture(scope="module")
def lab() -> Iterator[Callable[[str], Lab]]:
    model = tiny_model()
    deltas = DeltaSpace.of(model, DeltaSettings("all", ("q_proj", "v_proj", "down_proj"), 2, "lowrank", 7, 0.2))
    engine = Engine(model, AnswerStore(":memory:"))
    yield lambda kind: Lab(small_task(kind), model, engine, deltas)
    engine.close()


def function(scored: Scoring, reward: Callable[..., float]) -> tuple[FunctionScorer, float]:
    return FunctionScorer(reward, scored, FunctionParams()), 1.0


def agree(ours: GradientResult, theirs: GradientResult, most: float = 1e-3) -> None:
    for name, arrays in theirs.gradients.items():
        for a, b in zip(ours.gradients[name], arrays, strict=True):
            assert np.abs(a - b).max() <= most * np.abs(b).max()
            assert np.abs(b).max() > 0


@pytest.mark.parametrize("kl", [0.0, KL])
@pytest.mark.parametrize("kind", ["classification", "choice"])
def test_labels_and_options_have_the_exact_gradient_of_the_expected_reward(
    kind: str, kl: float, lab: Callable[[str], Lab]
) -> None:
    here = lab(kind)
    scored, items, delta = here.scoring(), here.task.train[:3], here.delta()
    reward = Reward((function(scored, lambda item, answer, _: len(answer) + (answer == item.gold)),), kl=kl)
    request = here.held(expected_lesson(scored, reward, SHOWN, delta, items))
    [ours] = here.engine.learn([request])

    assert scored.labels is not None
    changed, unchanged = PlainModel(here.model, delta), PlainModel(here.model, None)
    value = torch.zeros(())
    for item, asked in zip(items, scored.labels.requests(SHOWN, items), strict=True):
        tokens = here.model.tokenize([asked])[0]
        lengths = torch.tensor(
            [
                {"sum": 1, "tokens": len(own), "characters": len(text.strip())}[scored.labels.normalization]
                for own, text in zip(tokens.continuations, asked.continuations, strict=True)
            ]
        )
        policies = []
        for plain in (changed, unchanged):
            sums = torch.stack([plain.logprob(tokens.context, answer) for answer in tokens.continuations])
            policies.append((sums / lengths).log_softmax(0))
        p, q = policies[0], policies[1].detach()
        options = here.task.options_of(item)
        rewards = torch.tensor([len(answer) + float(answer == item.gold) for answer in options])
        value = value + (p.exp() * (rewards - kl * (p - q))).sum() / len(items)  # the penalty with its own gradient
    agree(ours, changed.result(value))


def letter(item: Item, text: str, _: Any) -> float:
    """A reward that tells nearly all texts of one token apart."""
    return ord(text[0]) / 64 if text else -1.0


@pytest.mark.parametrize("kl", [0.0, KL])
def test_samples_have_the_gradient_of_their_advantages(kl: float, lab: Callable[[str], Lab]) -> None:
    here, k = lab("generation"), 4
    scored, items, delta = here.scoring(), here.task.train[:2], here.delta()
    reward = Reward((function(scored, letter),), samples=k, kl=kl)
    [ours] = here.engine.learn([here.held(sampled_lesson(scored, reward, SHOWN, delta, items, seed=7))])

    changed, unchanged = PlainModel(here.model, delta), PlainModel(here.model, None)
    value, template = torch.zeros(()), here.task.template
    for item in items:
        asked = [
            Generate(
                SHOWN.prefix(template),
                template.item(item.fields),
                replace(scored.decoding, temperature=1.0, sample=7 + number),
                template.system,
                delta=delta,
            )
            for number in range(k)
        ]
        context = here.encoded(asked[0])
        answers = here.engine.answer(asked)
        logprobs = [changed.logprob(context, answer.tokens) for answer in answers]
        penalty = [
            logprob.item() - unchanged.logprob(context, answer.tokens).item()
            for logprob, answer in zip(logprobs, answers, strict=True)
        ]
        rewards = [letter(item, answer.text, {}) - kl * p for answer, p in zip(answers, penalty, strict=True)]
        for j in range(k):
            others = [rewards[i] for i in range(k) if i != j]
            value = value + (rewards[j] - sum(others) / (k - 1)) * logprobs[j] / (k * len(items))
    agree(ours, changed.result(value))


def test_the_estimate_from_samples_meets_the_known_gradient_of_a_bandit(lab: Callable[[str], Lab]) -> None:
    """One token is one pull of an arm of the vocabulary, whose expected reward has a gradient in closed form."""
    here = lab("generation")
    scored, items, delta = here.scoring(max_new_tokens=1), here.task.train[:1], here.delta()
    plain, template = PlainModel(here.model, delta), here.task.template
    context = here.encoded(Generate(SHOWN.prefix(template), template.item(items[0].fields), system=template.system))
    policy = plain.next_logprobs(context)[-1].exp()
    arms = [here.model.decode([token], scored.decoding).text for token in range(len(policy))]
    rewards = torch.tensor([letter(items[0], text, {}) for text in arms])
    exact = plain.result((policy * rewards).sum())
    length = np.sqrt(sum(float((a**2).sum()) for arrays in exact.gradients.values() for a in arrays))

    reward = Reward((function(scored, letter),), samples=16)
    seeds = range(0, 32 * 16, 16)
    lessons = [here.held(sampled_lesson(scored, reward, SHOWN, delta, items, seed)) for seed in seeds]
    estimates = []
    for found in here.engine.learn([each for each in lessons if isinstance(each, GradientRequest)]):
        along = sum(
            float((a * b).sum())
            for name, arrays in exact.gradients.items()
            for a, b in zip(found.gradients[name], arrays, strict=True)
        )
        estimates.append(along / length)
    estimates += [0.0] * (len(lessons) - len(estimates))
    mean, error = np.mean(estimates), np.std(estimates, ddof=1) / np.sqrt(len(estimates))
    assert abs(mean - length) < 4 * error
    assert length > 4 * error  # an estimate of nothing, or of the opposite, would be found out


def test_equal_samples_are_passed_once(lab: Callable[[str], Lab]) -> None:
    here = lab("generation")
    scored = here.scoring(max_new_tokens=1)
    reward = Reward((function(scored, letter),), samples=40)
    request = here.held(sampled_lesson(scored, reward, SHOWN, here.delta(), here.task.train[:2], seed=3))
    for example, weights in zip(request.examples, request.weights, strict=True):
        assert isinstance(example, TokenLikelihood)
        assert 1 < len(set(example.continuations)) == len(example.continuations) == len(weights) < 40
        assert sum(weights) == pytest.approx(0, abs=1e-9)  # advantages sum to zero


def test_what_teaches_nothing_says_why(lab: Callable[[str], Lab]) -> None:
    here = lab("generation")
    scored, delta, items = here.scoring(), here.delta(), here.task.train[:2]

    def outcome(scored: Scoring, reward: Callable[..., float]) -> Any:
        aim = Reward((function(scored, reward),))
        return here.held(sampled_lesson(scored, aim, SHOWN, delta, items, seed=1))

    assert outcome(scored, lambda *_: 1.0) == EQUAL
    assert outcome(scored, lambda *_: 1 / 0) == UNSCORED
    everything = ("\N{REPLACEMENT CHARACTER}", *(chr(code) for code in range(256)))
    assert outcome(here.scoring(stop_strings=everything), letter) == EMPTY
    closed = lab("classification")
    same = Reward((function(closed.scoring(), lambda *_: 0.5),))
    assert closed.held(expected_lesson(closed.scoring(), same, SHOWN, delta, closed.task.train[:2])) == EQUAL


def test_an_item_whose_answers_are_all_worth_the_same_is_not_passed(lab: Callable[[str], Lab]) -> None:
    here = lab("classification")
    items = here.task.train[:3]
    reward = Reward((function(here.scoring(), lambda item, answer, _: float(item is items[1] and answer == "cat")),))
    request = here.held(expected_lesson(here.scoring(), reward, SHOWN, here.delta(), items))
    assert [example.item for example in request.examples] == [here.task.template.item(items[1].fields)]


# -- as an operator -------------------------------------------------------------------------------------------


def taught(
    here: Lab, access: ModelAccess, steps: int, rate: float = 0.05, seed: int = 0, parents: int = 1
) -> list[Any]:
    space = Space({PROMPT: small_prompts(), DELTA: here.deltas}, {PROMPT: SHOWN})
    neutral = space.completed({DELTA: here.deltas.neutral()})
    families = [(Individual(number, neutral),) for number in range(parents)]
    settings = LearningSettings(rate, steps=steps, batch=4, adapt=False)
    context = VariationContext(np.random.default_rng(seed), space, access, learning=settings)
    return PolicyGradient().vary(families, context)


def mean_probability(here: Lab, scored: Scoring, label: int, child: Any) -> float:
    assert scored.labels is not None
    genes = child.delta.genes
    delta = Delta(here.deltas.changes(genes), here.deltas.depth)
    asked = [replace(request, delta=delta) for request in scored.labels.requests(SHOWN, here.task.dev[:6])]
    logprobs = scored.labels.read(SHOWN, here.engine.answer(asked), here.task.dev[:6])
    return float(np.exp(logprobs[:, label]).mean())


@pytest.mark.parametrize("label", [0, 1])
def test_the_best_arm_is_learnt_without_gold(label: int, lab: Callable[[str], Lab]) -> None:
    here = lab("classification")
    scored = here.scoring()
    arm = here.task.labels[label]
    reward = Reward((function(scored, lambda item, answer, _: float(answer == arm)),))
    blind = [replace(item, gold=None) for item in here.task.train]
    access = ModelAccess(here.engine, scored, (), rows=blind, reward=reward)
    [before], [after] = taught(here, access, 1, rate=1e-9), taught(here, access, 12)
    assert mean_probability(here, scored, label, after) > max(mean_probability(here, scored, label, before), 0.95)


def test_every_token_of_sampling_judging_and_learning_is_charged(lab: Callable[[str], Lab]) -> None:
    here = lab("generation")
    scored = here.scoring()
    match = ExactMatch(scored, ExactMatch.Params())
    access = ModelAccess(
        here.engine, scored, here.task.train, reward=Reward(((match, 1.0), function(scored, letter)), 2)
    )
    before = here.engine.usage.tokens_charged
    [child] = taught(here, access, 2)
    spent = access.spent().tokens
    assert child is not None
    assert spent == here.engine.usage.tokens_charged - before
    contexts = [
        len(here.encoded(Generate(SHOWN.prefix(here.task.template), here.task.template.item(item.fields))))
        for item in here.task.train
    ]
    sampled = 2 * 4 * 2 * (min(contexts) + 1)  # steps, items, samples
    assert spent > sampled
    taught(here, access, 2)  # samples come from the cache, at the same price
    assert access.spent().tokens == spent


def test_samples_depend_on_the_search_s_seed_alone(lab: Callable[[str], Lab]) -> None:
    here = lab("generation")
    scored = here.scoring()
    access = ModelAccess(here.engine, scored, here.task.train, reward=Reward((function(scored, letter),)))
    first, again, other = (taught(here, access, 2, seed=seed, parents=2) for seed in (1, 1, 2))
    assert first == again
    assert [child.delta.digest for child in first] != [child.delta.digest for child in other]
    fresh = Engine(here.model, AnswerStore(":memory:"))
    access = ModelAccess(fresh, scored, here.task.train, reward=Reward((function(scored, letter),)))
    assert taught(here, access, 2, seed=1, parents=2) == first
    fresh.close()


def test_nothing_to_learn_leaves_no_child(lab: Callable[[str], Lab]) -> None:
    here = lab("generation")
    scored = here.scoring()
    constant = Reward((function(scored, lambda *_: 3.0),))
    access = ModelAccess(here.engine, scored, here.task.train, reward=constant)
    assert taught(here, access, 2) == [None]
    assert access.nothing_learnt == EQUAL
    assert taught(here, ModelAccess(here.engine, scored, here.task.train), 1) == [None]  # no reward
    assert taught(here, ModelAccess(here.engine, scored, (), reward=constant), 1) == [None]  # no items


def rewards_of(
    here: Lab, reward: Reward, items: Sequence[Item], answers: Sequence[Sequence[str]]
) -> list[list[float]]:
    return [own.tolist() for own in here.held(reward.of(items, answers))]


def test_rewards_are_weighted_sums(lab: Callable[[str], Lab]) -> None:
    here = lab("generation")
    scored, item = here.scoring(), here.task.train[0]
    match = ExactMatch(scored, ExactMatch.Params())
    reward = Reward(((match, 2.0), function(scored, lambda item, text, _: len(text))))
    assert rewards_of(here, reward, [item, item], [["x", str(item.gold)], ["yes"]]) == [
        [1.0, 2.0 + len(str(item.gold))],
        [3.0],
    ]
