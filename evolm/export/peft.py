"""A delta as an adapter of PEFT (https://github.com/huggingface/peft), written without it.

A low-rank change is LoRA: its ``down`` is ``lora_A``, its ``up`` is ``lora_B``, and ``lora_alpha = r`` makes the
scaling 1. Gains of linear modules are IA3: ``ia3_l`` multiplies a module's output, or its input if the module is one
of ``feedforward_modules``. PEFT has no adapter for gains of norms.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from safetensors.numpy import save

from evolm.artifacts.locations import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from evolm.errors import ConfigError
from evolm.models.deltas import Change, LowRank
from evolm.models.structure import LINEAR, Site

PREFIX = "base_model.model."  # PEFT's own wrappers around the model


def adapter_files(
    changes: Mapping[str, Change], sites: Sequence[Site], layers: int, base: str, revision: str = ""
) -> dict[str, str | bytes]:
    """Return the two files of an adapter: name -> content.

    Args:
        changes: module -> change, all of one kind and rank, as an encoding makes them.
        sites: the modules that change.
        layers: how many layers the base has.
        base: value of ``base_model_name_or_path``.
        revision: of a base from the hub.

    Raises:
        ConfigError: if a norm changes.
    """
    refuse_norms(sites)
    config, tensors = _lora(changes, sites, layers) if _low_rank(changes) else _ia3(changes)
    head = {
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "revision": revision or None,
        "inference_mode": True,
        "modules_to_save": None,
        "fan_in_fan_out": all(site.transposed for site in sites),
    }
    arrays = {f"{PREFIX}{name}": np.ascontiguousarray(array, np.float32) for name, array in tensors.items()}
    return {
        ADAPTER_CONFIG: json.dumps(config | head, indent=2, sort_keys=True) + "\n",
        ADAPTER_WEIGHTS: save(arrays, {"format": "pt"}),
    }


def adapter_kind(changes: Mapping[str, Change]) -> str:
    """Return the name of the kind of adapter: ``"LoRA"`` or ``"IA3"``."""
    return "LoRA" if _low_rank(changes) else "IA3"


def refuse_norms(sites: Sequence[Site]) -> None:
    """Raise ConfigError if a site is a norm, for which PEFT has no adapter."""
    norms = [site.suffix for site in sites if site.kind != LINEAR]
    if norms:
        raise ConfigError(
            f"export: expected a delta of linear modules, found gains of the norm {norms[0]!r}, for which PEFT has "
            "no adapter; --to merged writes a whole model"
        )


def _low_rank(changes: Mapping[str, Change]) -> bool:
    return all(isinstance(change, LowRank) for change in changes.values())


def _lora(
    changes: Mapping[str, Change], sites: Sequence[Site], layers: int
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return PEFT's ``LoraConfig`` and the factors: ``(r, in)`` and ``(out, r)`` of each module."""
    tensors: dict[str, np.ndarray] = {}
    for name, change in changes.items():
        assert isinstance(change, LowRank)
        tensors |= {f"{name}.lora_A.weight": change.down, f"{name}.lora_B.weight": change.up}
    (rank,) = {len(change.down) for change in changes.values() if isinstance(change, LowRank)}
    chosen = sorted({site.layer for site in sites})
    config = {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": rank,
        "lora_dropout": 0.0,
        "use_rslora": False,
        "bias": "none",
        "init_lora_weights": True,
        "target_modules": sorted({site.suffix for site in sites}),
    }
    if len(chosen) < layers:
        config |= {"layers_to_transform": chosen, "layers_pattern": _layer_list(sites[0])}
    return config, tensors


def _layer_list(site: Site) -> str:
    """Return the name of the list of layers: ``"layers"`` of ``"model.layers.3.self_attn.q_proj"``."""
    return site.name.partition(f".{site.layer}.")[0].rpartition(".")[2]


def _ia3(changes: Mapping[str, Change]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return PEFT's ``IA3Config`` and the factors: ``(out, 1)`` of each module, or ``(1, in)``.

    IA3 knows no ``layers_to_transform``, so modules are named in full.
    """
    tensors: dict[str, np.ndarray] = {}
    feedforward = []
    for name, change in changes.items():
        assert not isinstance(change, LowRank)
        if change.side == "input":
            feedforward.append(name)
        shape = (1, -1) if change.side == "input" else (-1, 1)
        tensors[f"{name}.ia3_l"] = (1 + change.gain).reshape(shape)
    config = {
        "peft_type": "IA3",
        "init_ia3_weights": True,
        "target_modules": list(changes),
        "feedforward_modules": feedforward,
    }
    return config, tensors
