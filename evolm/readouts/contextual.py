"""Contextual calibration: probabilities divided by those of an item without content, which needs no rows.

For labels, behind content-free inputs (Zhao et al. 2021, "Calibrate Before Use", https://arxiv.org/abs/2102.09690);
for options, which differ from item to item, behind the empty item (domain conditional PMI, Holtzman et al. 2021,
https://arxiv.org/abs/2104.08315).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evolm.models import Dialogue
from evolm.readouts.base import Fit, Reader
from evolm.readouts.calibration import calibrated
from evolm.tasks import Item


class Contextual(Reader):
    """That likelihood, divided by its value without an item (Zhao 2021, Holtzman 2021)."""

    def ask(self, items: Sequence[Item], fit: Fit | None = None) -> Dialogue[np.ndarray]:
        """See the base class."""
        own = self.words.requests(self.prompt, items)
        answers = yield [*own, *self.words.prior_requests(self.prompt, items)]
        logprobs = self.words.read(self.prompt, answers[: len(own)], items)
        return calibrated(logprobs, self.words.prior(self.prompt, answers[len(own) :], items))
