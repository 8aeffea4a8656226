"""The contract of strategies: the caller asks for individuals, evaluates them and tells the strategy.

The strategy
- decides which genomes are tried next; it never scores one and reads no clock;
- returns new individuals from ``ask``, without fitness, each genome at most once;
- accepts evaluated, failed and dropped individuals in ``tell``, in any order and in any subsets. It matches them by
  id. Fitness is always maximised;
- begins a generation when every individual of the last one has been told, or, if generations overlap, of one a fixed
  number of generations before; it sorts these by id first, so that the order of telling decides nothing;
- draws every random number from its :class:`~evolm.randomness.Randomness`;
- keeps plain state (JSON values and arrays) that holds everything that decides what comes next: after
  ``load_state_dict`` it asks for exactly the individuals it would have asked for without the interruption.

The caller evaluates an individual by ``accept``, ``fail`` or ``drop`` and changes nothing else about it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import BaseModel

from evolm.genomes import Genome, Space
from evolm.individual import REREAD, Individual
from evolm.operators import Family, LearningSettings, ModelAccess, Operator
from evolm.randomness import Randomness
from evolm.strategies.variation import Variation
from evolm.wording import listed


@dataclass(frozen=True)
class Start:
    """What a strategy continues if it begins where another one ended.

    Attributes:
        individuals: the founders, evaluated, the best first. They are the same individuals: neither numbered nor
            evaluated again.
        next_id: id of the next individual.
        generation: number of the first generation.
        seen: digests of genomes that are not tried again.
        reread: founders that are evaluated anew, since they are read or shown in another way than the evaluated
            individuals beside them, of which they are children.
    """

    individuals: Sequence[Individual] = ()
    next_id: int = 0
    generation: int = 0
    seen: Collection[str] = ()
    reread: Sequence[tuple[Genome, Individual]] = ()

    @property
    def genomes(self) -> list[Genome]:
        """All founders, those that are known first."""
        return [*(each.genome for each in self.individuals), *(genome for genome, _ in self.reread)]


@dataclass
class SearchContext:
    """The space that a strategy searches, and its means.

    Attributes:
        space: the space of genomes; draws random ones and says which lie outside.
        founders: the first genomes.
        operators: operators with their weights, which are positive.
        seed: seed of this search.
        labels: digest of a founder -> its source, which stands in the place of an operator's name.
        model_access: how operators ask the model; None if no operator does.
        start: where the search begins, if another strategy went before.
    """

    space: Space
    founders: Sequence[Genome]
    operators: Sequence[tuple[Operator, float]]
    seed: int
    labels: dict[str, str] = field(default_factory=dict)
    model_access: ModelAccess | None = None
    start: Start = Start()


class Strategy(ABC):
    """Base of all strategies: numbers individuals, keeps pending ones, refuses duplicates, counts operators' rates.

    A subclass implements :meth:`first`, :meth:`next`, :meth:`extra_state` and :meth:`load_extra_state`.

    Args:
        params: the strategy's own ``Params``.
        context: what is searched, and with what.
    """

    Params: ClassVar[type[BaseModel]]
    accepts_partial: ClassVar[bool] = False  # whether a race may drop individuals before all items are scored
    many_objectives: ClassVar[bool] = False  # whether it searches a front of several objectives
    any_objectives: ClassVar[bool] = False  # whether it works with one objective and with several
    can_diverge: ClassVar[bool] = False  # whether a generation begins where the last one ended, be it good or bad
    learns: ClassVar[bool] = False  # whether it takes gradient steps
    learns_by: ClassVar[str] = ""  # the only operator that it learns by; "" = those with a weight
    needs: ClassVar[tuple[str, ...]] = ()  # kinds of chromosomes that must evolve
    searches: ClassVar[tuple[str, ...]] = ()  # the only kinds of chromosomes that it can search; () = any

    def __init__(self, params: Any, context: SearchContext) -> None:
        self.params = params
        self.context = context
        self.randomness = Randomness(context.seed)
        self.variation = Variation(
            context.space, context.operators, self.randomness, context.model_access, self.learning_settings()
        )
        self.generation = context.start.generation
        self.seen: dict[str, None] = dict.fromkeys(context.start.seen)
        self._next_id = context.start.next_id
        # Founders that were evaluated before, until they are returned as part of the first generation
        self._known = {individual.digest: individual for individual in context.start.individuals}
        self._queue: list[Individual] = []  # of this generation, not asked for yet
        self._pending: dict[int, Individual] = {}  # id -> individual, asked for and not told
        self._told: list[Individual] = []  # evaluated, and not taken by a next generation yet

    # -- what a subclass implements ------------------------------------------------------------------------

    @abstractmethod
    def first(self) -> list[Individual]:
        """Return the first generation."""

    @abstractmethod
    def next(self, told: list[Individual]) -> list[Individual]:
        """Take a whole generation, sorted by id, and return the next one; empty = no new genome is left to try."""

    @abstractmethod
    def extra_state(self) -> dict[str, Any]:
        """Return the subclass's own part of the state: JSON values and arrays."""

    @abstractmethod
    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Read back :meth:`extra_state`."""

    def incumbent(self, individual: Individual, best: Individual | None) -> Individual | None:
        """Return the individual that ``individual`` must beat to survive.

        A race drops ``individual`` early once it is certain to be worse: the strategy's next generations must not
        depend on how much worse it is.

        Args:
            individual: a pending individual.
            best: the best evaluated individual of the search so far; None if there is none.

        Returns:
            An evaluated individual; None if ``individual`` survives whatever its fitness is.
        """
        return None

    @property
    def overlap(self) -> int:
        """Generations that may be asked for before one is told, beyond the one that follows it."""
        return 0

    @classmethod
    def refuses_partial(cls, params: Any) -> str:
        """Return why individuals must not be dropped early under these parameters; ``""`` if they may."""
        return "" if cls.accepts_partial else "it learns from the fitness of every individual"

    @classmethod
    def refuses_space(cls, evolving: Collection[str]) -> str:
        """Return why the strategy cannot search a space, or ``""``.

        Args:
            evolving: kinds of chromosomes that evolve.
        """
        if missing := [kind for kind in cls.needs if kind not in evolving]:
            return f"it needs [space.{missing[0]}]"
        if cls.searches and (others := [kind for kind in evolving if kind not in cls.searches]):
            return f"it searches {listed(cls.searches)} alone, not {listed(others)}"
        return ""

    def learning_settings(self) -> LearningSettings:
        """Return the settings of gradient steps for genomes that have not learnt yet."""
        return LearningSettings()

    # -- ask and tell --------------------------------------------------------------------------------------

    def ask(self, n: int | None = None) -> list[Individual]:
        """Return up to ``n`` individuals without fitness; by default all that are left of the generation.

        An empty list means that pending individuals have to be told first or, if none is pending, that the search
        has no new genome left.
        """
        due = self._due
        if not self._queue and all(individual.generation > due for individual in self._pending.values()):
            self._queue = self._next_generation(due)
        count = len(self._queue) if n is None else n
        asked, self._queue = self._queue[:count], self._queue[count:]
        self._pending.update((individual.id, individual) for individual in asked)
        return asked

    def _next_generation(self, due: int) -> list[Individual]:
        if not self._begun:
            known = {individual.id for individual in self._known.values()}
            first = self.first()
            self._told = [individual for individual in first if individual.id in known]
            if len(self._told) < len(first) or not first:
                return [individual for individual in first if individual.id not in known]
        else:
            self.generation += 1
        told = sorted(self._told, key=lambda individual: individual.id)
        self._told = [individual for individual in told if individual.generation > due]
        return self.next([individual for individual in told if individual.generation <= due])

    @property
    def _due(self) -> int:
        """Number of the last generation that must be told before the next one begins."""
        return max(self.generation - self.overlap, self.context.start.generation)

    @property
    def _begun(self) -> bool:
        """Whether the first generation was made."""
        start = self.context.start
        return self._next_id > start.next_id or len(self._known) < len(start.individuals)

    def tell(self, individuals: Sequence[Individual]) -> None:
        """Take evaluated, failed or dropped individuals that were asked for, in any order and any number.

        Raises:
            ValueError: if one of them was not asked for, was told before, or has not been evaluated.
        """
        for individual in individuals:
            if individual.id not in self._pending:
                raise ValueError(
                    f"individual {individual.id} is not pending: it was not asked for, or it was told before"
                )
            if individual.status == "new":
                raise ValueError(f"individual {individual.id} has neither a fitness nor a failure")
            del self._pending[individual.id]
            self._told.append(individual)
        self.variation.credit(individuals)

    @property
    def pending(self) -> dict[int, Individual]:
        """Individuals that were asked for and not told: id -> individual, in the order of asking."""
        return dict(self._pending)

    def waits_for(self, individual: Individual) -> bool:
        """Return whether this very object was returned by :meth:`ask` and has not been told yet."""
        return self._pending.get(individual.id) is individual

    def make(self, genome: Any, parents: Sequence[Individual] = (), operators: Sequence[str] = ()) -> Individual:
        """Return a genome as a new individual of this generation: numbered, and marked as seen.

        Args:
            genome: what it inherits.
            parents: evaluated individuals that it was made from.
            operators: names of the operators that made it, in order.
        """
        standings = [parent.fitness.standing for parent in parents if parent.fitness.valid]
        individual = Individual(
            id=self._next_id,
            genome=genome,
            generation=self.generation,
            parents=tuple(dict.fromkeys(parent.id for parent in parents)),
            operators=tuple(operators),
            parent_standing=max(standings) if standings else None,
        )
        self._next_id += 1
        self.seen[genome.digest] = None
        return individual

    def founders(self, size: int) -> list[Individual]:
        """Return all founders that were not seen before, then random genomes until there are ``size`` individuals.

        Founders that were evaluated before are returned once, as they are.
        """
        made: list[Individual] = []
        parents = {genome.digest: individual for genome, individual in self.context.start.reread}
        for genome in self.context.founders:
            if genome.digest in self._known:
                made.append(self._known.pop(genome.digest))
            elif genome.digest in self.seen:
                continue
            elif genome.digest in parents:
                made.append(self.make(genome, [parents[genome.digest]], [REREAD]))
            else:
                made.append(self.make(genome, operators=(self.context.labels.get(genome.digest, "founder"),)))
        return made + self.randoms(size - len(made))

    def randoms(self, count: int) -> list[Individual]:
        """Return ``count`` random genomes that were not seen before; fewer if random draws find no more."""
        made: list[Individual] = []
        while len(made) < count and (genome := self.variation.random(self.seen)) is not None:
            made.append(self.make(genome, operators=("random",)))
        return made

    def offspring(
        self,
        families: Sequence[Family],
        crossover_prob: float,
        mutation_prob: float,
        learning_prob: float = 0.0,
        replacing: bool = True,
    ) -> list[Individual]:
        """Return one new child per family, in order; fewer if no new genome is found (see ``Variation.children``)."""
        children = self.variation.children(
            families, self.seen, crossover_prob, mutation_prob, learning_prob, replacing
        )
        return [
            self.make(child[0], () if child[1] == ("random",) else family, child[1])
            for family, child in zip(families, children, strict=True)
            if child is not None
        ]

    # -- state ---------------------------------------------------------------------------------------------

    def start_of_next(self, individuals: Sequence[Individual]) -> Start:
        """Return where another strategy begins that continues this one with some of its evaluated individuals."""
        return Start(tuple(individuals), self._next_id, self.generation + 1, tuple(self.seen))

    def state_dict(self) -> dict[str, Any]:
        """Return everything that decides what comes next: JSON values and arrays."""
        return {
            "generation": self.generation,
            "next_id": self._next_id,
            "seen": list(self.seen),
            "queue": [individual.state_dict() for individual in self._queue],
            "pending": [individual.state_dict() for individual in self._pending.values()],
            "told": [individual.state_dict() for individual in self._told],
            "randomness": self.randomness.state_dict(),
            "rates": self.variation.state_dict(),
            "extra": self.extra_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from the state that :meth:`state_dict` returned."""
        self.generation = state["generation"]
        self._next_id = state["next_id"]
        if self._next_id > self.context.start.next_id:
            self._known = {}
        self.seen = dict.fromkeys(state["seen"])
        self._queue = [Individual.from_state(s) for s in state["queue"]]
        self._pending = {s["id"]: Individual.from_state(s) for s in state["pending"]}
        self._told = [Individual.from_state(s) for s in state["told"]]
        self.randomness.load_state_dict(state["randomness"])
        self.variation.load_state_dict(state["rates"])
        self.load_extra_state(state["extra"])
