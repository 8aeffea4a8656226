"""Budgets, baselines and intervals, each by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from evolm.campaign.budget import Ledger, allowed, cautious, spent
from evolm.config import BudgetSection
from evolm.evaluation import Charge, Engine
from evolm.genomes import Prompt
from evolm.scorers.labels import CONTENT_FREE
from evolm.statistics import largest_standard_error, paired_bootstrap, smallest_visible_gain
from evolm.storage import AnswerStore
from evolm.tasks import METRICS, Task
from evolm.testing.small import scoring

GOLD = np.tile([0, 1], 50)


@pytest.fixture(autouse=True)
def all_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as a campaign takes."""
    monkeypatch.setattr("evolm.statistics.RESAMPLES", 2000)


def accuracy(predicted: np.ndarray, gold: np.ndarray) -> float:
    return METRICS["accuracy"].function(predicted, gold, 2)


# -- intervals -----------------------------------------------------------------------------------------------


def test_the_interval_of_equal_predictions_is_zero() -> None:
    noisy = np.where(np.arange(100) % 3 == 0, 1 - GOLD, GOLD)
    assert paired_bootstrap(accuracy, GOLD, noisy, [noisy.copy()]) == (0, 0)


def test_the_interval_of_equally_good_predictions_covers_zero() -> None:
    first, second = GOLD.copy(), GOLD.copy()
    first[:20], second[20:40] = 1 - GOLD[:20], 1 - GOLD[20:40]
    low, high = paired_bootstrap(accuracy, GOLD, first, [second])
    assert low < 0 < high


def test_the_interval_of_a_clear_difference_excludes_zero_and_covers_it() -> None:
    poor = np.where(np.arange(100) < 40, 1 - GOLD, GOLD)
    low, high = paired_bootstrap(accuracy, GOLD, GOLD, [poor])
    assert 0 < low < 0.4 < high
    assert paired_bootstrap(accuracy, GOLD, GOLD, [poor, GOLD])[1] < high  # several rivals are averaged


def test_the_interval_is_the_same_for_the_same_seed() -> None:
    poor = np.where(np.arange(100) < 10, 1 - GOLD, GOLD)
    assert paired_bootstrap(accuracy, GOLD, GOLD, [poor], 3) == paired_bootstrap(accuracy, GOLD, GOLD, [poor], 3)


def test_the_largest_standard_error_is_that_of_half_of_the_items_right() -> None:
    right = np.random.default_rng(0).random((20_000, 30)) < 0.5
    assert largest_standard_error([30], False) == pytest.approx(right.mean(axis=1).std(), rel=0.02)
    recalls = (right[:, :10].mean(axis=1) + right[:, 10:].mean(axis=1)) / 2
    assert largest_standard_error([10, 20], True) == pytest.approx(recalls.std(), rel=0.02)
    assert np.isnan(largest_standard_error([], False)) and np.isnan(largest_standard_error([3, 0], True))


def test_the_smallest_visible_gain_follows_mcnemar() -> None:
    assert smallest_visible_gain([50, 50], False) == pytest.approx(1.959964 * np.sqrt(0.2 / 100))
    assert smallest_visible_gain([50, 50], True) == pytest.approx(1.959964 * np.sqrt(0.4 / 50) / 2)
    assert smallest_visible_gain([90, 10], True) > smallest_visible_gain([50, 50], True)
    assert smallest_visible_gain([2, 2], True) == pytest.approx(1.959964**2 / 4)  # all disagreements are gains
    assert np.isnan(smallest_visible_gain([], True))
    assert np.isnan(smallest_visible_gain([5, 0], True))


# -- budgets -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "ledger", "expected"),
    [
        ({"evaluations": 10}, {"evaluations": 7}, 3),
        ({"evaluations": 10}, {"evaluations": 12}, 0),
        ({"evaluations": 0, "items": 105}, {"items": 70}, 3),
        ({"evaluations": 5, "items": 105}, {"evaluations": 0, "items": 0}, 5),
        ({"evaluations": 0, "tokens": 10}, {"tokens": 11}, None),
    ],
)
def test_so_many_more_may_be_asked_for(budget: dict[str, int], ledger: dict[str, int], expected: int | None) -> None:
    assert allowed(BudgetSection(**budget), Ledger(**ledger), 10) == expected


@pytest.mark.parametrize(
    ("budget", "evaluations", "seconds", "expected"),
    [
        ({"seconds": 30}, 0, 1, None),  # the first generation
        ({"seconds": 30}, 10, 20, 5),
        ({"seconds": 30}, 10, 29, 1),
        ({"seconds": 30}, 10, 40, 1),
        ({"seconds": 30, "tokens": 100}, 10, 29, 1),
        ({"tokens": 100}, 0, 0, 4),
        ({"tokens": 100}, 10, 29, 5),
    ],
)
def test_so_many_more_are_asked_for_at_once(
    budget: dict[str, float], evaluations: int, seconds: float, expected: int | None
) -> None:
    ledger = Ledger(evaluations=evaluations, tokens=5 * evaluations)
    assert cautious(BudgetSection(evaluations=0, **budget), ledger, seconds) == expected


@pytest.mark.parametrize(
    ("budget", "ledger", "seconds", "reason"),
    [
        ({"evaluations": 10}, {"evaluations": 9}, 0, ""),
        ({"evaluations": 10}, {"evaluations": 10}, 0, "all 10 evaluations are spent"),
        ({"evaluations": 0, "items": 25}, {"items": 20}, 0, "the 5 items left are fewer than the 10 of one"),
        ({"evaluations": 0, "items": 30}, {"items": 20}, 0, ""),
        ({"evaluations": 0, "tokens": 30}, {"tokens": 31}, 0, "all 30 tokens are spent"),
        ({"evaluations": 0, "plateau": 2}, {"idle_generations": 2}, 0, "2 generations brought nothing better"),
        ({"evaluations": 0, "seconds": 1.5}, {}, 2, "1.5 seconds are over"),
        ({"evaluations": 0}, {"evaluations": 10**9}, 10**9, ""),
    ],
)
def test_a_search_ends_for_a_reason(
    budget: dict[str, float], ledger: dict[str, int], seconds: float, reason: str
) -> None:
    found = spent(BudgetSection(**budget), Ledger(**ledger), 10, seconds)
    assert found.startswith(reason)
    assert bool(found) == bool(reason)


def test_a_ledger_adds_up_charges() -> None:
    ledger = Ledger()
    ledger.charge([Charge(10, 300), Charge(10, 0)])
    assert ledger.to_record() == {
        "evaluations": 2,
        "items": 20,
        "tokens": 300,
        "dropped": 0,
        "idle_generations": 0,
        "free": 0,
        "writer_tokens": 0,
        "generated": 0,
        "requests": 0,
        "writer_generated": 0,
        "writer_requests": 0,
        "audit_peak": (),
        "audit_falls": 0,
        "readouts": {},
    }


def test_the_prior_is_the_mean_probability_of_content_free_inputs(
    toy_task: Task, tiny_model: Callable[..., Any]
) -> None:
    """By hand: Zhao 2021, section 5, probabilities averaged over the content-free inputs."""
    model = tiny_model("float32", "off")
    labels = scoring(toy_task, model, "sum").labels
    engine = Engine(model, AnswerStore(":memory:"))
    genome = Prompt("Spam or ham?")
    (prior,) = labels.prior(genome, engine.answer(labels.prior_requests(genome, ())), ())
    probabilities = []
    for text in CONTENT_FREE:
        context = f"Spam or ham?\n\nText: {text}\nLabel:"
        scores = []
        for answer in (" ham", " spam"):
            before, whole = (model.encode([t], chat=False)[0] for t in (context, context + answer))
            logprobs = model.forward.model  # the weights alone; what follows is plain transformers
            scores.append(_plain(logprobs, whole, len(before)))
        probabilities.append(np.exp(scores) / np.exp(scores).sum())
    assert np.exp(prior) == pytest.approx(np.mean(probabilities, axis=0), abs=1e-4)


def _plain(model: Any, tokens: list[int], begin: int) -> float:
    import torch

    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        with torch.inference_mode():
            logprobs = model(torch.tensor([tokens]), use_cache=False).logits[0].log_softmax(-1)
    finally:
        model.set_attn_implementation(before)
    return sum(logprobs[i - 1, tokens[i]].item() for i in range(begin, len(tokens)))
