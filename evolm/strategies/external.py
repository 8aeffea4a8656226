"""The strategy that has none: a generation is what somebody else proposes.

It numbers proposals as individuals of the run. It is in no catalogue, since nobody can ask for it: a run has it when
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
    """Nothing to set."""


class ExternalStrategy(Strategy):
    """Takes proposals; it draws no random number and applies no operator."""

    Params = ExternalParams
    params: ExternalParams

    def __init__(self, params: ExternalParams, search: SearchContext) -> None:
        super().__init__(params, replace(search, operators=()))
        self.first_ids: dict[str, int] = {}  # digest -> the first individual that had it
        self._proposals: Sequence[Individual] = ()

    @property
    def count(self) -> int:
        """Individuals so far; their ids are the numbers below."""
        return self._next_id

    def propose(self, proposals: Sequence[Individual]) -> list[Individual]:
        """Return proposals as a generation of this run; those that lie outside the space have failed.

        Args:
            proposals: at least one. Their genomes, parents (ids of this run) and operators are taken. One without
                parents is a founder, if the run has such a one; otherwise it was drawn or counts as proposed,
                whatever operators are said to have made it.
        """
        self._proposals = proposals
        return self.ask()

    def withdraw(self) -> None:
        """Forget the generation that waits, which was interrupted."""
        self.forget(self._next_id - len(self._pending))
        self._pending.clear()
        self.generation -= self._next_id > 0

    def forget(self, count: int) -> None:
        """Forget all individuals but the first ``count``."""
        self._next_id = count
        self.first_ids = {digest: id for digest, id in self.first_ids.items() if id < count}

    def adopt(self, generation: int, individuals: Sequence[Individual]) -> None:
        """Take individuals that an earlier process numbered, as a generation that waits to be told."""
        self.generation = generation
        self._next_id = max(individual.id for individual in individuals) + 1
        for individual in individuals:
            self._pending[individual.id] = individual
            self.first_ids.setdefault(individual.digest, individual.id)
        self._told = []

    def first(self) -> list[Individual]:
        """The first proposals."""
        return [self._numbered(proposal) for proposal in self._proposals]

    def next(self, told: list[Individual]) -> list[Individual]:
        """The next proposals, whatever became of earlier ones."""
        return self.first()

    def _numbered(self, proposal: Individual) -> Individual:
        label = self.search.labels.get(proposal.digest)
        operators = proposal.operators or (label or PROPOSED,)
        if label is None and not proposal.parents and operators not in NOT_FOUNDERS:
            operators = (PROPOSED,)  # of parents that are not of this run
        individual = self.make(proposal.genome, operators=operators)
        individual.parents, individual.parent_fitness = proposal.parents, proposal.parent_fitness
        self.first_ids.setdefault(individual.digest, individual.id)
        if reason := self.search.space.outside(individual.genome):
            individual.fail(reason)
        return individual

    def extra_state(self) -> dict[str, Any]:
        """Nothing: an objective's state is its journal."""
        return {}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Nothing."""
