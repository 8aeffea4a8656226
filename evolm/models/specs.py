"""Descriptions of a model that is not loaded yet: plain values that cross process borders. None needs torch."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class PreparedModel:
    """A model that is ready to load; workers receive this instead of weights.

    Attributes:
        name: name in the campaign file.
        folder: holds config, tokenizer and safetensors in ``dtype``.
        fingerprint: SHA-256 of the source's weights, config and tokenizer.
        dtype: ``"float32"`` or ``"bfloat16"``.
        device: torch device.
    """

    name: str
    folder: str
    fingerprint: str
    dtype: str
    device: str


@dataclass(frozen=True)
class PassSettings:
    """Sizes of forward passes that a campaign chooses for a machine; ``evolm tune`` measures their speed.

    Attributes:
        slab_tokens: tokens in each pass of the linear layers; part of the numeric profile, since it decides bits.
        trunk_bytes: most bytes in each process for states that deltas share; 0 = share none.
        prefix_bytes: most bytes in each process for prompts' keys and values between batches; 0 = keep none.
    """

    slab_tokens: int = 512
    trunk_bytes: int = 256 * 2**20
    prefix_bytes: int = 128 * 2**20


@dataclass(frozen=True)
class ModelSpec:
    """The description from which a worker loads its own copy of a model.

    Attributes:
        prepared: name, folder, dtype and device.
        chat_template: ``"on"`` or ``"off"``.
        profile: the campaign's numeric profile as JSON, which must be that of the worker.
        passes: sizes of its forward passes.
        mixed_hosts: whether a worker with another numeric profile answers nevertheless.
    """

    prepared: PreparedModel
    chat_template: str
    profile: str
    passes: PassSettings = field(default_factory=PassSettings)
    mixed_hosts: bool = False


def is_hub_id(name: str) -> bool:
    """Return whether a name that is no folder has the form of a hub id, ``OWNER/NAME``."""
    return name.count("/") == 1 and not name.startswith((".", "/", "~", "package:")) and not name.endswith(".gguf")
