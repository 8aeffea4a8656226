"""Evolution strategies on all of a model's weights, in plain PyTorch.

*ES at Scale* (Qiu et al. 2025, arXiv 2509.24372, algorithm 2): every weight is perturbed in its place by noise that a
seed restores, members are evaluated one after another, their rewards become z-scores, and the weights move along the
sum of all noises. *EGGROLL* (Sarkar et al. 2025, arXiv 2511.16652): the noise of a matrix is a product of two thin
ones, which costs a CPU much less. Settings are those of the first paper: 30 members, standard deviation 0.001, step
0.0005, no momentum. The reward is dense where answers are few: the mean log-probability of the gold answer among all
answers; otherwise the metric. Weights are chosen on dev rows, after every step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from benchmarks.peers.contract import Found, Setting
from benchmarks.peers.reader import Reader
from evolm.randomness import derive_seed
from evolm.tasks import Form, Item

MEMBERS = 30
SIGMA = 1e-3
STEP = 5e-4
BATCH = 32  # train rows of a step, the same for all members


def peer(rank: int) -> Callable[[Setting], Found]:
    """Return the peer whose noise has this rank; 0 = full."""
    return lambda setting: search(setting, rank)


def search(setting: Setting, rank: int) -> Found:
    """Move the weights within the budget, and answer the test rows with those that are best on dev rows."""
    evolving = Evolving(setting, rank)
    best, steps, chosen = evolving.dev_score(), 0, 0
    kept = evolving.weights()
    while evolving.affordable and evolving.step(steps):
        steps += 1
        score = evolving.dev_score()
        if score > best:
            best, chosen, kept = score, steps, evolving.weights()
    evolving.load(kept)
    setting.meter.end_search()
    return Found(evolving.outcomes(setting.task.test), f"{chosen} of {steps} steps")


class Evolving(Reader):
    """The model whose weights are searched.

    Args:
        setting: rows, seed and budget.
        rank: of a matrix's noise; 0 = full.
    """

    def __init__(self, setting: Setting, rank: int) -> None:
        super().__init__(setting, setting.chat.model)
        self.rank = rank
        self.order = np.random.default_rng(setting.seed)

    @property
    def affordable(self) -> bool:
        """Whether the budget has room for a step and for the dev rows behind it."""
        meter = self.setting.meter
        cost = MEMBERS * BATCH + len(self.setting.dev)
        return not meter.over and meter.spent["items"] + cost <= meter.items

    def weights(self) -> list[torch.Tensor]:
        """Return a copy of the weights."""
        return [value.detach().clone() for value in self.model.parameters()]

    @torch.no_grad()
    def load(self, weights: Sequence[torch.Tensor]) -> None:
        """Put copied weights in the place of the model's."""
        for value, kept in zip(self.model.parameters(), weights, strict=True):
            value.copy_(kept)

    def step(self, number: int) -> bool:
        """Evaluate all members on a batch, and move the weights; return whether the budget sufficed."""
        rows = self.setting.task.train
        batch = [rows[index] for index in self.order.choice(len(rows), min(BATCH, len(rows)), replace=False)]
        seeds = [derive_seed(self.setting.seed, "evolution strategies", number, member) for member in range(MEMBERS)]
        rewards = []
        for seed in seeds:
            if self.setting.meter.over:
                return False
            self._add_noise(seed, SIGMA)
            rewards.append(self.reward(batch))
            self._add_noise(seed, -SIGMA)
        scores = np.array(rewards) - np.mean(rewards)
        scores /= np.std(rewards) + 1e-8
        for seed, score in zip(seeds, scores, strict=True):
            self._add_noise(seed, STEP * float(score) / MEMBERS)
        return True

    @torch.no_grad()
    def _add_noise(self, seed: int, scale: float) -> None:
        """Add ``scale`` times the noise of a seed to the weights."""
        noise = torch.Generator().manual_seed(seed)
        for value in self.model.parameters():
            if self.rank and value.ndim == 2:
                left, right = (torch.randn(size, self.rank, generator=noise) for size in value.shape)
                value.addmm_(left, right.T, alpha=scale / self.rank**0.5)
            else:
                value.add_(torch.randn(value.shape, generator=noise), alpha=scale)

    @torch.inference_mode()
    def reward(self, batch: Sequence[Item]) -> float:
        """Return the mean reward of some rows."""
        if self.setting.form is Form.TEXT:
            return self.setting.task.metric_of(self.outcomes(batch), batch)
        found = []
        for item in batch:
            scores = self.scores(item).log_softmax(-1)
            found.append(float(scores[self.setting.task.options_of(item).index(str(item.gold))]))
            self.setting.meter.charge(1)
        return float(np.mean(found))
