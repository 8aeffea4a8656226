"""Evolution strategy with mirrored samples: follows the gradient of the smoothed fitness, estimated from ranks.

Salimans 2017, "Evolution Strategies as a Scalable Alternative to Reinforcement Learning",
https://arxiv.org/abs/1703.03864 (reference implementation: https://github.com/openai/evolution-strategies-starter).
Samples are ``theta + sigma epsilon`` and ``theta - sigma epsilon`` with ``epsilon ~ N(0, I)``; fitness is shaped to
centred ranks in [-0.5, 0.5]; a plain step or Adam (Kingma 2014, https://arxiv.org/abs/1412.6980) moves the mean
``theta``. Differences to the paper: equal fitness gives equal ranks, so that a flat fitness moves nothing; the mean
itself is evaluated; no weight decay.

The same family tunes whole language models (ES at Scale, 2025, https://arxiv.org/abs/2509.24372; with noise of low
rank: EGGROLL, 2025, https://arxiv.org/abs/2511.16652); here the noise is on the delta's genes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import scipy
from pydantic import Field

from evolm.config import Section
from evolm.genomes import Genome
from evolm.individual import Individual
from evolm.operators.adam import adam_direction
from evolm.strategies.vectors import VectorStrategy, best_first, wide

# Default learning rates. A gradient of centred ranks is shorter than the direction that Adam makes of it.
RATES = {"sgd": 3.0, "adam": 0.3}


class EvolutionStrategyParams(Section):
    population_size: int = Field(
        24, ge=2, multiple_of=2, description="samples per generation, in mirrored pairs; the mean is evaluated too"
    )
    sigma: float = Field(0.0, ge=0, description="standard deviation of the samples; 0 = the space's sigma")
    optimizer: Literal["sgd", "adam"] = Field("sgd", description="how the mean moves; sgd = a plain step")
    learning_rate: float = Field(0.0, ge=0, description="of the mean, in units of sigma; 0 = 3 for sgd, 0.3 for adam")


@dataclass(frozen=True)
class Mean:
    """The mean and Adam's moments of its gradient; all arrays are ``(n,)`` float64.

    Attributes:
        theta: genes.
        first: moving average of the gradient.
        second: moving average of its squares.
        count: number of steps so far.
    """

    theta: np.ndarray
    first: np.ndarray
    second: np.ndarray
    count: int = 0


class EvolutionStrategy(VectorStrategy):
    """Samples around a mean and moves it; see the module's docstring."""

    Params = EvolutionStrategyParams
    params: EvolutionStrategyParams
    operator_name = "es"
    can_diverge = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.mean = self._initial(self.start())

    def _initial(self, theta: np.ndarray) -> Mean:
        return Mean(theta, np.zeros_like(theta), np.zeros_like(theta))

    def first(self) -> list[Individual]:
        """Return the founders, and samples around the first of them."""
        founders = self.founders(0)
        return founders + self.individuals(self._mirrored(), founders[:1])

    def next(self, told: list[Individual]) -> list[Individual]:
        """Move the mean, then return it and samples around it."""
        centre = self.genome(self.mean.theta).digest
        samples = [i for i in told if i.digest != centre and not self.is_founder(i)]
        parents = best_first(samples)
        if (start := self.better_start(told)) is not None:
            self.mean = self._initial(start)
            parents = best_first([i for i in told if self.is_founder(i)])[:1]
        else:
            step = adam_step if self.params.optimizer == "adam" else plain_step
            rate = self.params.learning_rate or RATES[self.params.optimizer]
            slope = gradient(samples, self.mean.theta, self.sigma)
            self.mean = step(self.mean, slope, rate * self.sigma)
        mean = self.individuals(self.fresh(lambda: self.mean.theta[None], 1), parents)
        return mean + self.individuals(self._mirrored(), mean)

    def _mirrored(self) -> list[Genome]:
        """Return up to ``population_size`` new genomes, in pairs on opposite sides of the mean."""
        pairs = self.params.population_size // 2

        def draw() -> np.ndarray:
            # sigma * epsilon, (pairs, n) (algorithm 1, line 3)
            noise = self.sigma * self.randomness.numpy.standard_normal((pairs, len(self.mean.theta)))
            return self.mean.theta + np.stack([noise, -noise], axis=1).reshape(2 * pairs, -1)  # (2 pairs, n)

        return self.fresh(draw, 2 * pairs)

    def extra_state(self) -> dict[str, Any]:
        """Return the mean and Adam's moments."""
        return asdict(self.mean)

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Read back :meth:`extra_state`."""
        self.mean = Mean(**state)


def centred_ranks(individuals: list[Individual]) -> np.ndarray:
    """Return ``(k,)`` ranks in [-0.5, 0.5], the best highest; equals share a rank, failures share the lowest."""
    values = [individual.fitness.standing for individual in individuals]
    places = {value: place for place, value in enumerate(sorted(set(values)))}  # () comes before any value
    ranks = scipy.stats.rankdata([places[value] for value in values])  # 1 to k
    return (ranks - 1) / max(len(ranks) - 1, 1) - 0.5


def gradient(samples: list[Individual], theta: np.ndarray, sigma: float) -> np.ndarray:
    """Return ``(n,)``, sigma times the estimated gradient of the shaped fitness; zeros if there are no samples."""
    if not samples:
        return np.zeros_like(theta)
    epsilon = np.stack([(wide(sample.genome) - theta) / sigma for sample in samples])  # (k, n), ~ N(0, I)
    return centred_ranks(samples) @ epsilon / len(samples)  # 1/n sum F_i epsilon_i (algorithm 1, line 5)


def plain_step(mean: Mean, slope: np.ndarray, rate: float) -> Mean:
    """Return the mean after a step up the gradient (algorithm 1, line 5)."""
    return Mean(mean.theta + rate * slope, mean.first, mean.second, mean.count + 1)


def adam_step(mean: Mean, slope: np.ndarray, rate: float) -> Mean:
    """Return the mean after one step of Adam up the gradient; zero gradients and moments move nothing."""
    count = mean.count + 1
    direction, first, second = adam_direction(slope, mean.first, mean.second, count)
    return Mean(mean.theta + rate * direction, first, second, count)
