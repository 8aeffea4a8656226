"""How many evaluations an objective may still make: its own budget, or one that several processes share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from evolm.campaign.budget import Ledger, allowed, spent
from evolm.campaign.recorder import RunRecorder
from evolm.campaign.search import Search
from evolm.campaign.stopping import SearchStop
from evolm.config import BudgetSection
from evolm.storage import SharedLedger


class Allowance:
    """The budget of an objective's search.

    Args:
        budget: the limits.
        search: gives the ledger of this process.
        recorder: gives the seconds.
        stop: says whether an observer ended the search.
        pool: the counts of all processes that share the budget; None = the search's ledger alone counts.
    """

    def __init__(
        self,
        budget: BudgetSection,
        search: Search,
        recorder: RunRecorder,
        stop: SearchStop,
        pool: SharedLedger | None = None,
    ) -> None:
        self.budget = budget
        self.pool = pool
        self._search = search
        self._recorder = recorder
        self._stop = stop

    @property
    def left(self) -> int | None:
        """Evaluations that the budget still allows; None = no limit on their number."""
        return self._left(self._counts())

    @property
    def ended(self) -> str:
        """Why nothing more may be evaluated, or ``""``."""
        return self._ended(self._counts())

    def grant(self, wanted: int) -> int:
        """Return how many of ``wanted`` evaluations are allowed; they are reserved in a shared budget."""
        if self.pool:
            return self.pool.reserve(wanted, len(self._search.items), self._left)
        left = self.left
        return wanted if left is None else min(wanted, left)

    def charge_winner(self) -> None:
        """Charge one evaluation to a shared budget, also beyond its limits."""
        if self.pool:
            self.pool.reserve(1, len(self._search.items), lambda counts: None)

    def add_tokens(self, tokens: int) -> None:
        """Charge the tokens of granted evaluations to a shared budget."""
        if self.pool:
            self.pool.add_tokens(tokens)

    def _counts(self) -> dict[str, int]:
        return self.pool.counts() if self.pool else {}

    def _ended(self, counts: Mapping[str, int]) -> str:
        return self._stop.reason or spent(
            self.budget, self._ledger(counts), len(self._search.items), self._recorder.seconds
        )

    def _left(self, counts: Mapping[str, int]) -> int | None:
        if self._ended(counts):
            return 0
        return allowed(self.budget, self._ledger(counts), len(self._search.items))

    def _ledger(self, counts: Mapping[str, int]) -> Ledger:
        """Return the amounts that count against the limits: of this process, or of all that share them."""
        changed: dict[str, Any] = dict(counts)
        return replace(self._search.ledger, **changed)
