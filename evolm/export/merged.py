"""Merging a delta into the weights: a model like any other, in a folder of its own.

The sum is computed in float32 and stored in the model's dtype. bfloat16 keeps 8 bits, so sums are rounded and answers
differ from those of the separate delta. The base's own files are only read.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from evolm.artifacts import to_json
from evolm.export.folder import write_folder
from evolm.export.model_cards import README, Origin, merged_card
from evolm.export.predictor import saved_prompt
from evolm.export.prompt import HERE, left_out_sentence
from evolm.export.transfer import SCORE_FILE, rescored, score_sentence
from evolm.models import LanguageModel, prepare
from evolm.models.conversion import quiet_transformers
from evolm.models.deltas import Change, LowRank
from evolm.models.loading import load_weights
from evolm.wording import counted, shell_word


def export_merged(path: Path, target: Path, without_examples: bool, model: str | None = None) -> list[str]:
    """Write a model with the delta in its weights, and the prompt, into a new folder; return sentences about it.

    Args:
        path: a ``prompt.json`` with a delta beside it.
        target: the folder.
        without_examples: leave the prompt's demonstrations out.
        model: the place of the run's model, if it has moved.

    Raises:
        ConfigError: if the prompt has no delta.
    """
    with saved_prompt(path, model=model) as saved:
        changes = saved.require_changes()
        opened = saved.without_examples() if without_examples else saved
        said: list[str] = []

        def fill(folder: Path) -> dict[str, str | bytes]:
            save_merged(opened.model, changes, folder)
            base = opened.model.prepared
            merged = replace(prepare(str(folder), dtype=base.dtype, device=base.device), name=HERE)
            with closing(opened.over(merged, changed=False)) as there:
                files = there.files()
            scores = rescored(opened, merged, "merged", changed=False)
            if isinstance(scores, str):
                said.append(f"The merged model was not scored: {scores}.")
            else:
                said.append(score_sentence(scores, "merged"))
                files[SCORE_FILE] = to_json(scores)
            return files | {README: merged_card(Origin.of(opened, target.name, said))}

        write_folder(target, {}, fill)
    return [
        f"Written: {target}, a model with {counted(len(changes), 'changed module')}.",
        *said,
        *([left_out_sentence(opened.left_out)] if opened.left_out else []),
        f"Next: evolm score {shell_word(target)} ROWS, or evolm predict {shell_word(target)} ROWS --out FILE.csv",
    ]


def save_merged(model: LanguageModel, changes: Mapping[str, Change], folder: Path) -> None:
    """Write a model with changed weights: safetensors, configuration, tokenizer.

    Args:
        model: the base.
        changes: module -> change.
        folder: exists, and is empty.

    Raises:
        ModelError: if the base cannot be loaded.
    """
    weights = load_weights(model.prepared, "eager")
    modules = dict(weights.named_modules())
    with torch.no_grad():
        for name, change in changes.items():
            merge(modules[name], change)
    with quiet_transformers():
        weights.save_pretrained(folder)
        model.tokenizer.save_pretrained(folder)


def merge(module: Any, change: Change) -> None:
    """Replace a module's weights by new ones that include the change; the old arrays are not written to."""
    bias = getattr(module, "bias", None)
    if isinstance(change, LowRank):
        added = torch.tensor(change.up) @ torch.tensor(change.down)  # (out, in)
        module.weight = _like(module.weight, module.weight.float() + _stored(module, added))
        return
    factors = 1 + torch.tensor(change.gain)  # (channels,)
    if module.weight.ndim == 1:
        module.weight = _like(module.weight, _merged_norm(module, factors))
    else:
        rows = factors[:, None] if change.side == "output" else factors[None, :]  # of (out, in)
        module.weight = _like(module.weight, module.weight.float() * _stored(module, rows))
    if bias is not None and change.side == "output":
        module.bias = _like(bias, bias.float() * factors.to(bias.device))


def _stored(module: Any, matrix: torch.Tensor) -> torch.Tensor:
    """Return an ``(out, in)`` matrix in the layout of the module's weight, which GPT-2's ``Conv1D`` transposes."""
    stored = matrix if isinstance(module, nn.Linear) else matrix.T
    return stored.to(module.weight.device)


def _merged_norm(module: Any, factors: torch.Tensor) -> torch.Tensor:
    """Return the ``(channels,)`` weight that multiplies a norm's output by ``factors``."""
    offset = _offset(module)
    return (offset + module.weight.float()) * factors.to(module.weight.device) - offset


def _offset(module: Any) -> float:
    """Return 1 if a norm multiplies by 1 + its weight, as Gemma's do, 0 if by the weight itself."""
    probe = copy.deepcopy(module)
    for parameter in probe.parameters():
        parameter.data = torch.zeros_like(parameter)
    steps = torch.linspace(-1, 1, len(module.weight), device=module.weight.device, dtype=module.weight.dtype)
    return float(probe(steps[None]).abs().sum() > 0)


def _like(old: torch.Tensor, new: torch.Tensor) -> nn.Parameter:
    return nn.Parameter(new.to(old.dtype).contiguous(), requires_grad=False)
