"""The model's own readout: the likelihood of the labels' words, calibrated if the prompt is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evolm.models import Dialogue
from evolm.readouts.base import Fit, Reader
from evolm.readouts.calibration import calibrated
from evolm.tasks import Item


class Words(Reader):
    """The likelihood of the labels' words; the prior is divided out if the prompt is calibrated."""

    def ask(self, items: Sequence[Item], fit: Fit | None = None) -> Dialogue[np.ndarray]:
        """See the base class."""
        own = self.words.requests(self.prompt, items)
        prior = self.words.prior_requests(self.prompt, items) if self.prompt.calibrated else []
        answers = yield [*own, *prior]
        logprobs = self.words.read(self.prompt, answers[: len(own)], items)
        if not prior:
            return logprobs
        return calibrated(logprobs, self.words.prior(self.prompt, answers[len(own) :], items))
