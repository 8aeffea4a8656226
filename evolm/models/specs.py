"""What is known about a model before it loads: plain values that cross process borders. Nothing here needs torch."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class PreparedModel:
    """A model that is ready to load: what workers receive instead of weights.

    Attributes:
        name: as the campaign file gives it.
        folder: config, tokenizer and safetensors in ``dtype``.
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
    """Sizes of forward passes that a campaign chooses for a machine; ``evolm tune`` measures what they are worth.

    Attributes:
        slab_tokens: tokens in each pass of the linear layers; part of the numeric profile, since it decides bits.
        trunk_bytes: most memory of each process for states that deltas share; 0 = share none.
        prefix_bytes: most memory of each process for prompts' keys and values between batches; 0 = keep none.
    """

    slab_tokens: int = 512
    trunk_bytes: int = 256 * 2**20
    prefix_bytes: int = 128 * 2**20


@dataclass(frozen=True)
class ModelSpec:
    """What a worker needs to rebuild a model: names, no weights.

    Attributes:
        prepared: where the model lies.
        chat_template: ``"on"`` or ``"off"``.
        profile: digest of the numeric profile that the worker must arrive at by itself.
        passes: sizes of its forward passes.
    """

    prepared: PreparedModel
    chat_template: str
    profile: str
    passes: PassSettings = field(default_factory=PassSettings)


def is_hub_id(name: str) -> bool:
    """Return whether a name that is no folder can only be one of the hub, ``OWNER/NAME``."""
    return name.count("/") == 1 and not name.startswith((".", "/", "~", "package:")) and not name.endswith(".gguf")
