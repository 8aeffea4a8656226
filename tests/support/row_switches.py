"""A chromosome from outside evolm: a switch per train row, which hides the row if a prompt demonstrates it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from evolm.config import Section
from evolm.errors import GenomeError
from evolm.genomes import Arrays, ChoiceCoding, ChromosomeSpace, Phenotype, Variable
from evolm.genomes.chromosome import content_digest
from evolm.models import LanguageModel
from evolm.tasks import Task

NAME = f"{__name__}:RowSwitches"


@dataclass(frozen=True)
class Switches:
    """Which train rows may be shown, in the order of the split."""

    on: tuple[bool, ...]

    @cached_property
    def digest(self) -> str:
        return content_digest(self.on)

    def distance(self, other: Switches) -> float:
        return sum(a != b for a, b in zip(self.on, other.on, strict=True)) / len(self.on)

    def to_record(self) -> dict[str, Any]:
        return {"on": list(self.on)}

    def summary(self) -> dict[str, Any]:
        return self.to_record()

    def arrays(self) -> Arrays:
        return {}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Switches:
        return cls(tuple(record["on"]))

    @classmethod
    def from_summary(cls, summary: Mapping[str, Any], arrays: Arrays) -> Switches:
        return cls.from_record(summary)


class SwitchesParams(Section):
    share: float = Field(0.5, ge=0, le=1, description="rows that a random chromosome shows")


class SwitchesCoding(ChoiceCoding):
    def chromosome(self, values: Sequence[Any]) -> Switches:
        return Switches(tuple(values))

    def values(self, chromosome: Switches) -> Sequence[Any]:
        return chromosome.on


def flip_switch(rng: np.random.Generator, space: RowSwitches, switches: Switches) -> Switches:
    """Flip the switch of a row."""
    place = int(rng.integers(len(switches.on)))
    return Switches(tuple(on != (index == place) for index, on in enumerate(switches.on)))


def mix_switches(rng: np.random.Generator, space: RowSwitches, first: Switches, second: Switches) -> Switches | None:
    """Take each switch from either parent."""
    theirs = rng.random(len(first.on)) < 0.5
    child = Switches(tuple(b if take else a for a, b, take in zip(first.on, second.on, theirs, strict=True)))
    return None if child == first else child


@dataclass(frozen=True)
class RowSwitches(ChromosomeSpace):
    """A switch per train row that can be demonstrated."""

    items: tuple[str, ...]
    share: float

    Params = SwitchesParams
    chromosome = Switches
    mutations: ClassVar = {flip_switch: 1.0}
    crossovers: ClassVar = {mix_switches: 1.0}

    @classmethod
    def build(cls, params: SwitchesParams, task: Task, model: LanguageModel) -> RowSwitches:
        return cls(tuple(item.digest for item in task.demonstrable), params.share)

    def random(self, rng: np.random.Generator) -> Switches:
        return Switches(tuple(bool(draw < self.share) for draw in rng.random(len(self.items))))

    def neutral(self) -> Switches:
        return Switches((True,) * len(self.items))

    def outside(self, chromosome: Switches) -> str:
        return self.foreign(chromosome)

    def foreign(self, chromosome: Switches) -> str:
        found = len(chromosome.on)
        return "" if found == len(self.items) else f"{found} switches, expected {len(self.items)}"

    def express(self, chromosome: Switches, phenotype: Phenotype) -> Phenotype:
        hidden = {item for item, on in zip(self.items, chromosome.on, strict=True) if not on}
        shown = tuple(demo for demo in phenotype.prompt.demonstrations if demo.item not in hidden)
        return replace(phenotype, prompt=replace(phenotype.prompt, demonstrations=shown))

    def coding(self, founders: Sequence[Switches]) -> SwitchesCoding:
        return SwitchesCoding([Variable(f"row_{number}", (False, True)) for number in range(len(self.items))])

    def founder(self, record: Mapping[str, Any], rng: np.random.Generator, where: str) -> Switches:
        found = Switches.from_record(record)
        if reason := self.outside(found):
            raise GenomeError(f"{where}: {reason}")
        return found

    def describe(self) -> dict[str, Any]:
        return {"rows": len(self.items), "share": self.share}
