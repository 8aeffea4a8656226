"""Writing an answer as an environment: gymnasium's own checks, rewards, and a policy that learns in it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("gymnasium")
import gymnasium
from gymnasium.utils.env_checker import check_env

from evolm.errors import ConfigError, ScorerError
from evolm.integrations.gymnasium import TextEnv
from evolm.models import LogLikelihood

pytestmark = pytest.mark.extras

LABELS = [" spam", " ham"]
Make = Callable[..., TextEnv]


@pytest.fixture
def make(arguments: Callable[..., dict[str, Any]]) -> Iterator[Make]:
    """Return ``make(**changes)``: an environment over the toy rows that is closed after the test."""
    given = arguments()
    made: list[TextEnv] = []

    def one(**changes: Any) -> TextEnv:
        settings = {"instruction": "Is it spam, or ham?", "actions": LABELS, "max_actions": 2, **changes}
        made.append(TextEnv(given["task"], given["model"], **settings))
        return made[-1]

    yield one
    for env in made:
        env.close()


@pytest.mark.parametrize("observation", ["text", "state"])
@pytest.mark.parametrize("actions", [LABELS, []], ids=["labels", "tokens"])
@pytest.mark.parametrize("reward", ["likelihood", "exact_match"])
def test_it_passes_gymnasium_s_checks(observation: str, actions: list[str], reward: str, make: Make) -> None:
    env = make(observation=observation, actions=actions, reward=reward, render_mode="ansi")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(spec|Box).*")
        check_env(env, skip_render_check=False)


def test_the_state_is_the_text_so_far_and_the_last_action_ends_it(make: Make) -> None:
    env = make(max_actions=3, reward="exact_match", render_mode="ansi")
    first, info = env.reset(options={"item": 2})
    assert first.startswith("Is it spam, or ham?") and info["item"] == 2
    place = LABELS.index(f" {info['gold']}")
    second, reward, terminated, truncated, _ = env.step(place)
    assert second == first + LABELS[place] == env.render()
    assert (reward, terminated, truncated) == (0.0, False, False)
    third, reward, terminated, truncated, told = env.step(env.ends)
    assert (third, reward, terminated, truncated) == (second, 1.0, True, False)
    assert told == {"answer": info["gold"]}
    env.reset(options={"item": 2})
    for _ in range(2):
        *_, terminated, truncated, _ = env.step(1 - place)
        assert not terminated and not truncated
    _, reward, terminated, truncated, _ = env.step(1 - place)
    assert (reward, terminated, truncated) == (0.0, False, True)


def test_a_stop_string_ends_the_answer_and_is_no_part_of_it(make: Make) -> None:
    env = make(actions=[" spam\nText", " ham"], options={"generation": {"stop_strings": ["\n"]}})
    env.reset(seed=0)
    _, _, terminated, _, told = env.step(0)
    assert terminated and told == {"answer": "spam"}


def test_the_model_s_own_probability_is_that_of_a_token_in_the_mean(make: Make) -> None:
    env = make(max_actions=1)
    env.reset(options={"item": 0})
    _, reward, *_ = env.step(1)
    parts = env._parts
    prefix, item = env._places(parts.task.train[0])
    [[tokens]] = parts.engine.answer([LogLikelihood(prefix, item, (" ham",))])
    assert reward == pytest.approx(math.exp(tokens.mean()), rel=1e-6)
    env.reset(options={"item": 0})
    assert env.step(env.ends)[1] == 0.0  # an empty answer


def test_the_same_seed_draws_the_same_items(make: Make) -> None:
    one, two = make(), make()
    first = [one.reset(seed=3 if not k else None)[1]["item"] for k in range(6)]
    assert first == [two.reset(seed=3 if not k else None)[1]["item"] for k in range(6)]
    assert len(set(first)) > 1


def test_any_function_rewards(make: Make) -> None:
    env = make(reward=lambda item, answer, _: len(answer), max_actions=1)
    env.reset(seed=1)
    assert env.step(0)[1] == len("spam")


def softmax_policy_learns(env: Any, episodes: int, rate: float) -> list[float]:
    """REINFORCE (Williams 1992) with a running baseline for a policy without state; return the rewards."""
    rng, logits, baseline, rewards = np.random.default_rng(0), np.zeros(env.action_space.n), 0.0, []
    for _ in range(episodes):
        env.reset(seed=int(rng.integers(2**31)))
        policy = np.exp(logits - logits.max())
        policy /= policy.sum()
        action = int(rng.choice(len(policy), p=policy))
        _, reward, *_ = env.step(action)
        logits += rate * (reward - baseline) * (np.eye(len(policy))[action] - policy)
        baseline += 0.1 * (reward - baseline)
        rewards.append(float(reward))
    return rewards


def test_a_policy_finds_the_best_arm(make: Make) -> None:
    env = make(max_actions=1, reward=lambda item, answer, _: float(answer == "ham"))
    rewards = softmax_policy_learns(env, 150, 0.5)
    assert np.mean(rewards[-40:]) > 0.9 > np.mean(rewards[:20])


@pytest.mark.slow
def test_stable_baselines_finds_it_too(make: Make) -> None:
    algorithms = pytest.importorskip("stable_baselines3")
    env = make(max_actions=1, reward=lambda item, answer, _: float(answer == "ham"), observation="state")
    settings: dict[str, Any] = {"n_steps": 64, "batch_size": 64, "gamma": 0.0, "seed": 0, "device": "cpu"}
    agent = algorithms.PPO("MlpPolicy", env, learning_rate=3e-3, **settings).learn(512)
    chosen = [int(agent.predict(env.reset(options={"item": k})[0])[0]) for k in range(10)]
    assert chosen.count(LABELS.index(" ham")) >= 9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"observation": "pixels"}, "TextEnv: observation: expected 'text' or 'state', found 'pixels'"),
        ({"max_actions": 0}, "TextEnv: max_actions: expected at least 1, found 0"),
        ({"actions": " spam"}, "TextEnv: actions: expected texts"),
        ({"max_actions": float("nan")}, "TextEnv: max_actions: expected a whole number, found nan"),
        ({"actions": ["", " ham"]}, "TextEnv: actions: expected texts that are not empty"),
        ({"actions": [1]}, "TextEnv: actions: expected texts that are not empty"),
        ({"render_mode": "human"}, "TextEnv: render_mode: expected 'ansi' or None, found 'human'"),
        ({"observation": "state", "layer": 3}, "TextEnv: layer: expected 1 to 2, or 0 for the last one, found 3"),
        ({"observation": "state", "layer": -1}, "TextEnv: layer: expected 1 to 2, .* found -1"),
        ({"reward": "perplexity"}, "learning.reward: expected some of .*found 'perplexity', which cannot"),
    ],
)
def test_what_is_no_environment_is_refused(changes: dict[str, Any], message: str, make: Make) -> None:
    with pytest.raises(ConfigError, match=message):
        make(**changes)


def test_an_unknown_item_and_a_step_before_a_reset_are_refused(make: Make) -> None:
    env = make()
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(0)
    with pytest.raises(ConfigError, match="item: expected one of 10 train rows from 0 on, found 10"):
        env.reset(options={"item": 10})
    with pytest.raises(ConfigError, match="item: expected a whole number, found 'first'"):
        env.reset(options={"item": "first"})


@pytest.mark.parametrize(("action", "found"), [(3, "one from 0 to 2, found 3"), (-1, "one from 0"), (0.5, "a whole")])
def test_an_unknown_action_is_refused_and_the_answer_goes_on(action: Any, found: str, make: Make) -> None:
    env = make()
    text, _ = env.reset(seed=0)
    with pytest.raises(ConfigError, match=f"action: expected {found}"):
        env.step(action)
    assert env.step(0)[0] == text + LABELS[0]


def test_a_reward_that_is_no_number_is_refused(make: Make) -> None:
    env = make(reward=lambda item, answer, _: float("nan"), max_actions=1)
    env.reset(seed=0)
    with pytest.raises(ScorerError, match="reward: expected a finite number, found nan for the answer 'spam'"):
        env.step(0)
