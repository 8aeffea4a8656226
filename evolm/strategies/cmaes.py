"""CMA-ES: samples a normal distribution and adapts its mean, step size and covariance to the ranks of the samples.

Hansen & Ostermeier 2001, "Completely Derandomized Self-Adaptation in Evolution Strategies",
https://doi.org/10.1162/106365601750190398. Symbols and equation numbers are those of Hansen 2016, "The CMA Evolution
Strategy: A Tutorial", https://arxiv.org/abs/1604.00772.

Up to ``full_up_to`` genes the covariance C is a full matrix and DEAP (``deap.cma.Strategy``) does the mathematics.
Above that, C is a diagonal: separable CMA-ES, Ros & Hansen 2008, "A Simple Modification in CMA-ES Achieving Linear
Time and Space Complexity", https://doi.org/10.1007/978-3-540-87700-4_30. It is implemented here with NumPy, because
DEAP has no separable form, and the state of pycma (the reference implementation) and of ``cmaes.SepCMA`` is an object
with its own random generator, which cannot be resumed from plain arrays.

If the distribution has become too narrow to give new float32 genes, or is numerically unsound, the search restarts
with twice the population size (IPOP-CMA-ES, Auger & Hansen 2005, https://doi.org/10.1109/CEC.2005.1554902).
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
    """``N(m, sigma^2 C)`` and its evolution paths; all arrays are float64.

    Attributes:
        m: ``(n,)`` mean.
        sigma: step size.
        C: covariance, ``(n, n)``, or ``(n,)`` if it is a diagonal.
        p_sigma: ``(n,)`` evolution path of the step size.
        p_c: ``(n,)`` evolution path of the covariance.
        g: number of updates so far.
    """

    m: np.ndarray
    sigma: float
    C: np.ndarray
    p_sigma: np.ndarray
    p_c: np.ndarray
    g: int = 0


class CmaEs(VectorStrategy):
    """Samples, ranks and updates; see the module's docstring."""

    Params = CmaEsParams
    params: CmaEsParams
    operator_name = "cmaes"
    can_diverge = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        default = int(4 + 3 * np.log(self.deltas.dimension))  # (eq. 48)
        self.lambda_ = max(2, self.params.population_size or default)
        self.distribution = self._initial(self.start())

    def _initial(self, m: np.ndarray) -> Distribution:
        n = len(m)
        C = np.identity(n) if n <= self.params.full_up_to else np.ones(n)
        return Distribution(m, self.sigma, C, np.zeros(n), np.zeros(n))

    def first(self) -> list[Individual]:
        """Return the founders, and samples around the first of them."""
        founders = self.founders(0)
        return founders + self.individuals(self.fresh(self._sample, self.lambda_), founders[:1])

    def next(self, told: list[Individual]) -> list[Individual]:
        """Update the distribution with the evaluated samples (founders are none), then sample it."""
        parents = best_first([i for i in told if not self.is_founder(i)])[: self.lambda_ // 2]
        if (start := self.better_start(told)) is not None:
            self.distribution = self._initial(start)  # samples around a worse founder say nothing about this place
            parents = best_first([i for i in told if self.is_founder(i)])[:1]
        elif parents:
            self.distribution = updated(self.distribution, self._points(parents), self.lambda_)
        genomes = self.fresh(self._sample, self.lambda_)
        if len(genomes) < self.lambda_:
            self.lambda_ *= 2
            self.distribution, parents = self._initial(self.start()), []
            genomes = self.fresh(self._sample, self.lambda_)
        return self.individuals(genomes, parents)

    def _points(self, parents: list[Individual]) -> np.ndarray:
        """Return ``(mu, n)`` genes, best first; if more than half of the samples failed, the mean fills up."""
        missing = self.lambda_ // 2 - len(parents)
        return np.stack([*(wide(parent.genome) for parent in parents), *[self.distribution.m] * missing])

    def _sample(self) -> np.ndarray:
        """Return ``(lambda, n)`` samples."""
        now = self.distribution
        if now.C.ndim == 1:
            z = self.randomness.numpy.standard_normal((self.lambda_, len(now.m)))  # ~ N(0, I) (eq. 38)
            return now.m + now.sigma * np.sqrt(now.C) * z  # ~ N(m, sigma^2 C) (eq. 39, 40)
        with self.randomness.lend():
            return np.array(deap_strategy(now, self.lambda_).generate(np.asarray))

    def extra_state(self) -> dict[str, Any]:
        """Return the distribution and its population size."""
        return {"lambda": self.lambda_, "distribution": asdict(self.distribution)}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Read back :meth:`extra_state`."""
        self.lambda_, self.distribution = state["lambda"], Distribution(**state["distribution"])


def updated(now: Distribution, points: np.ndarray, lambda_: int) -> Distribution:
    """Return the distribution after one update.

    Args:
        now: the distribution that was sampled.
        points: ``(mu, n)``, the better half of ``lambda_`` samples, best first.
        lambda_: samples per generation.
    """
    return updated_diagonal(now, points, lambda_) if now.C.ndim == 1 else updated_full(now, points, lambda_)


# -- full covariance: DEAP -----------------------------------------------------------------------------------


class _Point(np.ndarray):
    """Genes with a fitness, which DEAP's update sorts by."""

    fitness: int


def deap_strategy(now: Distribution, lambda_: int) -> cma.Strategy:
    """Return DEAP's strategy in this state; it serves a single call, the state stays in plain arrays."""
    strategy = cma.Strategy(now.m, now.sigma, lambda_=lambda_, cmatrix=now.C)
    strategy.ps, strategy.pc, strategy.update_count = now.p_sigma, now.p_c, now.g
    return strategy


def updated_full(now: Distribution, points: np.ndarray, lambda_: int) -> Distribution:
    """See :func:`updated`; C is a matrix."""
    strategy = deap_strategy(now, lambda_)
    ranked = [point.view(_Point) for point in points]
    for rank, point in enumerate(ranked):
        point.fitness = -rank
    strategy.update(ranked)
    return Distribution(
        np.ascontiguousarray(strategy.centroid),
        float(strategy.sigma),
        np.ascontiguousarray(strategy.C),  # the layout that a checkpoint restores: BLAS sums in order of layout
        np.ascontiguousarray(strategy.ps),
        np.ascontiguousarray(strategy.pc),
        strategy.update_count,
    )


# -- diagonal covariance: NumPy ------------------------------------------------------------------------------


def recombination_weights(mu: int) -> np.ndarray:
    """Return ``(mu,)`` positive weights of the best samples, by rank; their sum is 1."""
    weights = np.log(mu + 0.5) - np.log(np.arange(1, mu + 1))  # (eq. 49) with lambda = 2 mu
    return weights / weights.sum()  # (eq. 53)


def updated_diagonal(now: Distribution, points: np.ndarray, lambda_: int) -> Distribution:
    """See :func:`updated`; C is a diagonal.

    Differences to Ros & Hansen 2008: instead of their ``c_cov`` and ``mu_cov`` there are the two learning rates
    ``c_1`` and ``c_mu`` of DEAP and later papers, each multiplied by their factor ``(n + 2) / 3``. Differences to the
    tutorial: ``c_sigma`` (+ 3 instead of + 5 in the denominator), ``c_c`` and ``c_mu`` are DEAP's, weights are never
    negative. With one gene the result is that of full CMA-ES.
    """
    n = len(now.m)
    w = recombination_weights(lambda_ // 2)
    mu_eff = 1 / np.sum(w**2)
    c_sigma = (mu_eff + 2) / (n + mu_eff + 3)  # (eq. 55)
    d_sigma = 1 + 2 * max(0, np.sqrt((mu_eff - 1) / (n + 1)) - 1) + c_sigma  # (eq. 55)
    c_c = 4 / (n + 4)  # (eq. 56)
    separable = (n + 2) / 3  # Ros & Hansen 2008: n variances are learnt, not n (n + 1) / 2 covariances
    c_1 = separable * 2 / ((n + 1.3) ** 2 + mu_eff)  # (eq. 57)
    c_mu = min(1 - c_1, separable * 2 * (mu_eff - 2 + 1 / mu_eff) / ((n + 2) ** 2 + mu_eff))  # (eq. 58)
    chi_n = np.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n**2))  # E||N(0, I)||

    # Selection and recombination
    y = (points - now.m) / now.sigma  # (mu, n), before selection ~ N(0, C)
    y_w = w @ y  # (n,) (eq. 41)
    m = now.m + now.sigma * y_w  # (eq. 42), c_m = 1 (eq. 54)

    # Step-size control
    p_sigma = (1 - c_sigma) * now.p_sigma + np.sqrt(c_sigma * (2 - c_sigma) * mu_eff) * y_w / np.sqrt(
        now.C
    )  # (eq. 43)
    length = np.linalg.norm(p_sigma) / chi_n
    sigma = now.sigma * np.exp((length - 1) * c_sigma / d_sigma)  # (eq. 44)

    # Covariance adaptation. h_sigma stalls p_c while the step size grows fast, so that C does not grow with it.
    stalled = length / np.sqrt(1 - (1 - c_sigma) ** (2 * (now.g + 1))) >= 1.4 + 2 / (n + 1)
    h_sigma = 0.0 if stalled else 1.0
    p_c = (1 - c_c) * now.p_c + h_sigma * np.sqrt(c_c * (2 - c_c) * mu_eff) * y_w  # (eq. 45)
    kept = 1 - c_1 - c_mu + (1 - h_sigma) * c_1 * c_c * (2 - c_c)
    C = kept * now.C + c_1 * p_c**2 + c_mu * (w @ y**2)  # (n,) (eq. 47)
    return Distribution(m, float(sigma), C, p_sigma, p_c, now.g + 1)
