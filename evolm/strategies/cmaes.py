"""CMA-ES: samples a normal distribution that learns mean, step size and shape from the ranks of its samples.

Hansen & Ostermeier 2001, "Completely Derandomized Self-Adaptation in Evolution Strategies",
https://doi.org/10.1162/106365601750190398. Up to ``full_up_to`` genes the covariance is a full matrix, and its
mathematics is DEAP's (``deap.cma.Strategy``). Above, it is a diagonal: separable CMA-ES, Ros & Hansen 2008,
"A Simple Modification in CMA-ES Achieving Linear Time and Space Complexity",
https://doi.org/10.1007/978-3-540-87700-4_30. That is written here, in NumPy: DEAP has none, and pycma, the reference
implementation, keeps its state in objects that can only be pickled, not in plain arrays.

A distribution that has become too narrow to give new float32 genes, or numerically unsound, starts anew with twice
the population, as IPOP-CMA-ES does (Auger & Hansen 2005, https://doi.org/10.1109/CEC.2005.1554902).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from deap import cma
from pydantic import Field

from evolm.config import Section
from evolm.individual import Individual
from evolm.strategies.vectors import VectorStrategy, best_first, wide


class CmaEsParams(Section):
    population_size: int = Field(0, ge=0, description="samples per generation, at least 2; 0 = 4 + 3 ln(genes)")
    sigma: float = Field(0.0, ge=0, description="standard deviation of the first samples; 0 = the space's sigma")
    full_up_to: int = Field(200, ge=0, description="genes up to which the covariance is full; above it is a diagonal")


@dataclass(frozen=True)
class Distribution:
    """``N(mean, sigma^2 C)``, and where it came from; all float64.

    Attributes:
        mean: ``(n,)``.
        sigma: step size.
        covariance: C, ``(n, n)``, or ``(n,)`` if it is a diagonal.
        step_path: ``(n,)`` evolution path of the step size.
        path: ``(n,)`` evolution path of the covariance.
        updates: how many times it has learnt.
    """

    mean: np.ndarray
    sigma: float
    covariance: np.ndarray
    step_path: np.ndarray
    path: np.ndarray
    updates: int = 0


class CmaEs(VectorStrategy):
    """Samples, ranks and learns; see the module's docstring."""

    Params = CmaEsParams
    params: CmaEsParams
    made_by = "cmaes"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.size = max(2, self.params.population_size or int(4 + 3 * np.log(self.search.space.dimension)))
        self.now = self._begin(self.start())

    def _begin(self, mean: np.ndarray) -> Distribution:
        n = len(mean)
        covariance = np.identity(n) if n <= self.params.full_up_to else np.ones(n)
        return Distribution(mean, self.sigma, covariance, np.zeros(n), np.zeros(n))

    def first(self) -> list[Individual]:
        """The founders, and samples around the first of them."""
        founders = self.founders(0)
        return founders + self.individuals(self.fresh(self._draw, self.size), founders[:1])

    def next(self, told: list[Individual]) -> list[Individual]:
        """Learn from the samples that were evaluated, then sample; founders are no samples."""
        parents = best_first([i for i in told if not self.is_founder(i)])[: self.size // 2]
        if (start := self.better_start(told)) is not None:
            self.now = self._begin(start)  # samples around a worse founder teach nothing here
            parents = best_first([i for i in told if self.is_founder(i)])[:1]
        elif parents:
            self.now = learnt(self.now, self._points(parents), self.size)
        genomes = self.fresh(self._draw, self.size)
        if len(genomes) < self.size:
            self.size *= 2
            self.now, parents = self._begin(self.start()), []
            genomes = self.fresh(self._draw, self.size)
        return self.individuals(genomes, parents)

    def _points(self, parents: list[Individual]) -> np.ndarray:
        """Return ``(mu, n)`` genes, best first. Where more than half failed, the missing ones take no step."""
        missing = self.size // 2 - len(parents)
        return np.stack([*(wide(parent.genome) for parent in parents), *[self.now.mean] * missing])

    def _draw(self) -> np.ndarray:
        """Return ``(size, n)`` samples."""
        if self.now.covariance.ndim == 1:
            noise = self.randomness.numpy.standard_normal((self.size, len(self.now.mean)))
            return self.now.mean + self.now.sigma * np.sqrt(self.now.covariance) * noise
        with self.randomness.lend():
            return np.array(in_deap(self.now, self.size).generate(np.asarray))

    def extra_state(self) -> dict[str, Any]:
        """The distribution, and how many samples are drawn of it."""
        return {"size": self.size, "distribution": asdict(self.now)}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Read back :meth:`extra_state`."""
        self.size, self.now = state["size"], Distribution(**state["distribution"])


def learnt(now: Distribution, points: np.ndarray, size: int) -> Distribution:
    """Return the distribution after ``(mu, n)`` points, the best half of ``size`` samples, best first."""
    return learnt_diagonal(now, points, size) if now.covariance.ndim == 1 else learnt_full(now, points, size)


# -- full: DEAP ----------------------------------------------------------------------------------------------


class _Point(np.ndarray):
    """Genes with a fitness, as DEAP's update wants them."""

    fitness: int


def in_deap(now: Distribution, size: int) -> cma.Strategy:
    """Return DEAP's strategy in this state; it is made for a single call, the state stays plain arrays."""
    strategy = cma.Strategy(now.mean, now.sigma, lambda_=size, cmatrix=now.covariance)
    strategy.ps, strategy.pc, strategy.update_count = now.step_path, now.path, now.updates
    return strategy


def learnt_full(now: Distribution, points: np.ndarray, size: int) -> Distribution:
    """See :func:`learnt`; the covariance is a matrix."""
    strategy = in_deap(now, size)
    ranked = [point.view(_Point) for point in points]
    for place, point in enumerate(ranked):
        point.fitness = -place
    strategy.update(ranked)
    return Distribution(
        np.ascontiguousarray(strategy.centroid),
        float(strategy.sigma),
        np.ascontiguousarray(strategy.C),  # in the layout that a checkpoint gives back: BLAS sums by layout
        np.ascontiguousarray(strategy.ps),
        np.ascontiguousarray(strategy.pc),
        strategy.update_count,
    )


# -- a diagonal: NumPy ---------------------------------------------------------------------------------------


def recombination_weights(mu: int) -> np.ndarray:
    """Return ``(mu,)`` weights of the best samples, falling with the logarithm of their rank; their sum is 1."""
    weights = np.log(mu + 0.5) - np.log(np.arange(1, mu + 1))
    return weights / weights.sum()


def learnt_diagonal(now: Distribution, points: np.ndarray, size: int) -> Distribution:
    """See :func:`learnt`; the covariance is a diagonal.

    In place of the paper's ``c_cov`` and ``mu_cov`` stand the two learning rates that DEAP has and later papers use,
    each times the paper's ``(n + 2) / 3``; all else is DEAP's too. With one gene the result is that of full CMA-ES.
    """
    n, old = len(now.mean), now.covariance
    weights = recombination_weights(size // 2)
    mu_eff = 1 / np.sum(weights**2)
    c_step = (mu_eff + 2) / (n + mu_eff + 3)
    damping = 1 + 2 * max(0, np.sqrt((mu_eff - 1) / (n + 1)) - 1) + c_step
    c_path = 4 / (n + 4)
    faster = (n + 2) / 3  # there are n variances to learn, not n (n + 1) / 2
    c_one = faster * 2 / ((n + 1.3) ** 2 + mu_eff)
    c_mu = min(1 - c_one, faster * 2 * (mu_eff - 2 + 1 / mu_eff) / ((n + 2) ** 2 + mu_eff))
    expected = np.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n**2))  # E||N(0, I)||

    steps = (points - now.mean) / now.sigma  # (mu, n), before selection ~ N(0, C)
    step = weights @ steps  # (n,)
    step_path = (1 - c_step) * now.step_path + np.sqrt(c_step * (2 - c_step) * mu_eff) * step / np.sqrt(old)
    length = np.linalg.norm(step_path) / expected
    # While the step size grows fast, the path waits, so that the variances do not grow with it.
    waits = length / np.sqrt(1 - (1 - c_step) ** (2 * (now.updates + 1))) >= 1.4 + 2 / (n + 1)
    path = (1 - c_path) * now.path + (not waits) * np.sqrt(c_path * (2 - c_path) * mu_eff) * step
    kept = 1 - c_one - c_mu + waits * c_one * c_path * (2 - c_path)
    covariance = kept * old + c_one * path**2 + c_mu * (weights @ steps**2)
    sigma = now.sigma * np.exp((length - 1) * c_step / damping)
    return Distribution(now.mean + now.sigma * step, float(sigma), covariance, step_path, path, now.updates + 1)
