"""Kneser-Ney bigrams: a distribution, by hand, and what they know."""

from __future__ import annotations

import numpy as np
import pytest

from evolm.pretraining.bigrams import UNIFORM, Bigrams

TOKENS = np.array([0, 1, 0, 2, 0, 1, 3, 0, 1, 2])


def test_probabilities_of_all_tokens_behind_any_token_sum_to_one() -> None:
    bigrams = Bigrams(TOKENS, 6)  # 4 and 5 never occur
    for before in range(6):
        pairs = np.array([[before, after] for after in range(6)])
        logprobs = np.array([bigrams.logprobs(pair)[0] for pair in pairs])
        assert np.exp(logprobs).sum() == pytest.approx(1)
        assert np.isfinite(logprobs).all()


def test_a_probability_by_hand() -> None:
    bigrams = Bigrams(TOKENS, 4)
    # Pairs: 01 x 3, 10, 02, 20, 13, 30, 12: n1 = 6, n2 = 0, so D = 1; 1 and 2 follow 0, which is there 4 times.
    assert bigrams.discount == 1.0
    follows = (1 - UNIFORM) * np.array([3, 1, 2, 1]) / 7 + UNIFORM / 4  # different tokens before each
    assert bigrams.unigrams == pytest.approx(follows)
    expected = (3 - 1) / 4 + 1 * 2 / 4 * follows[1]
    assert np.exp(bigrams.logprobs(np.array([0, 1]))[0]) == pytest.approx(expected)


def test_they_predict_a_chain_better_than_its_unigrams() -> None:
    rng = np.random.default_rng(0)
    steps = rng.choice([1, 2], size=4000, p=[0.9, 0.1])
    chain = np.cumsum(steps) % 7
    logprobs = Bigrams(chain[:3000], 7).logprobs(chain[3000:])
    entropy = -(0.9 * np.log(0.9) + 0.1 * np.log(0.1))
    assert -logprobs.mean() == pytest.approx(entropy, abs=0.06)
