"""Calibration of label probabilities by a prior."""

from __future__ import annotations

import numpy as np


def mean_prior(logprobs: np.ndarray) -> np.ndarray:
    """Return the ``(n_labels,)`` log-means (nats) over the items of ``(n, n_labels)`` label probabilities."""
    return np.asarray(np.logaddexp.reduce(logprobs, axis=0) - np.log(len(logprobs)))


def calibrated(logprobs: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Divide probabilities by their prior and normalise them (Zhao 2021, eq. 3 with a diagonal W and no bias).

    Args:
        logprobs: ``(n, n_options)`` nats, -inf behind an item's last option.
        prior: ``(n or 1, n_options)`` nats.
    """
    shifted = np.where(np.isneginf(logprobs), -np.inf, logprobs - np.where(np.isneginf(prior), 0.0, prior))
    return shifted - np.logaddexp.reduce(shifted, axis=1, keepdims=True)
