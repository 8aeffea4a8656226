"""A task: items in splits, the template that renders them, and the metric that scores the answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from evolm.errors import DataError
from evolm.tasks.items import Item
from evolm.tasks.kinds import KINDS
from evolm.tasks.metrics import METRICS, Outcomes
from evolm.tasks.splitting import SPLITS
from evolm.tasks.template import Template
from evolm.wording import listed


@dataclass(frozen=True)
class Task:
    """The task of a campaign; immutable.

    Attributes:
        name: shown in reports.
        kind: a name in ``KINDS``.
        metric: a name in ``METRICS`` that fits the kind.
        labels: words in the order of ``task.labels``; a label's index is its place here. Empty unless all rows
            share them.
        template: renders items and answers.
        train, dev, validation, test: the items of each split; no text occurs in two of them.
        notes: sentences about rows that were dropped, with the reason.
        has_gold: whether every item has its gold and the search may see it.
        audited: whether every item has its gold and the search must not see it.
        answer_key: how the data's labels name options, if items have their own.
        unlabelled: items without gold for self-training; their texts occur in no split.
    """

    name: str
    kind: str
    metric: str
    labels: tuple[str, ...]
    template: Template
    train: tuple[Item, ...]
    dev: tuple[Item, ...]
    validation: tuple[Item, ...]
    test: tuple[Item, ...]
    notes: tuple[str, ...]
    has_gold: bool
    audited: bool = False
    answer_key: str = "auto"
    unlabelled: tuple[Item, ...] = ()

    @property
    def knows_gold(self) -> bool:
        """Whether every item has its gold, whether or not the search may see it; otherwise none has."""
        return self.has_gold or self.audited

    @property
    def demonstrable(self) -> tuple[Item, ...]:
        """Train items that may be shown with their gold."""
        return self.train if self.has_gold else ()

    @cached_property
    def without_gold(self) -> tuple[Item, ...]:
        """Items that self-training may answer: unlabelled ones, and train items if their gold is hidden."""
        hidden = () if self.has_gold else (item.hidden(self.kind) for item in self.train)
        return (*self.unlabelled, *hidden)

    @property
    def taught_labels(self) -> frozenset[str]:
        """The task's labels that train items may show as their gold."""
        return frozenset(item.gold for item in self.demonstrable if item.gold in self.labels)

    @cached_property
    def train_digests(self) -> frozenset[str]:
        """Digests of the train items."""
        return frozenset(item.digest for item in self.train)

    @cached_property
    def test_keys(self) -> frozenset[str]:
        """Content keys of the test items."""
        return frozenset(item.content_key for item in self.test)

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the template's fields."""
        return self.template.fields

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the labels and every item's digest, split by split, in order, the unlabelled last."""
        digests = {name: [item.digest for item in getattr(self, name)] for name in SPLITS}
        if self.unlabelled:
            digests["unlabelled"] = [item.digest for item in self.unlabelled]
        return hashlib.sha256(json.dumps([self.labels, digests]).encode()).hexdigest()

    def splits(self) -> dict[str, int]:
        """Number of items in each split."""
        return {name: len(getattr(self, name)) for name in SPLITS}

    def options_of(self, item: Item) -> tuple[str, ...]:
        """Return the possible answers to an item, in the order of outcomes' indices: labels, or its own options."""
        return self.labels or item.options

    @cached_property
    def n_options(self) -> int:
        """Number of labels, or the most options of any item; 0 if any text may be the answer."""
        items = (item for name in SPLITS for item in getattr(self, name))
        return len(self.labels) or max((len(item.options) for item in items), default=0)

    def gold_indices(self, items: Sequence[Item]) -> NDArray[np.int64]:
        """Return the ``(n,)`` indices of the items' gold among their options; zeros if any text may be right.

        Raises:
            DataError: if an item has no gold, or gold that is none of its options.
        """
        return np.array([self._gold_index(item) for item in items], dtype=np.int64)

    def _gold_index(self, item: Item) -> int:
        known = self.options_of(item)
        if item.gold is None or (item.gold not in known and not KINDS[self.kind].open):
            raise DataError(f"item {item.digest}: expected a label among {listed(known)}, found {item.gold!r}")
        return known.index(item.gold) if known else 0

    def row_weights(self, items: Sequence[Item]) -> NDArray[np.float64]:
        """Return the ``(n,)`` weights with which the metric counts items; every gold label alike if it has none."""
        gold = self.gold_indices(items)
        counts = np.bincount(gold, minlength=self.n_options)
        weights_of = METRICS[self.metric].weights
        per_label = 1 / np.maximum(counts, 1) if weights_of is None else weights_of(counts)
        return np.asarray(per_label, dtype=np.float64)[gold]

    def metric_of(self, outcomes: Outcomes, items: Sequence[Item]) -> float:
        """Return the metric, in [0, 1], of ``(n,)`` outcomes (see :mod:`evolm.tasks.metrics`) for ``items``."""
        n_options = max([self.n_options, *(len(item.options) for item in items)])
        return METRICS[self.metric].function(outcomes, self.gold_indices(items), n_options)

    @property
    def metric_function(self) -> Callable[[Outcomes, NDArray[np.integer]], float]:
        """The metric as a function of ``(n,)`` outcomes and ``(n,)`` gold indices."""
        return lambda outcomes, gold: METRICS[self.metric].function(outcomes, gold, self.n_options)
