"""The crossover that combines whole chromosomes of two parents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evolm.genomes import Genome
from evolm.operators.base import DocumentedOperator, Family, Role, VariationContext


@dataclass(frozen=True)
class ChromosomeExchange(DocumentedOperator):
    """Join the first chromosomes of one genome with the last of another; of two, a prompt with another's delta."""

    name: str = "chromosome_exchange"
    role: Role = "crossover"
    chromosome: str = ""
    weight: float = 1.0
    asks_model: bool = False
    needs_gold: bool = False

    def vary(self, families: Sequence[Family], context: VariationContext) -> list[Genome | None]:
        """Return a child per family; None if it would equal a parent."""
        return [self._child(context, family[0].genome, family[1].genome) for family in families]

    def _child(self, context: VariationContext, first: Genome, second: Genome) -> Genome | None:
        kinds = context.space.evolving
        cut = 1 if len(kinds) == 2 else int(context.rng.integers(1, len(kinds)))
        child = Genome({**first.chromosomes, **{kind: second[kind] for kind in kinds[cut:]}})
        return None if child.digest in (first.digest, second.digest) else child


EXCHANGE_OPERATORS = [ChromosomeExchange()]
