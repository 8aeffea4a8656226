"""Weights of options: what they learn, and options that an item lacks."""

from __future__ import annotations

import numpy as np
import pytest

from evolm.genomes import Readout
from evolm.readouts.option_linear import OptionLinear, _cross_validated, _fitted, _logits

N, K = 300, 4


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return features of which the last alone decides, the options that items have, and gold."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N, K, 3))
    asked = np.arange(K) < rng.integers(2, K + 1, N)[:, None]
    x[~asked] = 0
    noise = rng.gumbel(size=(N, K))  # a conditional logit with the weights (0, 0, 2)
    return x, asked, np.where(asked, 2 * x[:, :, 2] + noise, -np.inf).argmax(1)


def test_weights_are_those_that_options_were_chosen_by() -> None:
    x, asked, gold = drawn(0)
    np.testing.assert_allclose(_fitted(x, asked, gold, 0.01), [0, 0, 2], atol=0.4)
    assert np.abs(_fitted(x, asked, gold, 1e6)).max() < 1e-3
    assert _cross_validated(x, asked, gold, 0.1) < _cross_validated(x, asked, gold, 1e5) - 0.2


def test_an_option_that_an_item_lacks_has_no_probability_and_no_influence() -> None:
    x, asked, gold = drawn(1)
    wider = np.concatenate([x, np.zeros((N, 2, 3))], axis=1)
    none = np.zeros((N, 2), dtype=bool)
    weights = _fitted(x, asked, gold, 1.0)
    np.testing.assert_allclose(_fitted(wider, np.concatenate([asked, none], axis=1), gold, 1.0), weights, atol=1e-6)
    assert np.isneginf(_logits(x, asked, weights)[~asked]).all()


def test_a_file_with_other_weights_is_refused() -> None:
    OptionLinear.check_arrays({"weights": np.zeros(3, np.float32)}, Readout("linear"), 0, 32)
    for wrong in (np.zeros(2, np.float32), np.zeros((3, 1), np.float32), np.full(3, np.nan, np.float32)):
        with pytest.raises(ValueError, match="weights of the shape"):
            OptionLinear.check_arrays({"weights": wrong}, Readout("linear"), 0, 32)
