"""The contract of readouts: from the model's answers about an item to a distribution over its labels.

A readout is made for one prompt. It holds a dialogue with the model (see :mod:`evolm.evaluation.dialogue`) about some
items and returns log-probabilities. One that is *fitted* asks about train rows in the same round, and fits them
before it reads the items. The contract:

- the fit sees train rows only, or all rows but test if the genes say ``refit``; never a demonstration of the prompt,
  and no item's gold;
- it is a function of genes, prompt, delta and train rows, with the same bits each time on the same machine;
- an item's log-probabilities do not depend on the other items.

Fitness is measured on dev rows alone, and not on predictions of train rows by the others too: racing, the cache and
comparisons item by item need the last point.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from evolm.errors import DataError
from evolm.genomes import Prompt
from evolm.genomes.readout import Readout
from evolm.models import Dialogue, LogLikelihood, Request
from evolm.readout_kinds import KINDS_OF_READOUTS
from evolm.tasks import Item, Task

REFIT_SHARE = 4  # times the rows of a fit are the most of a refit


class WordLikelihoods(Protocol):
    """The part of :class:`evolm.scorers.LabelProbabilities` that readouts need."""

    @property
    def task(self) -> Task: ...

    def requests(self, prompt: Prompt, items: Sequence[Item]) -> list[LogLikelihood]: ...

    def read(self, prompt: Prompt, answers: Sequence[Any], items: Sequence[Item]) -> np.ndarray: ...

    def prior_requests(self, prompt: Prompt, items: Sequence[Item]) -> list[LogLikelihood]: ...

    def prior(self, prompt: Prompt, answers: Sequence[Any], items: Sequence[Item]) -> np.ndarray: ...


@dataclass(frozen=True)
class Fit:
    """What a fit found.

    Attributes:
        genes: with what the fit chose; they ask for no more than is read.
        arrays: of the map, by name.
    """

    genes: Readout
    arrays: Mapping[str, np.ndarray]


class Reader(ABC):
    """A readout for one prompt; what its kind needs is a row of ``KINDS_OF_READOUTS``."""

    def __init__(self, genes: Readout, prompt: Prompt, words: WordLikelihoods) -> None:
        self.genes, self.prompt, self.words = genes, prompt, words
        self.task = words.task

    @abstractmethod
    def ask(self, items: Sequence[Item], fit: Fit | None = None) -> Dialogue[np.ndarray]:
        """Ask about items, at least one; return ``(n, n_options)`` normalised log-probabilities (nats).

        Args:
            items: what is read.
            fit: an earlier fit, which is used in place of one on the train rows.
        """


class FittedReader(Reader):
    """Base of readouts that are fitted on train rows.

    Attributes:
        arrays: name of each of its map's arrays -> its shape: ``"k"`` labels, ``"L"`` layers, ``"P"`` poolings,
            ``"d"`` channels of a state, other letters for any length.
        known_fit: the fit on the train rows, once it was made.
    """

    arrays: ClassVar[Mapping[str, str]]
    known_fit: Fit | None = None

    @abstractmethod
    def requests(self, items: Sequence[Item]) -> Sequence[Request]:
        """Return the requests about items, in an order that follows from the items alone."""

    @abstractmethod
    def fit(self, answers: Sequence[Any], rows: Sequence[Item]) -> Fit:
        """Fit on the answers to the requests about some train rows."""

    @abstractmethod
    def read(self, fit: Fit, answers: Sequence[Any], items: Sequence[Item]) -> np.ndarray:
        """Return ``(n, n_options)`` normalised log-probabilities (nats) from the answers about items."""

    @classmethod
    def check_arrays(cls, arrays: Mapping[str, np.ndarray], genes: Readout, n_labels: int, width: int) -> None:
        """Raise ValueError if arrays that were read from a file are not those of such a map.

        Args:
            arrays: by name.
            genes: of the fit.
            n_labels: number of labels.
            width: channels of a state.
        """
        if arrays.keys() != cls.arrays.keys():
            raise ValueError(f"the arrays {sorted(arrays)}")
        lengths = {"k": n_labels, "d": width, "L": len(genes.layers), "P": len(genes.poolings)}
        for name, array in arrays.items():
            if len(array.shape) != len(cls.arrays[name]) or np.isnan(array).any():
                raise ValueError(f"{name} of the shape {array.shape}, or with NaN in it")
            for letter, length in zip(cls.arrays[name], array.shape, strict=True):
                if lengths.setdefault(letter, length) != length:
                    raise ValueError(f"{name} of the shape {array.shape}")

    def rows(self) -> list[Item]:
        """Return the rows that are fitted on: those that the prompt does not show, in the split's order."""
        shown = {demonstration.item for demonstration in self.prompt.demonstrations}
        known = [*self.task.train, *self.task.dev, *self.task.validation] if self.genes.refit else self.task.train
        return [item for item in known if item.digest not in shown][: self.most_rows]

    @property
    def most_rows(self) -> int:
        """Most rows that are fitted on."""
        return REFIT_SHARE * self.genes.rows if self.genes.refit else self.genes.rows

    def ask(self, items: Sequence[Item], fit: Fit | None = None) -> Dialogue[np.ndarray]:
        """See the base class."""
        rows = [] if fit else self.rows()
        learnt = self.requests(rows)
        answers = yield [*learnt, *self.requests(items)]
        fit = fit or self.fitted_on(answers[: len(learnt)], rows)
        return self.read(fit, answers[len(learnt) :], items)

    def ask_fit(self) -> Dialogue[Fit]:
        """Ask about the train rows, and fit."""
        rows = self.rows()
        answers = yield self.requests(rows)
        return self.fitted_on(answers, rows)

    def fitted_on(self, answers: Sequence[Any], rows: Sequence[Item]) -> Fit:
        """Fit on train rows.

        Raises:
            DataError: if they are too few to tell labels apart.
        """
        known = {item.gold for item in rows}
        if self.task.labels and KINDS_OF_READOUTS[self.genes.kind].gold and len(known) < 2:
            raise DataError(
                f"readout {self.genes.kind!r}: expected train rows of at least two labels beside the prompt's "
                f"demonstrations, found {len(rows)} rows of {len(known)}"
            )
        if not rows:
            raise DataError(
                f"readout {self.genes.kind!r}: expected train rows beside the prompt's demonstrations, found none"
            )
        # Train rows are asked about each time, since the charge must not depend on what was fitted before.
        self.known_fit = self.known_fit or self.fit(answers, rows)
        return self.known_fit
