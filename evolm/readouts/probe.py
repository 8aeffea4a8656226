"""A linear classifier on the hidden states of one layer, fitted on train rows.

The states come from the same packed passes as log-probabilities. Layer, pooling and strength that the genes leave
open are chosen by the log-loss of leave-one-out predictions, which ridge regression has in closed form
(:mod:`evolm.readouts.ridge`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, ClassVar

import numpy as np

from evolm.errors import DataError
from evolm.genomes.readout import AUTO
from evolm.models import States
from evolm.models.requests import POOLINGS
from evolm.readouts.base import Fit, FittedReader
from evolm.readouts.ridge import RidgeFit, fit_ridge, normalised
from evolm.tasks import Item

STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


class Probe(FittedReader):
    """Ridge regression on the hidden states of one layer, at the last token or averaged over the item."""

    arrays: ClassVar[Mapping[str, str]] = {"weights": "kd", "intercepts": "k"}

    @property
    def _layers(self) -> tuple[int, ...]:
        return self.genes.layers or (self.genes.layer,)

    def _poolings(self) -> tuple[str, ...]:
        """Return the poolings that are asked for: both before a fit has chosen one."""
        return POOLINGS if len(self._layers) > 1 or self.genes.pooling == AUTO else (self.genes.pooling,)

    def requests(self, items: Sequence[Item]) -> list[States]:
        """Return the requests for the states of all layers that may be read."""
        template = self.task.template
        prefix = self.prompt.prefix(template)
        return [
            States(prefix, template.item(item.fields, item.options), self._layers, self._poolings(), template.system)
            for item in items
        ]

    def fit(self, answers: Sequence[Any], rows: Sequence[Item]) -> Fit:
        """Return ``weights`` ``(k, d)`` and ``intercepts`` ``(k,)``."""
        states = np.stack(answers)  # (n, layers, poolings, d)
        if not np.isfinite(states).all():
            raise DataError("readout 'probe': expected finite hidden states, found others")
        gold, weights = self.task.gold_indices(rows), self.row_weights(rows)
        layers = (self.genes.layer,) if self.genes.layer else self._layers
        poolings = self._poolings() if self.genes.pooling == AUTO else (self.genes.pooling,)
        strengths = (self.genes.strength,) if self.genes.strength else STRENGTHS
        found: list[tuple[RidgeFit, int, str]] = []
        for layer, pooling in product(layers, poolings):
            x = states[:, self._layers.index(layer), self._poolings().index(pooling)]
            found.append((fit_ridge(x, gold, len(self.task.labels), weights, strengths), layer, pooling))
        best, layer, pooling = min(found, key=lambda each: each[0].loss)
        arrays = {"weights": best.weights, "intercepts": best.intercepts}
        return Fit(self.genes.with_only(layer, pooling, best.strength), arrays)

    def read(self, fit: Fit, answers: Sequence[Any], items: Sequence[Item]) -> np.ndarray:
        """See the base class."""
        layer, pooling = self._layers.index(fit.genes.layer), self._poolings().index(fit.genes.pooling)
        x = np.stack([answer[layer, pooling] for answer in answers]).astype(np.float64)  # (n, d)
        weights, intercepts = (fit.arrays[name].astype(np.float64) for name in ("weights", "intercepts"))
        # einsum, unlike a matrix product, adds in an order that does not depend on the number of rows.
        return normalised(np.einsum("nd,kd->nk", x, weights) + intercepts)
