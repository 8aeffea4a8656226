"""Batch calibration: label probabilities divided by their mean over train rows, whose gold is not needed.

Zhou et al. 2023, "Batch Calibration", https://arxiv.org/abs/2309.17249, eq. 5; there the mean is over the test rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from evolm.models import Request
from evolm.readouts.base import Fit, FittedReader
from evolm.readouts.calibration import calibrated, mean_prior
from evolm.tasks import Item


class BatchCalibration(FittedReader):
    """The likelihood of the label's words, divided by its mean over train rows (Zhou 2023)."""

    arrays: ClassVar[Mapping[str, str]] = {"prior": "k"}

    def requests(self, items: Sequence[Item]) -> Sequence[Request]:
        """Return the requests of the labels' words."""
        return self.words.requests(self.prompt, items)

    def fit(self, answers: Sequence[Any], rows: Sequence[Item]) -> Fit:
        """Return the mean probabilities, as ``prior`` ``(n_labels,)`` nats."""
        logprobs = self.words.read(self.prompt, answers, rows)
        return Fit(self.genes, {"prior": mean_prior(logprobs).astype(np.float32)})

    def read(self, fit: Fit, answers: Sequence[Any], items: Sequence[Item]) -> np.ndarray:
        """See the base class."""
        return calibrated(self.words.read(self.prompt, answers, items), fit.arrays["prior"].astype(np.float64)[None])
