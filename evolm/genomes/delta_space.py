"""Where deltas live: which modules may change, and what a vector of genes makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from evolm.errors import ConfigError, GenomeError, nearest
from evolm.genomes.delta import DeltaGenome
from evolm.genomes.encodings import ENCODINGS, Gradients, Plan, checksum
from evolm.genomes.expression import Expression
from evolm.genomes.hybrid import HybridGenome
from evolm.genomes.prompt import PromptGenome
from evolm.genomes.prompt_space import PromptSpace
from evolm.models.deltas import Change, Delta, too_large
from evolm.models.structure import Site
from evolm.wording import listed

if TYPE_CHECKING:
    from evolm.models import LanguageModel


NO_PROMPT = PromptGenome("")
REACH = 8.0  # bounds lie so many step sizes from no change


@dataclass(frozen=True)
class DeltaSettings:
    """What a space is made from; everything that decides what genes stand for, besides the model.

    Attributes:
        layers: ``"all"``, ``"last:N"``, ``"first:N"`` or indices.
        target_modules: last parts of modules' names, or ``("all-linear",)``.
        rank: of low-rank changes.
        encoding: a row of ``ENCODINGS``.
        dimension: number of genes of ``subspace``.
        sigma: step size of random genes and mutations; 0 = the encoding's own.
        seed: of everything random and fixed.
    """

    layers: str | tuple[int, ...] = "last:3"
    target_modules: tuple[str, ...] = ("q_proj", "v_proj")
    rank: int = 1
    encoding: str = "subspace"
    dimension: int = 48
    sigma: float = 0.0
    seed: int = 0

    def to_record(self) -> dict[str, Any]:
        """Return JSON values."""
        layers = self.layers if isinstance(self.layers, str) else list(self.layers)
        return {**self.__dict__, "layers": layers, "target_modules": list(self.target_modules)}


@dataclass(frozen=True)
class DeltaSpace:
    """Changes of some modules of one model.

    Attributes:
        settings: what it is made from.
        sites: the modules that change.
        fingerprint: of the model.
        encoded: genes to changes and back.
        prompt: what the model reads while it is changed.
        prompts: the space of that prompt; None where nobody compares it with others.
        dtype: of the model.
    """

    settings: DeltaSettings
    sites: tuple[Site, ...]
    fingerprint: str
    encoded: Any = field(repr=False, compare=False)
    prompt: PromptGenome = NO_PROMPT
    prompts: PromptSpace | None = None
    dtype: str = "float32"

    genome: ClassVar[str] = DeltaGenome.kind

    @classmethod
    def of(cls, model: LanguageModel, settings: DeltaSettings, prompt: PromptGenome = NO_PROMPT) -> DeltaSpace:
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
        resolved = replace(settings, sigma=settings.sigma or encoded.sigma)
        return cls(resolved, sites, model.prepared.fingerprint, encoded, prompt, dtype=model.prepared.dtype)

    @property
    def dimension(self) -> int:
        """Number of genes."""
        return int(self.encoded.dimension)

    @property
    def depth(self) -> int:
        """Layers below the first one that changes."""
        return min(site.layer for site in self.sites)

    @property
    def bounds(self) -> np.ndarray:
        """``(dimension, 2)`` lowest and highest gene, for optimizers that need to know; evolm's own ignore it."""
        reach = np.float32(REACH * self.settings.sigma)
        return np.tile(np.array([-reach, reach]), (self.dimension, 1))

    @cached_property
    def checksum(self) -> str:
        """Digest of everything that is random and fixed, so that another library's numbers are noticed."""
        return checksum(self.encoded.fixed())

    @cached_property
    def modules(self) -> list[slice]:
        """The genes of each module; of each gene where all of them change all modules."""
        return self.encoded.modules() or [slice(index, index + 1) for index in range(self.dimension)]

    def describe(self) -> dict[str, Any]:
        """Return what the space is, for people and journals: JSON values."""
        return {
            **self.settings.to_record(),
            "genes": self.dimension,
            "modules": len(self.sites),
            "parameters": int(self.encoded.parameters),
            "bytes_per_genome": 4 * self.dimension,
            "bytes_per_delta": 4 * int(self.encoded.parameters),
            "shared_layers": self.depth,
            "checksum": self.checksum,
        }

    # -- genomes -------------------------------------------------------------------------------------------

    def changes(self, genes: np.ndarray) -> dict[str, Change]:
        """Return what ``(dimension,)`` genes change: module -> change."""
        return self.encoded.changes(np.asarray(genes, dtype=np.float32))

    def delta(self, genome: DeltaGenome) -> Delta | None:
        """Return a genome's delta; None where all genes are zero, which is the model itself."""
        return Delta(self.changes(genome.genes), self.depth) if genome.genes.any() else None

    def pullback(self, genome: DeltaGenome, gradients: Gradients) -> np.ndarray:
        """Return the ``(dimension,)`` gradient of the genes from those of the changes' arrays."""
        return np.asarray(self.encoded.pullback(genome.genes, gradients), dtype=np.float32)

    def express(self, genome: Any) -> Expression:
        """Return what the model sees; a prompt, or a delta with a prompt of its own, stands for itself."""
        if isinstance(genome, PromptGenome):
            return Expression(genome)
        if isinstance(genome, HybridGenome):
            return Expression(genome.prompt, self.delta(genome.delta))
        return Expression(self.prompt, self.delta(genome))

    def with_prompt(self, genome: DeltaGenome, prompt: PromptGenome) -> HybridGenome:
        """Return a genome that runs under another prompt; it can be scored, and lies outside this space."""
        return HybridGenome(prompt, genome)

    def tokens(self, genome: Any) -> int:
        """Return the length in tokens of the prompt that a genome runs under."""
        return self.prompts.tokens(self.express(genome).prompt) if self.prompts else 0

    def zero(self) -> DeltaGenome:
        """Return the genome that changes nothing."""
        return DeltaGenome(np.zeros(self.dimension, np.float32))

    def random(self, rng: np.random.Generator) -> DeltaGenome:
        """Draw genes ~ N(0, sigma^2)."""
        return DeltaGenome(self.settings.sigma * rng.standard_normal(self.dimension, dtype=np.float32))

    def foreign(self, genome: DeltaGenome) -> str:
        """Return why a genome is not in this space, or ``""``."""
        if genome.genes.shape != (self.dimension,):
            return f"{genome.genes.size} genes, expected {self.dimension} (space.delta)"
        wrong = int(np.count_nonzero(~np.isfinite(genome.genes)))
        return f"{wrong} genes are NaN or infinite, expected finite numbers" if wrong else ""

    def outside(self, genome: DeltaGenome) -> str:
        """Return why a genome is not in this space, or changes more than the model's numbers can hold; or ``""``."""
        if reason := self.foreign(genome):
            return reason
        with np.errstate(over="ignore", invalid="ignore"):
            module = too_large(self.changes(genome.genes), self.dtype)
        reach = np.abs(genome.genes).max(initial=0.0)
        return f"genes of up to {reach:.3g} change {module!r} beyond the largest {self.dtype}" if module else ""

    def founder(self, record: Mapping[str, Any], where: str) -> DeltaGenome:
        """Read a founder that came from a run or a population; it brings along which space it is of.

        Raises:
            GenomeError: if it was made for another model or space, or lies outside.
        """
        refuse_other_space(self, record.get("space") or {}, where)
        genome = DeltaGenome.from_record(record)
        if reason := self.outside(genome):
            raise GenomeError(f"{where}: {reason}")
        return genome

    def identity(self) -> dict[str, Any]:
        """Return what a genome must bring along to be read back: JSON values."""
        return {**self.settings.to_record(), "model": self.fingerprint, "checksum": self.checksum}

    def under(self, prompt: PromptGenome, prompts: PromptSpace | None = None) -> DeltaSpace:
        """Return the space with another prompt."""
        return replace(self, prompt=prompt, prompts=prompts or self.prompts)


def refuse_other_space(space: DeltaSpace, identity: Mapping[str, Any], where: str) -> None:
    """Raise GenomeError where a delta's own record says that it was made for another model or space."""
    expected = space.identity()
    for key in ("model", "encoding", "layers", "target_modules", "rank", "dimension", "seed", "checksum"):
        if key == "dimension" and space.settings.encoding != "subspace":
            continue
        if key in identity and identity[key] != expected[key]:
            found, wanted = (str(value)[:16] if key == "model" else value for value in (identity[key], expected[key]))
            what = "the model's fingerprint" if key == "model" else f"space.delta.{key}"
            raise GenomeError(f"{where}: the delta was made for {what} = {found!r}, expected {wanted!r}")


def settings_of(record: Mapping[str, Any]) -> DeltaSettings:
    """Read back :meth:`DeltaSettings.to_record`; keys that are not settings are left out."""
    known = {key: record[key] for key in DeltaSettings.__dataclass_fields__ if key in record}
    layers, modules = known.get("layers", "last:3"), known.get("target_modules", ())
    return DeltaSettings(
        **{
            **known,
            "layers": layers if isinstance(layers, str) else tuple(layers),
            "target_modules": tuple(modules),
        }
    )
