"""A strategy whose generations are proposed by external code.

It numbers the proposals as individuals of the run. It has no row in the catalogue: a run uses it if
:class:`evolm.objective.objective.Objective` is called by another optimizer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from evolm.config import Section
from evolm.individual import NOT_FOUNDERS, PROPOSED, Individual
from evolm.strategies.base import SearchContext, Strategy


class ExternalParams(Section):
    """No settings."""


class ExternalStrategy(Strategy):
    """Accepts proposals; it draws no random numbers and applies no operators.

    Args:
        params: no settings.
        context: its operators are ignored.

    Attributes:
        first_ids: digest -> id of the first individual that had this genome.
    """

    Params = ExternalParams
    any_objectives = True
    params: ExternalParams

    def __init__(self, params: ExternalParams, context: SearchContext) -> None:
        super().__init__(params, replace(context, operators=()))
        self.first_ids: dict[str, int] = {}
        self._proposals: Sequence[Individual] = ()

    @property
    def count(self) -> int:
        """Number of individuals so far; their ids are 0 to ``count - 1``."""
        return self._next_id

    def propose(self, proposals: Sequence[Individual]) -> list[Individual]:
        """Return proposals as one generation of this run; those that lie outside the space have failed.

        Args:
            proposals: at least one. Genome, parents (ids of this run) and operators are copied from each. A proposal
                without parents is a founder if its genome is one of the run's founders; otherwise it keeps the
                operators ``random`` and ``proposed`` and gets ``proposed`` in the place of all others.
        """
        self._proposals = proposals
        return self.ask()

    def withdraw(self) -> None:
        """Forget the pending generation, whose evaluation was interrupted."""
        self.forget(self._next_id - len(self._pending))
        self._pending.clear()
        if self._next_id > 0:
            self.generation -= 1

    def forget(self, count: int) -> None:
        """Forget all individuals but the first ``count``."""
        self._next_id = count
        self.first_ids = {digest: id for digest, id in self.first_ids.items() if id < count}

    def adopt(self, generation: int, individuals: Sequence[Individual]) -> None:
        """Make individuals that an earlier process numbered the pending generation.

        Args:
            generation: number of the generation.
            individuals: all individuals of the generation, at least one, with their ids.
        """
        self.generation = generation
        self._next_id = max(individual.id for individual in individuals) + 1
        for individual in individuals:
            self._pending[individual.id] = individual
            self.first_ids.setdefault(individual.digest, individual.id)
        self._told = []

    def first(self) -> list[Individual]:
        """Return the first proposals."""
        return [self._numbered(proposal) for proposal in self._proposals]

    def next(self, told: list[Individual]) -> list[Individual]:
        """Return the next proposals; they do not depend on the results of earlier ones."""
        return self.first()

    def _numbered(self, proposal: Individual) -> Individual:
        label = self.context.labels.get(proposal.digest)
        operators = proposal.operators or (label or PROPOSED,)
        if label is None and not proposal.parents and operators not in NOT_FOUNDERS:
            operators = (PROPOSED,)  # its parents are not individuals of this run
        individual = self.make(proposal.genome, operators=operators)
        individual.parents, individual.parent_standing = proposal.parents, proposal.parent_standing
        self.first_ids.setdefault(individual.digest, individual.id)
        if reason := self.context.space.outside(individual.genome):
            individual.fail(reason)
        return individual

    def extra_state(self) -> dict[str, Any]:
        """Return nothing: an objective restores its state from the journal."""
        return {}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Read nothing."""
