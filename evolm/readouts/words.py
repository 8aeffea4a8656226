"""The model's own readout: the likelihood of the labels' words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evolm.models import Dialogue
from evolm.readouts.base import Fit, Reader
from evolm.tasks import Item


class Words(Reader):
    """The likelihood of the label's words, or of the option."""

    def ask(self, items: Sequence[Item], fit: Fit | None = None) -> Dialogue[np.ndarray]:
        """See the base class."""
        answers = yield self.words.requests(self.prompt, items)
        return self.words.read(self.prompt, answers, items)
