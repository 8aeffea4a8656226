"""The space of deltas: which modules may change, and how a vector of genes changes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from evolm.config import DeltaSpaceSection
from evolm.errors import ConfigError, GenomeError, nearest
from evolm.genomes.delta import DeltaGenes
from evolm.genomes.encodings import ENCODINGS, Encoding, Gradients, Plan, checksum
from evolm.genomes.phenotype import Phenotype
from evolm.genomes.space import ChromosomeSpace
from evolm.genomes.variables import Real
from evolm.models.contract import require_local
from evolm.models.deltas import Change, Delta, LowRank, too_large
from evolm.models.structure import Site
from evolm.tasks import Task
from evolm.wording import listed

if TYPE_CHECKING:
    from evolm.models import LanguageModel, Model

REACH = 8.0  # step sizes from zero to either bound


_DEFAULTS = DeltaSpaceSection()


@dataclass(frozen=True)
class DeltaSettings:
    """Everything besides the model that decides what genes stand for.

    Attributes:
        layers: ``"all"``, ``"last:N"``, ``"first:N"`` or indices.
        target_modules: last parts of modules' names, or ``("all-linear",)``.
        rank: of low-rank changes.
        encoding: a row of ``ENCODINGS``.
        dimension: number of genes of ``subspace``.
        sigma: step size of random genes and mutations; 0 = the encoding's own.
        seed: of everything random and fixed.
    """

    layers: str | tuple[int, ...] = _DEFAULTS.layers
    target_modules: tuple[str, ...] = _DEFAULTS.target_modules
    rank: int = _DEFAULTS.rank
    encoding: str = _DEFAULTS.encoding
    dimension: int = _DEFAULTS.dimension
    sigma: float = _DEFAULTS.sigma
    seed: int = _DEFAULTS.seed

    def to_record(self) -> dict[str, Any]:
        """Return JSON values."""
        layers = self.layers if isinstance(self.layers, str) else list(self.layers)
        return {**self.__dict__, "layers": layers, "target_modules": list(self.target_modules)}


@dataclass(frozen=True)
class DeltaSpace(ChromosomeSpace):
    """Changes of some modules of one model.

    Attributes:
        settings: everything besides the model that it is made from.
        sites: the modules that change.
        fingerprint: of the model.
        encoded: genes to changes and back.
        dtype: of the model.
    """

    settings: DeltaSettings
    sites: tuple[Site, ...]
    fingerprint: str
    encoded: Encoding = field(repr=False, compare=False)
    dtype: str = "float32"

    Params = DeltaSpaceSection
    chromosome = DeltaGenes

    @classmethod
    def build(cls, params: DeltaSpaceSection, task: Task, model: Model) -> DeltaSpace:
        """Return the space that ``[space.delta]`` describes; see :meth:`of` for errors."""
        return cls.of(require_local(model, "space.delta"), settings_of(params.model_dump()))

    @classmethod
    def of(cls, model: LanguageModel, settings: DeltaSettings) -> DeltaSpace:
        """Make a space over a model.

        Raises:
            ConfigError: if layers or modules match nothing, or the encoding cannot change them.
        """
        if settings.encoding not in ENCODINGS:
            raise ConfigError(
                f"space.delta.encoding: {settings.encoding!r} is unknown, expected one of {listed(ENCODINGS)}"
                f"{nearest(settings.encoding, ENCODINGS)}"
            )
        if settings.rank < 1 or not settings.sigma >= 0:
            raise ConfigError(
                "space.delta: expected rank of at least 1 and sigma of at least 0, "
                f"found {settings.rank} and {settings.sigma}"
            )
        sites = model.structure.chosen(settings.layers, settings.target_modules)
        plan = Plan(sites, settings.rank, settings.dimension, settings.seed, model.read_weights)
        encoded = ENCODINGS[settings.encoding](plan)
        resolved = replace(settings, sigma=settings.sigma or encoded.step(plan))
        return cls(resolved, sites, model.prepared.fingerprint, encoded, dtype=model.prepared.dtype)

    @property
    def dimension(self) -> int:
        """Number of genes."""
        return int(self.encoded.dimension)

    @property
    def depth(self) -> int:
        """Layers below the first one that changes."""
        return min(site.layer for site in self.sites)

    @property
    def learning_rate(self) -> float:
        """Adam's default learning rate for these genes."""
        return self.encoded.rate()

    @property
    def bounds(self) -> np.ndarray:
        """``(dimension, 2)`` lowest and highest gene, for optimizers that need bounds; evolm's own ignore them."""
        reach = np.float32(REACH * self.settings.sigma)
        return np.tile(np.array([-reach, reach]), (self.dimension, 1))

    @cached_property
    def checksum(self) -> str:
        """Digest of everything random and fixed: it tells when a library draws other numbers."""
        return checksum(self.encoded.fixed())

    @cached_property
    def modules(self) -> list[slice]:
        """The genes of each module; one slice per gene if every gene changes all modules."""
        return self.encoded.modules() or [slice(index, index + 1) for index in range(self.dimension)]

    def describe(self) -> dict[str, Any]:
        """Return settings and sizes."""
        return {
            **self.settings.to_record(),
            "genes": self.dimension,
            "modules": len(self.sites),
            "parameters": int(self.encoded.parameters),
            "bytes_per_genome": 4 * self.dimension,
            "bytes_per_delta": 4 * int(self.encoded.parameters),
            "shared_layers": self.depth,
            "learning_rate": self.learning_rate,
            "checksum": self.checksum,
        }

    # -- chromosomes ---------------------------------------------------------------------------------------

    def changes(self, genes: np.ndarray) -> dict[str, Change]:
        """Return the changes that genes stand for: module -> change.

        Args:
            genes: ``(dimension,)``, or ``(n * dimension,)`` of a soup: see :meth:`soup`.
        """
        each = np.asarray(genes, dtype=np.float32).reshape(-1, self.dimension)
        found = [self.encoded.changes(own) for own in each]
        return found[0] if len(found) == 1 else {name: _mean([own[name] for own in found]) for name in found[0]}

    def soup(self, chromosomes: Sequence[DeltaGenes]) -> DeltaGenes:
        """Return the average of some deltas (Wortsman 2022, https://arxiv.org/abs/2203.05482).

        The average of genes is that of the changes if the encoding is linear. Otherwise the genes stand side by side,
        ``(n * dimension,)``, and the factors of the change are stacked: a rank ``n`` times as high. No search takes
        such genes as a parent.
        """
        genes = [chromosome.genes for chromosome in chromosomes]
        return DeltaGenes(np.mean(genes, axis=0) if self.encoded.linear else np.concatenate(genes))

    def delta(self, chromosome: DeltaGenes) -> Delta | None:
        """Return the change that genes stand for; None if all genes are zero: the model itself."""
        return Delta(self.changes(chromosome.genes), self.depth) if chromosome.genes.any() else None

    def pullback(self, chromosome: DeltaGenes, gradients: Gradients) -> np.ndarray:
        """Return the ``(dimension,)`` gradient of the genes from those of the changes' arrays."""
        return np.asarray(self.encoded.pullback(chromosome.genes, gradients), dtype=np.float32)

    def express(self, chromosome: DeltaGenes, phenotype: Phenotype) -> Phenotype:
        """Change the model."""
        return replace(phenotype, delta=self.delta(chromosome))

    def neutral(self) -> DeltaGenes:
        """Return genes of zero."""
        return DeltaGenes(np.zeros(self.dimension, np.float32))

    def random(self, rng: np.random.Generator) -> DeltaGenes:
        """Draw genes ~ N(0, sigma^2)."""
        return DeltaGenes(self.settings.sigma * rng.standard_normal(self.dimension, dtype=np.float32))

    def coding(self, founders: Sequence[DeltaGenes]) -> DeltaCoding:
        """Return a real number for each gene."""
        return DeltaCoding(self)

    def foreign(self, chromosome: DeltaGenes) -> str:
        """Return why genes are not of this space, or ``""``."""
        if chromosome.genes.shape != (self.dimension,):
            return f"{chromosome.genes.size} genes, expected {self.dimension} (space.delta)"
        return _not_finite(chromosome.genes)

    def outside(self, chromosome: DeltaGenes) -> str:
        """Return why genes are not of this space, or change more than the model's numbers can hold; or ``""``."""
        return self.foreign(chromosome) or self._too_large(chromosome)

    def unusable(self, chromosome: DeltaGenes) -> str:
        """Return why the model cannot be changed by some genes, which may be those of a soup, or ``""``."""
        size, fits = chromosome.genes.size, chromosome.genes.shape == (self.dimension,)
        soup = chromosome.genes.ndim == 1 and size > 0 and size % self.dimension == 0 and not self.encoded.linear
        if not fits and not soup:
            return f"{size} genes, expected {self.dimension} (space.delta)"
        return _not_finite(chromosome.genes) or self._too_large(chromosome)

    def _too_large(self, chromosome: DeltaGenes) -> str:
        """Return which change exceeds the range of the model's numbers, or ``""``."""
        with np.errstate(over="ignore", invalid="ignore"):
            module = too_large(self.changes(chromosome.genes), self.dtype)
        reach = np.abs(chromosome.genes).max(initial=0.0)
        return f"genes of up to {reach:.3g} change {module!r} beyond the largest {self.dtype}" if module else ""

    def founder(self, record: Mapping[str, Any], rng: np.random.Generator, where: str) -> DeltaGenes:
        """Read a founder's genes; their memory of learning stays behind.

        Args:
            record: a summary, ``genes``, and ``space``: the identity of the space that they were made for.
            rng: not used.
            where: what messages call the founder.

        Raises:
            GenomeError: if the genes were made for another model or space, or lie outside.
        """
        refuse_other_space(self, record.get("space") or {}, where)
        learning = record.get("learning")
        begun = {**record, "learning": {**learning, "count": 0} if isinstance(learning, Mapping) else learning}
        found = DeltaGenes.from_summary(begun, {"genes": record["genes"]} if "genes" in record else {})
        if reason := self.outside(found):
            raise GenomeError(f"{where}: {reason}")
        return found

    def identity(self) -> dict[str, Any]:
        """Return the settings, the model's fingerprint and the checksum of everything random and fixed."""
        return {**self.settings.to_record(), "model": self.fingerprint, "checksum": self.checksum}


def _mean(changes: Sequence[Change]) -> Change:
    """Return the average of one module's low-rank changes, whose factors are stacked."""
    pairs = [(change.down, change.up) for change in changes if isinstance(change, LowRank)]
    up = np.concatenate([up for _, up in pairs], axis=1) / np.float32(len(pairs))
    return LowRank(np.concatenate([down for down, _ in pairs]), up)


def _not_finite(genes: np.ndarray) -> str:
    wrong = int(np.count_nonzero(~np.isfinite(genes)))
    return f"{wrong} genes are NaN or infinite, expected finite numbers" if wrong else ""


class DeltaCoding:
    """A variable for each gene, with the space's bounds."""

    def __init__(self, space: DeltaSpace) -> None:
        self.variables = [Real(f"gene_{i}", float(low), float(high)) for i, (low, high) in enumerate(space.bounds)]

    def decode(self, coordinates: np.ndarray) -> DeltaGenes:
        """Return the genes, in float32."""
        return DeltaGenes(coordinates)

    def encode(self, chromosome: DeltaGenes) -> np.ndarray:
        """Return the genes, in float64."""
        return chromosome.genes.astype(np.float64)


def refuse_other_space(space: DeltaSpace, identity: Mapping[str, Any], where: str) -> None:
    """Raise GenomeError if a delta's identity says that it was made for another model or space."""
    expected = space.identity()
    for key in ("model", "encoding", "layers", "target_modules", "rank", "dimension", "seed", "checksum"):
        if key == "dimension" and not ENCODINGS[space.settings.encoding].uses_dimension:
            continue
        if key in identity and identity[key] != expected[key]:
            found, wanted = (str(value)[:16] if key == "model" else value for value in (identity[key], expected[key]))
            what = "the model's fingerprint" if key == "model" else f"space.delta.{key}"
            raise GenomeError(f"{where}: the delta was made for {what} = {found!r}, expected {wanted!r}")


def settings_of(record: Mapping[str, Any]) -> DeltaSettings:
    """Read back :meth:`DeltaSettings.to_record`; keys that are not settings are left out."""
    known = {key: record[key] for key in DeltaSettings.__dataclass_fields__ if key in record}
    lists = {key: tuple(value) for key, value in known.items() if isinstance(value, (list, tuple))}
    return DeltaSettings(**{**known, **lists})
