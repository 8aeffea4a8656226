"""Plain transformers with a delta merged into every weight: what packed passes and their gradients must equal."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import AutoModelForCausalLM

from evolm.models import GradientResult, LanguageModel
from evolm.models.deltas import Delta, LowRank


class PlainModel:
    """A model under a delta whose arrays are leaves of an autograd graph; one pass per text, without a cache.

    Args:
        model: of float32.
        delta: merged into the weights; None = the unchanged model.
    """

    def __init__(self, model: LanguageModel, delta: Delta | None) -> None:
        self.plain = AutoModelForCausalLM.from_pretrained(model.prepared.folder, dtype=torch.float32)
        self.leaves: dict[str, list[torch.Tensor]] = {}
        self.weights: dict[str, torch.Tensor] = {}
        for name, change in ({} if delta is None else delta.changes).items():
            arrays = (change.down, change.up) if isinstance(change, LowRank) else (change.gain,)
            self.leaves[name] = [torch.tensor(array, requires_grad=True) for array in arrays]
            weight = self.plain.get_submodule(name).weight.detach()
            if isinstance(change, LowRank):
                down, up = self.leaves[name]
                self.weights[f"{name}.weight"] = weight + up @ down
            else:
                (gain,) = self.leaves[name]
                wide = weight.ndim == 2 and change.side == "output"
                self.weights[f"{name}.weight"] = weight * (1 + (gain[:, None] if wide else gain))

    def next_logprobs(self, tokens: Sequence[int]) -> torch.Tensor:
        """Return ``(len(tokens), vocabulary)`` log-probabilities of the token behind each."""
        ids = torch.tensor([list(tokens)])
        output = torch.func.functional_call(self.plain, self.weights, (ids,), {"use_cache": False})
        return output.logits[0].log_softmax(-1)

    def logprob(self, context: Sequence[int], answer: Sequence[int]) -> torch.Tensor:
        """Return the log-probability of an answer's tokens behind a context, a scalar with its graph."""
        logprobs = self.next_logprobs([*context, *answer])[len(context) - 1 : -1]
        return logprobs.gather(1, torch.tensor(list(answer))[:, None]).sum()

    def result(self, value: torch.Tensor) -> GradientResult:
        """Return a scalar and its gradient with respect to the delta's arrays."""
        leaves = [leaf for arrays in self.leaves.values() for leaf in arrays]
        found = iter(torch.autograd.grad(value, leaves, retain_graph=True))
        gradients = {name: tuple(next(found).numpy() for _ in arrays) for name, arrays in self.leaves.items()}
        return GradientResult(value.item(), gradients)
