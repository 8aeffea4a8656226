"""The end of the main search before its budget is spent: an observer's request, and its entry in the journal."""

from __future__ import annotations

import logging
from typing import Any

from evolm.campaign.search import Search
from evolm.config import BudgetSection
from evolm.errors import ConfigError

logger = logging.getLogger("evolm")


class SearchStop:
    """Whether the main search is to end early, and why.

    A request becomes part of the run with the generation in which it was made: the entry is journalled and saved with
    that generation, so a resumed run stays stopped.

    Args:
        budget: the main search's limits; a run that is resumed with other limits is not stopped any more.

    Attributes:
        entry: the journal's entry; None until a request was settled.
        closed: whether the main search is over, so that requests have no effect.
    """

    def __init__(self, budget: BudgetSection) -> None:
        self._budget = budget.model_dump()
        self._requested = ""
        self.entry: dict[str, Any] | None = None
        self.closed = False

    @property
    def reason(self) -> str:
        """Why the main search was ended by an observer; ``""`` if it was not."""
        return str(self.entry["reason"]) if self.entry else ""

    def request(self, reason: str) -> None:
        """End the main search after the current generation; for observers.

        Baselines then get the budget that the search spent, and the verdict is reached. The reason is written to the
        checkpoint, the journal, the result and the report; the first request counts. A baseline cannot be stopped: it
        would get less than the search that is compared with it. A raised budget takes the stop back.

        Raises:
            ConfigError: if no reason is given.
        """
        if not isinstance(reason, str) or not reason.strip():
            raise ConfigError(f"stop: expected a reason in words, found {reason!r}")
        if self.closed:
            logger.info(
                "Not stopped (%s): the main search is over, and baselines get the budget that it spent", reason
            )
            return
        self._requested = self._requested or reason

    def settle(self, main: Search) -> dict[str, Any] | None:
        """Return the journal's entry of a request that waits; None if there is none.

        Args:
            main: the main search, whose generation has just ended.
        """
        if not self._requested:
            return None
        self.entry = {
            "type": "stop",
            "search": main.name,
            "generation": main.generation,
            "evaluations": main.ledger.evaluations,
            "budget": self._budget,
            "reason": self._requested,
        }
        return self.entry

    def restore(self, entry: dict[str, Any] | None) -> None:
        """Take over an earlier process's stop, unless the budget was raised since."""
        if entry and entry["budget"] == self._budget:
            self.entry = entry
