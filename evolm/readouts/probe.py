"""A linear classifier on hidden states, fitted on train rows.

The states come from the same packed passes as log-probabilities. Those of all layers and poolings that the genes
leave open stand side by side: together they tell more than the best layer alone (``python -m benchmarks.probes``).
A strength that is left open is chosen by the log-loss of leave-one-out predictions, which ridge regression has in
closed form (:mod:`evolm.readouts.ridge`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from evolm.errors import DataError
from evolm.genomes.readout import AUTO, Readout
from evolm.models import States
from evolm.models.requests import POOLINGS
from evolm.readouts.base import Fit, FittedReader
from evolm.readouts.ridge import fit_ridge, normalised
from evolm.tasks import Item

STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


class Probe(FittedReader):
    """Ridge regression on hidden states of some layers, at the last token and averaged over the item."""

    arrays: ClassVar[Mapping[str, str]] = {"weights": "kLPd", "intercepts": "k"}

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
        """Return ``weights`` ``(k, layers, poolings, d)`` and ``intercepts`` ``(k,)``."""
        x = self._features(self.genes, answers)
        if not np.isfinite(x).all():
            raise DataError("readout 'probe': expected finite hidden states, found others")
        gold, weights = self.task.gold_indices(rows), self.task.row_weights(rows)
        strengths = (self.genes.strength,) if self.genes.strength else STRENGTHS
        best = fit_ridge(x.reshape(len(x), -1), gold, len(self.task.labels), weights, strengths)
        arrays = {"weights": best.weights.reshape(-1, *x.shape[1:]), "intercepts": best.intercepts}
        return Fit(self.genes.fitted(best.strength), arrays)

    def read(self, fit: Fit, answers: Sequence[Any], items: Sequence[Item]) -> np.ndarray:
        """See the base class."""
        x = self._features(fit.genes, answers).astype(np.float64)
        weights, intercepts = (fit.arrays[name].astype(np.float64) for name in ("weights", "intercepts"))
        # einsum, unlike a matrix product, adds in an order that does not depend on the number of rows.
        scores = np.einsum("nd,kd->nk", x.reshape(len(x), -1), weights.reshape(len(weights), -1))
        return normalised(scores + intercepts)

    def _features(self, genes: Readout, answers: Sequence[Any]) -> np.ndarray:
        """Return ``(n, layers, poolings, d)``: the states that are read, of those that were asked for."""
        layers = [self._layers.index(genes.layer)] if genes.layer else range(len(self._layers))
        poolings = [self._poolings().index(pooling) for pooling in genes.poolings]
        return np.stack([answer[np.ix_(layers, poolings)] for answer in answers])
