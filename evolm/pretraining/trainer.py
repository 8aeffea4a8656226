"""Training a small Llama: AdamW, warm-up and cosine decay, clipped gradients, early stopping, plain state.

AdamW: Loshchilov & Hutter 2019, https://arxiv.org/abs/1711.05101; the cosine: Loshchilov & Hutter 2017,
https://arxiv.org/abs/1608.03983. The order of windows depends on seed and step alone, so that training continues
from a checkpoint bit by bit as if it had never stopped (on one machine, with as many threads).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

from evolm.errors import Interrupted
from evolm.pretraining.settings import PretrainSettings
from evolm.randomness import derive_seed

WARM_UP = 40  # steps up to the highest learning rate
PLANNED_AT = 20  # step at which the number of steps is planned if minutes limit it
RESERVE = 0.8  # share of the time left that is planned for steps: the rest is for evaluations and the test
LOWEST = 0.1  # learning rate at the end, as a share of the highest
EVALUATIONS = 20  # over the whole training
EVALUATED = 8192  # tokens of validation that each of them passes
BETAS = (0.9, 0.95)
ROWS = 32  # windows in a pass of an evaluation


@dataclass(frozen=True)
class Mark:
    """The state after an evaluation: steps done and planned, tokens learnt from, train loss (nats), perplexity."""

    step: int
    steps: int
    tokens: int
    loss: float
    perplexity: float
    tokens_per_second: float


def new_model(settings: PretrainSettings, end: int) -> LlamaForCausalLM:
    """Return a Llama with random weights; its embeddings are its output head."""
    config = LlamaConfig(
        vocab_size=settings.vocabulary,
        hidden_size=settings.width,
        intermediate_size=-(-settings.width * 8 // 3 // 16) * 16,  # as many parameters as a plain 4 x width
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads,
        max_position_embeddings=settings.longest,
        tie_word_embeddings=True,
        initializer_range=0.5 * settings.width**-0.5,  # the usual 0.02 is meant for hundreds of channels
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
    )
    with torch.random.fork_rng():
        torch.manual_seed(derive_seed("weights", settings.seed))
        return LlamaForCausalLM(config).float()


def learning_rate(step: int, steps: int, highest: float) -> float:
    """Return the rate of a step: a line up to ``WARM_UP``, then a cosine down to ``LOWEST`` of the highest."""
    warm_up = min(WARM_UP, max(steps // 10, 1)) if steps else WARM_UP
    if step < warm_up or not steps:
        return highest * min(1.0, (step + 1) / warm_up)
    progress = min(1.0, (step - warm_up) / max(steps - warm_up, 1))
    return highest * (LOWEST + (1 - LOWEST) * 0.5 * (1 + math.cos(math.pi * progress)))


def nats(model: LlamaForCausalLM, tokens: np.ndarray, context: int) -> np.ndarray:
    """Return ``(n - 1,)`` log-probabilities of every token behind at most ``context`` tokens of its own window."""
    found = []
    starts = range(0, len(tokens) - 1, context)
    full = [start for start in starts if start + context < len(tokens)]
    groups = [full[at : at + ROWS] for at in range(0, len(full), ROWS)]
    groups += [[start] for start in starts if start not in full[-1:] and start + context >= len(tokens)]
    model.eval()
    with torch.no_grad():
        for group in groups:
            rows = np.stack([tokens[start : start + context + 1] for start in group])  # (B, T + 1)
            ids = torch.from_numpy(rows.astype(np.int64))
            logits = model(ids[:, :-1]).logits.float()  # (B, T, V)
            found.append(logits.log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0].reshape(-1).numpy())
    model.train()
    return np.concatenate(found)


class Trainer:
    """Trains a model on one stream of tokens.

    Args:
        settings: of the training.
        tokens: ``(n,)`` train tokens, longer than a window.
        validation: ``(n,)`` tokens that choose the best state.
        end: token of the end of a text.

    Attributes:
        step: steps done.
        steps: planned; 0 until the time that a step takes is known.
        stop_signal: of the signal that asked to stop, see :mod:`evolm.interrupts`.
    """

    def __init__(self, settings: PretrainSettings, tokens: np.ndarray, validation: np.ndarray, end: int) -> None:
        self.settings = settings
        self.tokens = tokens
        self.validation = validation[:EVALUATED]
        self.model = new_model(settings, end)
        matrices = [p for p in self.model.parameters() if p.ndim > 1]
        others = [p for p in self.model.parameters() if p.ndim <= 1]
        groups: list[dict[str, Any]] = [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, betas=BETAS, weight_decay=settings.weight_decay)
        self.per_step = settings.batch * settings.context
        self.step, self.steps, self.idle = 0, -(-settings.tokens // self.per_step), 0
        self.seconds = 0.0  # of steps and evaluations, those of earlier processes included
        self.best: dict[str, np.ndarray] = {}
        self.marks: list[Mark] = []
        self.stop_signal: int | None = None
        self._epoch = -1, np.empty(0, dtype=np.int64)  # number of the present one, places of its windows

    # -- the loop ------------------------------------------------------------------------------------------

    @property
    def done(self) -> bool:
        """Whether all steps are done, or validation has not improved for ``patience`` evaluations."""
        return bool(self.steps and self.step >= self.steps) or self.idle >= self.settings.patience

    def run(self, told: Callable[[Mark], None], save: Callable[[], None], seconds_before: float = 0.0) -> None:
        """Train to the end; the best state is in :attr:`best`.

        Args:
            told: called after each evaluation.
            save: called after each evaluation, and before an interruption is raised.
            seconds_before: that are spent of the minutes when training begins.

        Raises:
            Interrupted: if a stop was requested; the state is saved.
        """
        losses: list[float] = []
        while not self.done:
            began = time.monotonic()
            losses.append(self._learn())
            self.seconds += time.monotonic() - began
            if not self.steps and self.step == PLANNED_AT:
                self.steps = self._planned(60 * self.settings.minutes - seconds_before)
            if (self.steps and self.step % self._interval() == 0) or self.done:
                began = time.monotonic()
                self._evaluate(float(np.mean(losses)))
                self.seconds += time.monotonic() - began
                losses = []
                save()
                told(self.marks[-1])
            if self.stop_signal is not None:
                save()
                raise Interrupted(number=self.stop_signal)

    def _interval(self) -> int:
        return max(1, self.steps // EVALUATIONS)

    def _planned(self, seconds: float) -> int:
        """Return the steps that fit into the minutes, at the pace so far."""
        pace = self.seconds / self.step
        return max(2 * PLANNED_AT, int(RESERVE * (seconds - self.seconds) / pace) + self.step)

    def _learn(self) -> float:
        """Take one step; return its loss in nats per token."""
        rate = learning_rate(self.step, self.steps, self.settings.learning_rate)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        windows = torch.from_numpy(self._windows(self.step).astype(np.int64))  # (B, T + 1)
        logits = self.model(windows[:, :-1]).logits  # (B, T, V)
        loss = cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip)
        self.optimizer.step()
        self.step += 1
        return float(loss.detach())

    def _windows(self, step: int) -> np.ndarray:
        """Return ``(batch, context + 1)`` tokens; an epoch passes every window once, shifted and shuffled anew."""
        context, batch = self.settings.context, self.settings.batch
        count = (len(self.tokens) - 1) // context - 1  # windows of an epoch, one less for the shift
        rows = []
        for number in range(step * batch, (step + 1) * batch):
            epoch, place = divmod(number, count)
            start = self._starts(epoch, count)[place]
            rows.append(self.tokens[start : start + context + 1])
        return np.stack(rows)

    def _starts(self, epoch: int, count: int) -> np.ndarray:
        """Return the ``(count,)`` places of an epoch's windows, in their order."""
        if self._epoch[0] != epoch:
            rng = np.random.Generator(np.random.PCG64(derive_seed("windows", self.settings.seed, epoch)))
            context = self.settings.context
            self._epoch = epoch, int(rng.integers(context)) + rng.permutation(count) * context
        return self._epoch[1]

    def _evaluate(self, loss: float) -> None:
        perplexity = float(np.exp(-nats(self.model, self.validation, self.settings.context).mean(dtype=np.float64)))
        if all(perplexity < mark.perplexity for mark in self.marks):
            self.best, self.idle = self._weights(), 0
        else:
            self.idle += 1
        tokens = self.step * self.per_step
        self.marks.append(Mark(self.step, self.steps, tokens, loss, perplexity, tokens / max(self.seconds, 1e-9)))

    def _weights(self) -> dict[str, np.ndarray]:
        return {name: p.detach().numpy().copy() for name, p in self.model.named_parameters()}

    def take_best(self) -> None:
        """Give the model the weights of its best validation perplexity."""
        self._load_weights(self.best)

    def _load_weights(self, weights: dict[str, np.ndarray]) -> None:
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(torch.from_numpy(weights[name]))

    # -- state ---------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return everything that decides what comes next: JSON values and arrays."""
        moments = {
            name: {key: state[key].numpy() for key in ("exp_avg", "exp_avg_sq")}
            for name, parameter in self.model.named_parameters()
            if (state := self.optimizer.state.get(parameter))
        }
        return {
            "step": self.step,
            "steps": self.steps,
            "idle": self.idle,
            "seconds": self.seconds,
            "marks": [asdict(mark) for mark in self.marks],
            "weights": self._weights(),
            "moments": moments,
            "best": self.best,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from the state that :meth:`state_dict` returned."""
        self.step, self.steps, self.idle = state["step"], state["steps"], state["idle"]
        self.seconds = state["seconds"]
        self.marks = [Mark(**mark) for mark in state["marks"]]
        self.best = state["best"]
        self._load_weights(state["weights"])
        for name, parameter in self.model.named_parameters():
            if name in state["moments"]:
                moments = {key: torch.from_numpy(array.copy()) for key, array in state["moments"][name].items()}
                self.optimizer.state[parameter] = {"step": torch.tensor(float(self.step)), **moments}
