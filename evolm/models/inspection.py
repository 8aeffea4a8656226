"""Reads a model's structure from its transformers configuration, without its weights."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoModelForCausalLM

from evolm.errors import ModelError
from evolm.models.structure import LINEAR, NORM, Site, Structure


def layer_list(model: Any) -> tuple[str, Any]:
    """Return the name and the list of a causal LM's layers.

    Raises:
        ModelError: if it has no such list.
    """
    count = model.config.get_text_config().num_hidden_layers
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == count:
            return name, module
    raise ModelError(f"{type(model).__name__}: expected a list of {count} layers, found none")


def described(config: Any) -> Any:
    """Return the model that a transformers configuration describes, without memory for its weights."""
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, attn_implementation="eager")


def require_described(name: str, config: Any, stored: int) -> int:
    """Return how many parameters a configuration describes.

    transformers makes room for all of them, before it finds that some are not in the files.

    Args:
        name: of the model.
        config: its configuration.
        stored: how many numbers its files hold.

    Raises:
        ModelError: if they are more than twice those of the files, which may share one matrix for two purposes.
    """
    found = sum(parameter.numel() for parameter in described(config).parameters())
    if found > 2 * stored:
        raise ModelError(
            f"model {name!r}: expected settings that fit the {stored:,} numbers in its files, found settings of a "
            f"model with {found:,} parameters"
        )
    return found


def read_structure(config: Any) -> Structure:
    """Return the structure that a transformers configuration describes."""
    model = described(config)
    name, layers = layer_list(model)
    sites = [
        site
        for index, layer in enumerate(layers)
        for path, module in layer.named_modules()
        if (site := _site(f"{name}.{index}.{path}", index, module)) is not None
    ]
    return Structure(len(layers), tuple(sites))


def _site(name: str, layer: int, module: Any) -> Site | None:
    weight = getattr(module, "weight", None)
    if weight is None or any(True for _ in module.children()):
        return None
    if isinstance(module, torch.nn.Linear):
        return Site(name, layer, LINEAR, module.in_features, module.out_features)
    if type(module).__name__ == "Conv1D" and weight.ndim == 2:
        return Site(name, layer, LINEAR, weight.shape[0], weight.shape[1], transposed=True)
    return Site(name, layer, NORM, len(weight), len(weight)) if weight.ndim == 1 else None
