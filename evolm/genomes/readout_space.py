"""The space of readouts: which kinds, layers, poolings and strengths may be tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from evolm.config import ReadoutSpaceSection
from evolm.errors import ConfigError, GenomeError, nearest
from evolm.genomes.phenotype import Phenotype
from evolm.genomes.readout import AUTO, Readout
from evolm.genomes.space import ChromosomeSpace
from evolm.genomes.variables import ChoiceCoding, Variable
from evolm.models.contract import require_local
from evolm.readout_kinds import KINDS_OF_READOUTS
from evolm.tasks import KINDS, Task
from evolm.wording import listed

if TYPE_CHECKING:
    from evolm.models import Model

LAYERS = 5  # that "auto" reads
LOWEST, HIGHEST = 0.5, 0.9  # of the layers: between which "auto" reads; what a pass leaves out above costs nothing
GENES = ("kind", "layer", "pooling", "strength")
LEFT_OPEN = {"layer": 0, "pooling": AUTO, "strength": 0.0}  # values of genes that are left open


@dataclass(frozen=True)
class ReadoutSpace(ChromosomeSpace):
    """How labels may be read off the model: by their words, or by a map that is fitted on train rows.

    Attributes:
        kinds: of readouts, the founders' first.
        layers: whose states a probe may read, ascending.
        poolings: that may be tried.
        strengths: 0 = the fit chooses, and others that may be tried.
        rows: most train rows that are fitted on.
    """

    kinds: tuple[str, ...]
    layers: tuple[int, ...]
    poolings: tuple[str, ...]
    strengths: tuple[float, ...]
    rows: int

    Params = ReadoutSpaceSection
    chromosome = Readout

    @classmethod
    def build(cls, params: ReadoutSpaceSection, task: Task, model: Model) -> ReadoutSpace:
        """Return the space that ``[space.readout]`` describes.

        Raises:
            ConfigError: if a kind is unknown or does not fit the task, or the model has no such layer.
        """
        for kind in params.kinds:
            _check_kind(kind, task)
            if KINDS_OF_READOUTS[kind].states:
                require_local(model, f"space.readout.kinds: {kind!r}")
        if any(strength <= 0 for strength in params.strengths):
            raise ConfigError(f"space.readout.strengths: expected numbers above 0, found {list(params.strengths)}")
        return cls(
            kinds=tuple(dict.fromkeys(params.kinds)),
            layers=_layers(params.layers, model.layers) if model.layers else (),
            poolings=tuple(dict.fromkeys(params.poolings)),
            strengths=(0.0, *dict.fromkeys(params.strengths)),
            rows=params.rows,
        )

    @classmethod
    def around(cls, readout: Readout) -> ReadoutSpace:
        """Return the space of a single readout."""
        return cls((readout.kind,), readout.layers, (readout.pooling,), (0.0, readout.strength), readout.rows)

    def readout(self, kind: str, layer: int = 0, pooling: str = AUTO, strength: float = 0.0) -> Readout:
        """Return the readout of some genes; those that its kind does not have are left open."""
        genes = KINDS_OF_READOUTS[kind]
        if genes.states and len(self.layers) == 1:
            layer = self.layers[0]
        if genes.states and len(self.poolings) == 1:
            pooling = self.poolings[0]
        return Readout(
            kind,
            layer if genes.states else 0,
            pooling if genes.states else AUTO,
            strength if genes.strength else 0.0,
            self.layers if genes.states else (),
            self.rows,
        )

    def choices(self, gene: str) -> tuple[Any, ...]:
        """Return the values that a gene may have."""
        kinds = [KINDS_OF_READOUTS[kind] for kind in self.kinds]
        if gene != "kind" and not any(kind.strength if gene == "strength" else kind.states for kind in kinds):
            return (LEFT_OPEN[gene],)
        choices: dict[str, tuple[Any, ...]] = {
            "kind": self.kinds,
            "layer": (0, *self.layers) if len(self.layers) > 1 else self.layers,
            "pooling": (AUTO, *self.poolings) if len(self.poolings) > 1 else self.poolings,
            "strength": self.strengths,
        }
        return choices[gene]

    def of_values(self, values: Mapping[str, Any]) -> Readout:
        """Return the readout of a value for each gene."""
        return self.readout(values["kind"], values["layer"], values["pooling"], values["strength"])

    def random(self, rng: np.random.Generator) -> Readout:
        """Draw a value for each gene; half of the draws leave a gene open that may be left open."""
        return self.of_values({gene: self._drawn(rng, gene) for gene in GENES})

    def _drawn(self, rng: np.random.Generator, gene: str) -> Any:
        choices = self.choices(gene)
        is_open, index = rng.random() < 0.5, int(rng.integers(len(choices)))
        return LEFT_OPEN[gene] if is_open and LEFT_OPEN.get(gene) in choices else choices[index]

    def neutral(self) -> Readout:
        """Return the first kind, with every other gene left open."""
        return self.readout(self.kinds[0])

    def outside(self, chromosome: Readout) -> str:
        """Return why a readout must not be tried, or ``""``."""
        for gene in GENES:
            value = getattr(chromosome, gene)
            if value not in self.choices(gene) and value != LEFT_OPEN.get(gene):
                return f"readout with {gene} {value!r}, expected one of {list(self.choices(gene))}"
        return self.foreign(chromosome)

    def foreign(self, chromosome: Readout) -> str:
        """Return why a readout can only belong to another space, or ``""``."""
        known = KINDS_OF_READOUTS.get(chromosome.kind)
        wanted = self.layers if known and known.states else ()
        if chromosome.refit:
            return "a readout that was fitted on all rows"
        if chromosome.layers != wanted or chromosome.rows != self.rows:
            return (
                f"readout {chromosome.kind!r} of layers {list(chromosome.layers)} fitted on {chromosome.rows} rows, "
                f"expected layers {list(wanted)} and {self.rows} rows"
            )
        return ""

    def express(self, chromosome: Readout, phenotype: Phenotype) -> Phenotype:
        """Read labels in this way."""
        return replace(phenotype, readout=chromosome)

    def coding(self, founders: Sequence[Readout]) -> ReadoutCoding:
        """Return the choices that a readout consists of."""
        return ReadoutCoding(self)

    def founder(self, record: Mapping[str, Any], rng: np.random.Generator, where: str) -> Readout:
        """Read a founder's readout from a file or a run: ``kind``, and ``layer``, ``pooling``, ``strength`` if given.

        Raises:
            GenomeError: if the record is damaged or lies outside this space.
        """
        known = set(Readout().to_record())
        for key in record:
            if key not in known:
                raise GenomeError(
                    f"{where}: expected keys of a readout ({listed(sorted(known))}), found "
                    f"{key!r}{nearest(key, known)}"
                )
        kind = record.get("kind", self.kinds[0])
        if kind not in KINDS_OF_READOUTS:
            raise GenomeError(f"{where}: expected a readout among {listed(KINDS_OF_READOUTS)}, found {kind!r}")
        try:
            made = self.readout(
                kind,
                int(record.get("layer", 0)),
                str(record.get("pooling", AUTO)),
                float(record.get("strength", 0.0)),
            )
        except (TypeError, ValueError) as error:
            raise GenomeError(f"{where}: a readout's record is damaged: {error}") from None
        if reason := self.outside(made):
            raise GenomeError(f"{where}: {reason}")
        return made

    def describe(self) -> dict[str, Any]:
        """Return the table ``[space.readout]`` as it applies to model and task."""
        kinds = [KINDS_OF_READOUTS[kind] for kind in self.kinds]
        states = {"layers": list(self.layers), "poolings": list(self.poolings)}
        return {
            "kinds": list(self.kinds),
            **(states if any(kind.states for kind in kinds) else {}),
            **({"strengths": list(self.strengths[1:])} if any(kind.strength for kind in kinds) else {}),
            **({"rows": self.rows} if any(kind.fitted for kind in kinds) else {}),
        }


class ReadoutCoding(ChoiceCoding):
    """The variables of a space of readouts; a choice of one is no variable.

    Args:
        space: whose readouts are coded.
    """

    def __init__(self, space: ReadoutSpace) -> None:
        self._space = space
        super().__init__([Variable(gene, space.choices(gene)) for gene in GENES if len(space.choices(gene)) > 1])

    def chromosome(self, values: Sequence[Any]) -> Readout:
        """Return the readout of the variables' values."""
        given = iter(values)
        return self._space.of_values(
            {
                gene: next(given) if len(self._space.choices(gene)) > 1 else self._space.choices(gene)[0]
                for gene in GENES
            }
        )

    def values(self, chromosome: Readout) -> list[Any]:
        """Return the variables' values of a readout."""
        return [getattr(chromosome, variable.name) for variable in self.variables]


def _check_kind(kind: str, task: Task) -> None:
    if KINDS[task.kind].open:
        raise ConfigError(f"space.readout: expected a task with labels or options, found a {task.kind} task")
    known = KINDS_OF_READOUTS.get(kind)
    if known is None:
        raise ConfigError(
            f"space.readout.kinds: expected some of {listed(KINDS_OF_READOUTS)}, found {kind!r}"
            f"{nearest(kind, KINDS_OF_READOUTS)}"
        )
    if known.labels and not task.labels:
        raise ConfigError(f"space.readout.kinds: {kind!r} expected a task with labels, found a {task.kind} task")
    if known.gold and not task.demonstrable:
        raise ConfigError(f"space.readout.kinds: {kind!r} expected train rows with gold labels, found none")
    if known.gold and task.labels and len(task.taught_labels) < 2:
        raise ConfigError(
            f"space.readout.kinds: {kind!r} expected train rows of at least two labels, found "
            f"{len(task.taught_labels)}; raise task.split.train"
        )


def auto_layers(count: int) -> tuple[int, ...]:
    """Return the layers that ``"auto"`` reads of a model with ``count`` layers, ascending."""
    return tuple(
        sorted({round(layer) for layer in np.linspace(max(count * LOWEST, 1), max(count * HIGHEST, 1), LAYERS)})
    )


def _layers(wanted: str | Sequence[int], count: int) -> tuple[int, ...]:
    if isinstance(wanted, str):
        return auto_layers(count)
    for layer in wanted:
        if not 1 <= layer <= count:
            raise ConfigError(f"space.readout.layers: expected layers from 1 to {count}, found {layer}")
    if not wanted:
        raise ConfigError(f"space.readout.layers: expected 'auto' or layers from 1 to {count}, found none")
    return tuple(sorted(set(wanted)))
