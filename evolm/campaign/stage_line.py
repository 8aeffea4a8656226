"""The main search's way through its stages: where it stands, how the next one begins, and its state."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from evolm.archives import BestFound
from evolm.campaign.build import Components
from evolm.campaign.search import Search
from evolm.campaign.stages import Stage
from evolm.config import BudgetSection
from evolm.genomes import Genome
from evolm.individual import Individual
from evolm.strategies import Start


class StageLine:
    """Leads the main search from one stage to the next.

    Args:
        parts: the campaign's objects.
        search: the main search, in its first stage.

    Attributes:
        index: of the current stage.
    """

    def __init__(self, parts: Components, search: Search) -> None:
        self.parts = parts
        self.search = search
        self.index = 0
        self._start = Start()

    @property
    def stage(self) -> Stage:
        """The current stage."""
        return self.parts.stages[self.index]

    @property
    def budget(self) -> BudgetSection:
        """The limits at which the current stage ends."""
        return self.stage.budget(self.parts.config.budget)

    @property
    def is_last(self) -> bool:
        """Whether no stage comes after the current one."""
        return self.index == len(self.parts.stages) - 1

    @property
    def title(self) -> str:
        """The current stage in words, like ``"stage 2 of 3 (delta)"``; ``""`` if there is only one."""
        count = len(self.parts.stages)
        return f"stage {self.index + 1} of {count} ({self.stage.name})" if count > 1 else ""

    def advance(self) -> None:
        """Begin the next stage with the best individuals of those before."""
        archive = self.search.archive
        best = archive.ranked if isinstance(archive, BestFound) else archive.finalists
        self._enter(self.index + 1, self.search.strategy.start_of_next(best))

    def _enter(self, index: int, start: Start) -> None:
        self.index, self._start = index, self._reread(self.parts.stages[index], start)
        self.search.enter(self.parts.stage_strategy(index, self._start), self.stage.rules)

    def _reread(self, stage: Stage, start: Start) -> Start:
        """Return where a stage begins, some evaluated individuals given, the best first."""
        chosen: dict[str, tuple[Genome, Individual]] = {}
        for individual in start.individuals:
            genome = stage.begun_with(individual.genome, self.parts.space)
            chosen.setdefault(genome.digest, (genome, individual))
        pairs = list(chosen.values())[: stage.founders]
        known = [individual for genome, individual in pairs if genome.digest == individual.digest]
        others = [(genome, individual) for genome, individual in pairs if genome.digest != individual.digest]
        unseen = [digest for digest in start.seen if digest not in {genome.digest for genome, _ in others}]
        return replace(start, individuals=known, seen=unseen, reread=others)

    @property
    def _founders(self) -> list[Individual]:
        return [*self._start.individuals, *(individual for _, individual in self._start.reread)]

    def entry(self) -> dict[str, Any]:
        """Return the journal's entry of the current stage's beginning."""
        return {
            "type": "stage",
            "search": self.search.name,
            "stage": self.index + 1,
            "name": self.stage.name,
            "evaluations": self.search.ledger.evaluations,
            "founders": [individual.id for individual in self._founders],
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the current stage and where it began: JSON values and arrays."""
        return {
            "index": self.index,
            "founders": [individual.state_dict() for individual in self._founders],
            "next_id": self._start.next_id,
            "generation": self._start.generation,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put the search into the stage of :meth:`state_dict`; its own state is read back afterwards."""
        if state["index"]:
            founders = tuple(Individual.from_state(founder) for founder in state["founders"])
            self._enter(state["index"], Start(founders, state["next_id"], state["generation"]))
