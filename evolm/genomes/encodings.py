"""Encodings: from a vector of genes to changes of a model's modules, and from their gradients back.

An encoding is one class and one row here. In every encoding, genes of zero change nothing, and the changes are
differentiable in the genes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Protocol

import numpy as np

from evolm.errors import ConfigError
from evolm.models.deltas import Change, Gain, LowRank
from evolm.models.structure import LINEAR, Site
from evolm.randomness import derive_seed

# Gradients with respect to a change's arrays, in the order of ``evolm.models.deltas.factors``.
Gradients = Mapping[str, Sequence[np.ndarray]]
Weights = Callable[[Sequence[str]], Mapping[str, np.ndarray]]  # names of modules -> (out, in) float32 each

MOST_NUMBERS: Final = 2**28  # of the directions of a subspace, a gigabyte

# The default step of a subspace changes the output of a module by so many times its size; if more modules than these
# change, all of them together by no more. On SmolLM2-135M, most random changes of that size change some answers, and
# ten times that size leaves nothing of the model.
STEP, MODULES = 2.1, 6
GENE_STEP = 0.1  # the default of the other encodings

# The default learning rate is RATE for up to MODULES low-rank terms (modules times rank). For more, it falls with the
# square root of their number, as independent changes add up.
RATE = 0.02

# Modules whose input is scaled, not their output: the last one of a feed-forward block (Liu 2022; PEFT's
# ``feedforward_modules``).
FEEDFORWARD = ("down_proj", "fc2", "dense_4h_to_h", "mlp.c_proj")


@dataclass(frozen=True)
class Plan:
    """The input of an encoding.

    Attributes:
        sites: the modules to change.
        rank: of low-rank changes; of ``singular``, how many singular values.
        dimension: number of genes, if the encoding leaves a choice.
        seed: of everything random and fixed.
        weights: reads the model's weights.
    """

    sites: tuple[Site, ...]
    rank: int
    dimension: int
    seed: int
    weights: Weights

    def normal(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Return standard normal float32 numbers that follow from the seed and a name."""
        rng = np.random.Generator(np.random.PCG64(derive_seed(name, self.seed)))
        return rng.standard_normal(shape, dtype=np.float32)

    def require_linear(self, encoding: str) -> None:
        """Raise ConfigError if a site cannot take a change of this rank."""
        for site in self.sites:
            if site.kind != LINEAR:
                raise ConfigError(
                    f"space.delta: encoding {encoding!r} changes linear modules, found {site.suffix!r}; "
                    "use 'scales' for norms"
                )
            if self.rank > min(site.inputs, site.outputs):
                raise ConfigError(
                    f"space.delta.rank: expected at most {min(site.inputs, site.outputs)} for {site.suffix!r} "
                    f"({site.outputs} x {site.inputs}), found {self.rank}"
                )


class Encoding(Protocol):
    """The contract of encodings.

    Attributes:
        dimension: number of genes.
        parameters: numbers in a delta's changes (factors and gains).
        uses_dimension: whether ``space.delta.dimension`` decides the number of genes.
        linear: whether the change of the weights is linear in the genes.
    """

    uses_dimension: ClassVar[bool]
    linear: ClassVar[bool]
    dimension: int
    parameters: int

    def __init__(self, plan: Plan) -> None: ...

    def step(self, plan: Plan) -> float:
        """Return the default step size: large enough to change answers, too small to break the model."""

    def rate(self) -> float:
        """Return Adam's default learning rate."""

    def changes(self, genes: np.ndarray) -> dict[str, Change]:
        """Return the changes that ``(dimension,)`` genes stand for."""

    def pullback(self, genes: np.ndarray, gradients: Gradients) -> np.ndarray:
        """Return the ``(dimension,)`` gradient of the genes from the gradients of the changes' arrays."""

    def modules(self) -> list[slice]:
        """Return the genes of each module, for crossover; empty if every gene changes all modules."""

    def fixed(self) -> Sequence[np.ndarray]:
        """Return every fixed array, random or computed, for a checksum."""


def checksum(arrays: Sequence[np.ndarray]) -> str:
    """Return 16 hexadecimal digits over arrays."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(np.ascontiguousarray(array, dtype="<f4").tobytes())
    return total.hexdigest()[:16]


def _slices(sizes: Sequence[int]) -> list[slice]:
    ends = np.cumsum(sizes).tolist()
    return [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]


def _down(plan: Plan, site: Site) -> np.ndarray:
    """Return fixed ``(rank, in)`` rows; a normalised input gives each about the size 1."""
    return plan.normal(f"down {site.name}", (plan.rank, site.inputs)) / np.float32(np.sqrt(site.inputs))


class LowRankEncoding:
    """All factors are genes: ``down = A0 + a`` with a seeded ``A0``, ``up = b`` (Hu 2021, LoRA)."""

    uses_dimension: ClassVar[bool] = False
    linear: ClassVar[bool] = False

    def __init__(self, plan: Plan) -> None:
        plan.require_linear("lowrank")
        self.sites = plan.sites
        self.rank = plan.rank
        self._start = [_down(plan, site) for site in plan.sites]
        self._slices = _slices([plan.rank * (site.inputs + site.outputs) for site in plan.sites])
        self.dimension = self.parameters = self._slices[-1].stop

    def step(self, plan: Plan) -> float:
        return GENE_STEP

    def rate(self) -> float:
        """Return a number of two digits; see ``RATE``."""
        return float(f"{RATE * min(1.0, (MODULES / (self.rank * len(self.sites))) ** 0.5):.1e}")

    def changes(self, genes: np.ndarray) -> dict[str, Change]:
        changes: dict[str, Change] = {}
        for site, start, own in zip(self.sites, self._start, self._slices, strict=True):
            down, up = np.split(genes[own], [self.rank * site.inputs])
            changes[site.name] = LowRank(start + down.reshape(start.shape), up.reshape(site.outputs, self.rank))
        return changes

    def pullback(self, genes: np.ndarray, gradients: Gradients) -> np.ndarray:
        return np.concatenate([array.ravel() for site in self.sites for array in gradients[site.name]])

    def modules(self) -> list[slice]:
        return self._slices

    def fixed(self) -> Sequence[np.ndarray]:
        return self._start


class SubspaceEncoding:
    """A few coordinates move all ``up`` factors along fixed random directions; ``down`` is random and fixed.

    Intrinsic dimension (Aghajanyan 2020, https://arxiv.org/abs/2012.13255) on LoRA's factors, as black-box tuning
    searches prompts (Sun 2022, https://arxiv.org/abs/2201.03514). If both factors started at zero, the change would
    be quadratic there and its gradient zero. With genes ~ N(0, s^2) the entries of ``up`` are ~ N(0, s^2). The
    default ``s`` depends on the weights and on the number of modules, so that the change is neither too small to
    change answers nor so large that the model is broken.
    """

    uses_dimension: ClassVar[bool] = True
    linear: ClassVar[bool] = True

    def __init__(self, plan: Plan) -> None:
        plan.require_linear("subspace")
        if plan.dimension < 1:
            raise ConfigError(f"space.delta.dimension: expected at least 1, found {plan.dimension}")
        self.sites = plan.sites
        self.rank = plan.rank
        self.dimension = plan.dimension
        self._down = [_down(plan, site) for site in plan.sites]
        sizes = [plan.rank * site.outputs for site in plan.sites]
        if plan.dimension * sum(sizes) > MOST_NUMBERS:
            raise ConfigError(
                f"space.delta.dimension: expected at most {MOST_NUMBERS // sum(sizes)} genes that move "
                f"{sum(sizes)} numbers, found {plan.dimension}"
            )
        self._slices = _slices(sizes)
        self.parameters = sum(down.size for down in self._down) + sum(sizes)
        directions = plan.normal("directions", (sum(sizes), plan.dimension))
        self._directions = directions / np.float32(np.sqrt(plan.dimension))  # (up entries, dimension)

    def step(self, plan: Plan) -> float:
        """Return a number of two digits that follows from the weights; see ``STEP``."""
        norms = [(site, np.linalg.norm(plan.weights([site.name])[site.name])) for site in plan.sites]
        # By how many times the size of its output a step of 1 changes a module with a normalised input.
        changes = [np.sqrt(plan.rank * site.outputs) / norm for site, norm in norms if norm] or [1.0]
        return float(f"{STEP * min(len(changes), MODULES) / np.sum(changes):.1e}")

    def rate(self) -> float:
        return RATE

    def changes(self, genes: np.ndarray) -> dict[str, Change]:
        moved = self._directions @ genes
        return {
            site.name: LowRank(down, moved[own].reshape(site.outputs, self.rank))
            for site, down, own in zip(self.sites, self._down, self._slices, strict=True)
        }

    def pullback(self, genes: np.ndarray, gradients: Gradients) -> np.ndarray:
        up = np.concatenate([gradients[site.name][1].ravel() for site in self.sites])
        return self._directions.T @ up

    def modules(self) -> list[slice]:
        return []

    def fixed(self) -> Sequence[np.ndarray]:
        return [*self._down, self._directions]


class ScalesEncoding:
    """A gain per channel: of a module's output, or of the input of a feed-forward block's last module (IA3)."""

    uses_dimension: ClassVar[bool] = False
    linear: ClassVar[bool] = True

    def __init__(self, plan: Plan) -> None:
        self.sites = plan.sites
        self.inputs = [site.kind == LINEAR and site.name.endswith(FEEDFORWARD) for site in plan.sites]
        sizes = [site.inputs if put else site.outputs for site, put in zip(plan.sites, self.inputs, strict=True)]
        self._slices = _slices(sizes)
        self.dimension = self.parameters = sum(sizes)

    def step(self, plan: Plan) -> float:
        return GENE_STEP

    def rate(self) -> float:
        return RATE

    def changes(self, genes: np.ndarray) -> dict[str, Change]:
        return {
            site.name: Gain(genes[own], "input" if put else "output")
            for site, put, own in zip(self.sites, self.inputs, self._slices, strict=True)
        }

    def pullback(self, genes: np.ndarray, gradients: Gradients) -> np.ndarray:
        return np.concatenate([gradients[site.name][0] for site in self.sites])

    def modules(self) -> list[slice]:
        return self._slices

    def fixed(self) -> Sequence[np.ndarray]:
        return ()


class SingularEncoding:
    """Gains on the largest singular values of each matrix, ``rank`` of them: ``W + U diag(s g) V^T``.

    ESSA (Korotyshova 2025, https://arxiv.org/abs/2507.04453) searches the singular values of LoRA's factors after
    supervised fine-tuning; this encoding searches those of the model's own matrices.
    """

    uses_dimension: ClassVar[bool] = False
    linear: ClassVar[bool] = True

    def __init__(self, plan: Plan) -> None:
        plan.require_linear("singular")
        self.sites = plan.sites
        self.rank = plan.rank
        self.dimension = plan.rank * len(plan.sites)
        self._slices = _slices([plan.rank] * len(plan.sites))
        weights = plan.weights([site.name for site in plan.sites])
        self._factors = [_largest(weights[site.name], plan.rank) for site in plan.sites]
        self.parameters = sum(down.size + up.size for down, up in self._factors)

    def step(self, plan: Plan) -> float:
        return GENE_STEP

    def rate(self) -> float:
        return RATE

    def changes(self, genes: np.ndarray) -> dict[str, Change]:
        return {
            site.name: LowRank(down, up * genes[own])
            for site, (down, up), own in zip(self.sites, self._factors, self._slices, strict=True)
        }

    def pullback(self, genes: np.ndarray, gradients: Gradients) -> np.ndarray:
        pairs = zip(self.sites, self._factors, strict=True)
        return np.concatenate([(gradients[site.name][1] * up).sum(0) for site, (_, up) in pairs])

    def modules(self) -> list[slice]:
        return self._slices

    def fixed(self) -> Sequence[np.ndarray]:
        return [array for pair in self._factors for array in pair]


def _largest(weight: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Return ``V^T (rank, in)`` and ``U diag(s) (out, rank)`` of the largest singular values of ``(out, in)``."""
    left, values, right = np.linalg.svd(weight.astype(np.float64), full_matrices=False)
    signs = np.sign(right[np.arange(rank), np.abs(right[:rank]).argmax(1)])  # a pair's sign is arbitrary
    down = signs[:, None] * right[:rank]
    return down.astype(np.float32), (left[:, :rank] * values[:rank] * signs).astype(np.float32)


ENCODINGS: dict[str, type[Encoding]] = {
    "lowrank": LowRankEncoding,
    "subspace": SubspaceEncoding,
    "scales": ScalesEncoding,
    "singular": SingularEncoding,
}
