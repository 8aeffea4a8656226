"""Individuals: a genome with its fitness and its lineage, in the form that DEAP handles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evolm.fitness import Fitness, fitness_class
from evolm.genomes import Genome, from_record

PROPOSED = "proposed"  # operator of an individual that another optimizer proposed
REREAD = "reread"  # operator of a stage's founder that is read or shown in another way than its parent
NOT_FOUNDERS = (("random",), (PROPOSED,))  # operators of parentless individuals that are not founders


def is_founder(parents: Sequence[int], operators: Sequence[str]) -> bool:
    """Return whether an individual is a founder: it has no parents and was neither drawn at random nor proposed.

    Args:
        parents: ids of its parents.
        operators: names of the operators that made it.
    """
    return not parents and tuple(operators) not in NOT_FOUNDERS


@dataclass(eq=False)
class Individual:
    """A genome, its fitness and its lineage.

    DEAP's ``creator`` classes break in workers, so this is evolm's own class; individuals never cross a process.
    Individuals compare by identity; DEAP's archives compare them by digest (:func:`same_genome`).

    Attributes:
        id: number in the order of asking, unique within a search.
        genome: the genome.
        generation: the generation that it was asked in.
        parents: ids of its parents.
        operators: names of the operators that made it, in order.
        parent_standing: best standing among its parents, see :attr:`Fitness.standing`.
        fitness: invalid until evaluated, and if the evaluation failed.
        status: ``"new"``, ``"evaluated"``, ``"failed"``, or ``"dropped"`` before all items were scored.
        reason: why it failed or was dropped.
        items: dev items that were scored for it.
        score: the task's metric on dev.
        cases: ``(n_items,)`` per-item scores, for lexicase selection.
        item_terms: ``(n_items,)`` terms whose mean is the first fitness value, NaN for items on which a dropped one
            was not scored; None if the fitness is no such mean, or not evaluated.
        measures: named numbers for people and archives.
    """

    id: int
    genome: Genome
    generation: int = 0
    parents: tuple[int, ...] = ()
    operators: tuple[str, ...] = ()
    parent_standing: tuple[float, ...] | None = None
    fitness: Fitness = field(default_factory=lambda: fitness_class(1)())
    status: str = "new"
    reason: str = ""
    items: int = 0
    score: float | None = None
    cases: np.ndarray | None = None
    item_terms: np.ndarray | None = None
    measures: dict[str, float] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """The genome's digest."""
        return self.genome.digest

    @property
    def is_founder(self) -> bool:
        """See :func:`is_founder`."""
        return is_founder(self.parents, self.operators)

    def accept(
        self,
        fitness: Sequence[float],
        score: float,
        cases: np.ndarray,
        measures: Mapping[str, float],
        item_terms: np.ndarray | None = None,
        violation: float = 0.0,
    ) -> None:
        """Take an evaluation; a NaN or infinite fitness is refused, since it would poison DEAP's archives."""
        if not np.all(np.isfinite(fitness)):
            self.fail(f"fitness is {tuple(fitness)}")
            return
        self.fitness = fitness_class(len(fitness))(tuple(map(float, fitness)), float(violation))
        self.status, self.reason, self.score = "evaluated", "", float(score)
        self.cases, self.measures, self.item_terms = cases, dict(measures), item_terms

    def accept_from(self, other: Individual) -> None:
        """Take over the outcome of another individual with the same genome."""
        self.fitness, self.status, self.reason, self.items = other.fitness, other.status, other.reason, other.items
        self.score, self.cases, self.item_terms = other.score, other.cases, other.item_terms
        self.measures = dict(other.measures)

    def fail(self, reason: str) -> None:
        """Record that the evaluation failed, and why."""
        self.status, self.reason, self.score = "failed", reason, None
        self.fitness = fitness_class(1)()

    def drop(self, reason: str) -> None:
        """Record that a race dropped it: it has no fitness, and loses to every individual with one."""
        self.fail(reason)
        self.status = "dropped"

    @property
    def better_than_parents(self) -> bool:
        """Whether it beats the best of its parents."""
        return (
            self.fitness.valid and self.parent_standing is not None and self.fitness.standing > self.parent_standing
        )

    def to_record(self) -> dict[str, Any]:
        """Return the journal's entry: JSON values, without per-item scores and arrays of the genome."""
        return {
            "id": self.id,
            "generation": self.generation,
            "parents": list(self.parents),
            "operators": list(self.operators),
            "genome": self.genome.summary(),
            "digest": self.digest,
            "status": self.status,
            "reason": self.reason or None,
            "items": self.items,
            "fitness": list(self.fitness.values) if self.fitness.valid else None,
            "score": self.score,
            "measures": self.measures,
            **({"violation": self.fitness.violation} if self.fitness.violation else {}),
        }

    def state_dict(self) -> dict[str, Any]:
        """Return everything, as JSON values and arrays."""
        parent = None if self.parent_standing is None else list(self.parent_standing)
        own = {"genome": self.genome.to_record(), "parent_standing": parent}
        return {**self.to_record(), **own, "cases": self.cases, "item_terms": self.item_terms}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Individual:
        """Read back :meth:`state_dict`."""
        individual = cls(
            id=state["id"],
            genome=from_record(state["genome"]),
            generation=state["generation"],
            parents=tuple(state["parents"]),
            operators=tuple(state["operators"]),
            parent_standing=None if state["parent_standing"] is None else tuple(state["parent_standing"]),
            status=state["status"],
            reason=state["reason"] or "",
            items=state.get("items", 0),
            score=state["score"],
            cases=state["cases"],
            item_terms=state.get("item_terms"),
            measures=dict(state["measures"]),
        )
        if state["fitness"] is not None:
            individual.fitness = fitness_class(len(state["fitness"]))(
                tuple(state["fitness"]), state.get("violation", 0.0)
            )
        return individual


def same_genome(a: Individual, b: Individual) -> bool:
    """DEAP's ``similar``: whether two individuals carry the same genome."""
    return a.digest == b.digest
