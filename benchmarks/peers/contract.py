"""What a peer is given, what it spends, and what it returns."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

import numpy as np

from evolm import config as configuration
from evolm.founders.populations import find_population
from evolm.tasks import KINDS, METRICS, Form, Item, Task, load_task

if TYPE_CHECKING:
    from benchmarks.peers.chat import LocalChat

LEARNT = 3  # items that a learnt row counts for: forward, and backward twice as much
SHORT, LONG = 12, 160  # most tokens of an answer that names a label, and of a proposed prompt


class BudgetSpent(BaseException):
    """Ends a search whose package would go on after an ordinary exception."""


@dataclass
class Meter:
    """What a peer spends on its search, and then on the test rows.

    Attributes:
        items: limit of the search: answers of the model, where a row that is learnt from counts for ``LEARNT``.
        minutes: limit of the search; whatever limit is reached first ends it.
        spent: items, prompt tokens and written tokens of the search.
        test: the same of the test rows, which are not limited.
        seconds: of the search, once it has ended.
    """

    items: float = float("inf")
    minutes: float = float("inf")
    spent: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("items", "read", "written"), 0))
    test: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("items", "read", "written"), 0))
    seconds: float | None = None
    began: float | None = None

    @property
    def over(self) -> bool:
        """Whether the search has spent its budget; never while test rows are answered."""
        return self.spends(1.0)

    def spends(self, share: float) -> bool:
        """Return whether the search has spent this share of its budget. The first call starts the clock."""
        if self.seconds is not None:
            return False
        return self.spent["items"] >= share * self.items or self._elapsed() >= 60 * share * self.minutes

    def _elapsed(self) -> float:
        if self.began is None:  # packages and the model are loaded by now
            self.began = time.perf_counter()
        return time.perf_counter() - self.began

    def charge(self, items: int, read: int = 0, written: int = 0) -> None:
        """Count answers and tokens."""
        book = self.spent if self.seconds is None else self.test
        book["items"] += items
        book["read"] += read
        book["written"] += written

    def end_search(self) -> None:
        """Stop the clock of the search; what follows answers test rows."""
        if self.seconds is None:
            self.seconds = self._elapsed()


@dataclass(frozen=True)
class Setting:
    """One task with a seed and a budget, as every peer gets it.

    Attributes:
        population: founding population: task, model and founders.
        tables: replace tables of its campaign file, such as the counts of ``task.split``.
        seed: of the peer.
        meter: the budget.
        directory: for files of the peer.
    """

    population: str
    tables: Mapping[str, Any]
    seed: int
    meter: Meter
    directory: Path

    @cached_property
    def campaign(self) -> configuration.CampaignConfig:
        """The campaign, with the tables replaced."""
        return configuration.load(find_population(self.population) / configuration.FILE_NAME, dict(self.tables))

    @cached_property
    def task(self) -> Task:
        """The rows, the same for all peers and seeds."""
        return load_task(
            self.campaign.task, self.campaign.template, root=find_population(self.population), trusted=True
        )

    @cached_property
    def chat(self) -> LocalChat:
        """The model, through transformers, on the meter."""
        from benchmarks.peers.chat import LocalChat

        return LocalChat(self.campaign.model.name, self.meter, self.seed)

    @property
    def dev(self) -> tuple[Item, ...]:
        """Rows that choose: those that a campaign uses for the search and for its finalists."""
        return (*self.task.dev, *self.task.validation)

    @property
    def instructions(self) -> list[str]:
        """The founders' instructions, each once."""
        path = find_population(self.population) / "founders.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines()
        found = [json.loads(line).get("instruction", "") for line in lines if line.strip()]
        return [each for each in dict.fromkeys(found) if each]

    @property
    def form(self) -> Form:
        """The form of the answers."""
        return KINDS[self.task.kind].form

    @property
    def words(self) -> list[str]:
        """Every answer that a row may have, as it is written; letters for rows with options; empty for open texts."""
        if self.form is Form.OPTIONS:
            return list(ascii_uppercase[: self.task.n_options])
        return list(self.task.labels)

    @property
    def longest(self) -> int:
        """Most new tokens of an answer."""
        return self.campaign.generation.max_new_tokens if self.form is Form.TEXT else SHORT

    def text(self, item: Item) -> str:
        """Return a row as a question; options have letters, and stand before the last line."""
        text = self.task.template.item(item.fields, item.options)
        if not item.options:
            return text
        head, _, last = text.rpartition("\n")
        options = [f"{letter}) {option}" for letter, option in zip(ascii_uppercase, item.options, strict=False)]
        return "\n".join([head, *options, f"{last} (the letter)"])

    def gold(self, item: Item) -> str:
        """Return the right answer as it is written."""
        if self.form is Form.OPTIONS:
            return ascii_uppercase[item.options.index(str(item.gold))]
        return str(item.gold)

    def outcome(self, item: Item, text: str) -> float:
        """Return the task's outcome of a written answer: an index, -1 for none, or a rating of an open text."""
        if self.form is Form.TEXT:
            compare = METRICS[self.task.metric].compare
            assert compare is not None
            return compare(text.strip().split("\n")[0], str(item.gold))
        return self.index(item, text)

    def index(self, item: Item, text: str) -> int:
        """Return the answer that a text names first, as an index; -1 if it names none."""
        words = self.words[: len(item.options)] if item.options else self.words
        places = {index: _place(word, text, bool(item.options)) for index, word in enumerate(words)}
        named = {index: place for index, place in places.items() if place >= 0}
        return min(named, key=lambda index: named[index]) if named else -1

    def score(self, item: Item, text: str) -> float:
        """Return how right a written answer is, in [0, 1]."""
        outcome = self.outcome(item, text)
        if self.form is Form.TEXT:
            return max(float(outcome), 0.0)
        return float(outcome == self.words.index(self.gold(item)))

    def outcomes(self, texts: Sequence[str]) -> np.ndarray:
        """Return the ``(n_test,)`` outcomes of written answers to the test rows, in order."""
        found = [self.outcome(item, text) for item, text in zip(self.task.test, texts, strict=True)]
        return np.array(found, dtype=float if self.form is Form.TEXT else int)


def _place(word: str, text: str, letter: bool) -> int:
    pattern = rf"(?<![\w']){re.escape(word)}(?![\w'])"
    found = re.search(pattern, text, 0 if letter else re.IGNORECASE)
    return found.start() if found else -1


@dataclass(frozen=True)
class Found:
    """What a peer returns.

    Attributes:
        outcomes: ``(n_test,)``, see :meth:`Setting.outcome`.
        best: the prompt or the settings that it chose.
        others: outcomes of further rows of the table that come for free, by name.
    """

    outcomes: np.ndarray
    best: str
    others: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Peer:
    """A way to improve the model, or to do without it.

    Attributes:
        name: its row.
        title: what it is.
        run: searches within the meter, ends the search, and answers the test rows.
        packages: distributions that it needs.
        forms: of answers that it can handle.
        limit: why it handles no others.
    """

    name: str
    title: str
    run: Callable[[Setting], Found]
    packages: tuple[str, ...] = ()
    forms: tuple[Form, ...] = tuple(Form)
    limit: str = ""
