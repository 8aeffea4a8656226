"""Calibration of label probabilities by a prior."""

from __future__ import annotations

import numpy as np


def calibrated(logprobs: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Divide probabilities by their prior and normalise them (Zhao 2021, eq. 3 with a diagonal W and no bias).

    Args:
        logprobs: ``(n, n_options)`` nats, -inf behind an item's last option.
        prior: ``(n or 1, n_options)`` nats.
    """
    shifted = np.where(np.isneginf(logprobs), -np.inf, logprobs - np.where(np.isneginf(prior), 0.0, prior))
    return shifted - np.logaddexp.reduce(shifted, axis=1, keepdims=True)
