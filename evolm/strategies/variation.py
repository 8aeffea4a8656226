"""Makes children: chooses operators by weight, refuses duplicates, records the operators' success."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evolm.genomes import Genome, Space
from evolm.individual import Individual
from evolm.operators import Family, LearningSettings, ModelAccess, Operator, Rates, VariationContext
from evolm.randomness import Randomness

ROUNDS = 12  # attempts at a new child before a random genome takes its place

# A genome, and the names of the operators that made it.
Child = tuple[Genome, tuple[str, ...]]


class Variation:
    """Applies operators and keeps their rates.

    Args:
        space: children that lie outside of it are refused.
        operators: operators with positive weights.
        randomness: the search's random numbers.
        model_access: how operators ask the model; None if no operator does.
        learning: settings of gradient steps for genomes that have not learnt yet.

    Attributes:
        population: the strategy's individuals, which operators may use beside the parents.
        rates: name of an operator -> its counts.
    """

    def __init__(
        self,
        space: Space,
        operators: Sequence[tuple[Operator, float]],
        randomness: Randomness,
        model_access: ModelAccess | None = None,
        learning: LearningSettings = LearningSettings(),
    ) -> None:
        self.space = space
        self.randomness = randomness
        self.operators = operators
        self.model_access = model_access
        self.learning = learning
        self.population: Sequence[Individual] = ()
        self.rates: dict[str, Rates] = {operator.name: Rates() for operator, _ in operators}

    @property
    def context(self) -> VariationContext:
        """The objects that operators may use."""
        return VariationContext(self.randomness.numpy, self.space, self.model_access, self.population, self.learning)

    def children(
        self,
        families: Sequence[Family],
        seen: Mapping[str, None],
        crossover_prob: float,
        mutation_prob: float,
        learning_prob: float = 0.0,
        replacing: bool = True,
    ) -> list[Child | None]:
        """Return one new child per family, in order.

        A family's first parent is crossed with its second (if it has two) with ``crossover_prob``, mutated with
        ``mutation_prob``, and takes gradient steps with ``learning_prob``; at least one of these happens. A child
        that lies outside the space or was seen before is made again, up to ``ROUNDS`` times; then a random genome
        takes its place. It is None if that was seen before, too, or if no child is to be replaced.

        Args:
            families: one or more evaluated parents each.
            seen: digests that are refused.
            crossover_prob, mutation_prob, learning_prob: probabilities.
            replacing: whether a random genome takes the place of a child that cannot be made.
        """
        children: list[Child | None] = [None] * len(families)
        taken = dict(seen)
        for _ in range(ROUNDS):
            open_places = [index for index, child in enumerate(children) if child is None]
            if not open_places:
                return children
            drafts = self._drafts([families[i] for i in open_places], crossover_prob, mutation_prob, learning_prob)
            for index, (genome, names) in zip(open_places, drafts, strict=True):
                if genome is None or genome.digest in taken or self.space.outside(genome):
                    continue
                for name in names:
                    self.rates[name].accepted += 1
                taken[genome.digest] = None
                children[index] = (genome, names)
        for index, child in enumerate(children):
            if child is None and replacing and (genome := self.random(taken)) is not None:
                taken[genome.digest] = None
                children[index] = (genome, ("random",))
        return children

    def _drafts(
        self, families: Sequence[Family], crossover_prob: float, mutation_prob: float, learning_prob: float
    ) -> list[tuple[Genome | None, tuple[str, ...]]]:
        rng = self.randomness.numpy
        crossed = [len(family) > 1 and rng.random() < crossover_prob for family in families]
        learning = [rng.random() < learning_prob for _ in families] if learning_prob else [False] * len(families)
        mutated = [rng.random() < mutation_prob or not (crossed[i] or learning[i]) for i in range(len(families))]
        drafts: list[tuple[Genome | None, tuple[str, ...]]] = [(family[0].genome, ()) for family in families]
        for role, chosen in (("crossover", crossed), ("mutation", mutated), ("learning", learning)):
            self._apply_role(role, [i for i, use in enumerate(chosen) if use], families, drafts)
        return drafts

    def _apply_role(
        self,
        role: str,
        places: Sequence[int],
        families: Sequence[Family],
        drafts: list[tuple[Genome | None, tuple[str, ...]]],
    ) -> None:
        """Apply one operator of ``role`` to each place's draft, in one call per operator."""
        open_places = [place for place in places if drafts[place][0] is not None]
        choices = [(operator, weight) for operator, weight in self.operators if operator.role == role]
        silent = [(operator, weight) for operator, weight in choices if not operator.asks_model]
        left = self._apply(choices, open_places, families, drafts)
        self._apply(silent, left, families, drafts)

    def _apply(
        self,
        choices: Sequence[tuple[Operator, float]],
        places: Sequence[int],
        families: Sequence[Family],
        drafts: list[tuple[Genome | None, tuple[str, ...]]],
    ) -> list[int]:
        """Make drafts by operators chosen by weight; return the places whose operator got no draft from the model."""
        if not choices or not places:
            return []
        weights = [weight / sum(w for _, w in choices) for _, weight in choices]
        picks = self.randomness.numpy.choice(len(choices), size=len(places), p=weights)
        left = []
        for index, (operator, _) in enumerate(choices):
            mine = [place for place, pick in zip(places, picks, strict=True) if pick == index]
            if not mine:
                continue
            self.rates[operator.name].tried += len(mine)
            parents = [self._with_draft(families[place], drafts[place][0]) for place in mine]
            for place, genome in zip(mine, operator.vary(parents, self.context), strict=True):
                if genome is None and operator.asks_model:
                    self.rates[operator.name].fallback += 1
                    left.append(place)
                else:
                    drafts[place] = (genome, (*drafts[place][1], operator.name))
        return left

    @staticmethod
    def _with_draft(family: Family, draft: Genome | None) -> Family:
        """Return the family with the draft of an earlier operator in the place of its first parent."""
        first = family[0]
        if draft is None or draft is first.genome:
            return family
        return (Individual(first.id, draft, first.generation), *family[1:])

    def random(self, seen: Mapping[str, None]) -> Genome | None:
        """Return a random genome that was not seen before, or None if many draws find none."""
        for _ in range(20 * ROUNDS):
            genome = self.space.random(self.randomness.numpy)
            if genome.digest not in seen and not self.space.outside(genome):
                return genome
        return None

    def credit(self, individuals: Sequence[Individual]) -> None:
        """Count for each operator its evaluated children, and those that beat the best of their parents."""
        for individual in individuals:
            for name in individual.operators:
                if name in self.rates:
                    self.rates[name].evaluated += 1
                    self.rates[name].better += individual.better_than_parents

    def state_dict(self) -> dict[str, Any]:
        """Return the rates as JSON values."""
        return {name: rates.to_record() for name, rates in self.rates.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Read back :meth:`state_dict`."""
        self.rates = {name: Rates(**state.get(name, {})) for name in self.rates}
