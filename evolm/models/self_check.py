"""Checks that a model can be scored in packs: that its architecture is supported and its packed answers are right."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from evolm.errors import ModelError
from evolm.models.forward_plan import ForwardPlan, Segment
from evolm.models.packed_forward import ATTENTION, PackedForward
from evolm.models.specs import PreparedModel
from evolm.wording import counted

# transformers' names of the number of experts
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")


def refuse_unsupported(name: str, config: Any) -> None:
    """Raise if an answer's bits would depend on the other segments in a slab.

    A layer with experts multiplies as many rows as are routed to each expert, from all segments. transformers chooses
    the factors of long rotary embeddings (longrope) by the largest position of all rows
    (``longrope_frequency_update``).

    Args:
        name: of the model, for messages.
        config: transformers' configuration.

    Raises:
        ModelError: if a layer has several experts, or the context is so long that longrope changes its factors.
    """
    text = config.get_text_config()
    experts = max((value for key in EXPERTS if isinstance(value := getattr(text, key, None), int)), default=0)
    if experts > 1:
        raise ModelError(
            f"model {name!r}: expected one feed-forward block in a layer, found {experts} experts; these are not "
            "supported"
        )
    rotary = getattr(text, "rope_parameters", None) or {}
    for rope in (rotary, *(value for value in rotary.values() if isinstance(value, dict))):
        if rope.get("rope_type") == "longrope":
            context = int(getattr(text, "max_position_embeddings", 0) or 0)
            original = int(rope.get("original_max_position_embeddings") or 0)
            if not 0 < context <= original:
                raise ModelError(
                    f"model {name!r}: expected max_position_embeddings of at most {original} for rotary embeddings "
                    f"of type 'longrope', found {context}"
                )


def refuse_unsupported_weights(name: str, model: Any) -> None:
    """Raise if a loaded model accepts no attention backend, or caps its logits.

    Raises:
        ModelError: see above.
    """
    if not model._supports_attention_backend:
        raise ModelError(
            f"model {name!r}: expected a model with exchangeable attention, found {type(model).__name__}"
        )
    if getattr(model.config.get_text_config(), "final_logit_softcapping", None):
        raise ModelError(f"model {name!r}: expected logits without a cap, found one")


def check_packed_forward(forward: PackedForward, prepared: PreparedModel) -> None:
    """Compare the packed log-probabilities of a random text with those of transformers' own forward pass.

    Raises:
        ModelError: if they are not finite, or differ by more than the dtype explains.
    """
    generator = torch.Generator().manual_seed(0)
    size = forward.head.weight.shape[0]
    ids = torch.randint(size, (12,), generator=generator).tolist()
    plan = ForwardPlan(
        segments=[
            Segment(tuple(ids[:5]), 0, -1),
            Segment(tuple(ids[5:9]), 5, 0),
            Segment((*ids[5:9], ids[11], *ids[9:11]), 5, 0, follows=(-1, 0, 1, 2, 3, 3, 5)),
        ],
        slabs=[[0, 1, 2]],
        positions=[(2, 6)],
        targets=[(0, token) for token in range(min(size, 64))],
    )
    packed = forward.logprobs(plan)
    plain = _plain_logprobs(forward, ids[:11])[: len(packed)]
    if not np.isfinite(plain).all():
        raise ModelError(f"model {prepared.name!r}: {_not_finite(forward.model, prepared.dtype)}")
    difference = float(np.abs(plain - packed).max())
    allowed = 1e-3 if prepared.dtype == "float32" else 0.5
    if not difference <= allowed:
        raise ModelError(
            f"model {prepared.name!r}: expected packed and plain forward passes that differ by at "
            f"most {allowed:g} nats, "
            f"found {difference:.3g}, so this architecture cannot be scored in packs"
        )


def _not_finite(model: Any, dtype: str) -> str:
    """Return why a model's log-probabilities are not finite."""
    for name, weight in model.named_parameters():
        broken = int((~torch.isfinite(weight)).sum())
        if broken:
            return f"expected finite weights, found {counted(broken, 'number')} in {name!r} that are NaN or infinite"
    return f"expected finite log-probabilities of a short text, found NaN: its states overflow in {dtype}"


def _plain_logprobs(forward: PackedForward, tokens: list[int]) -> np.ndarray:
    """Return ``(vocabulary,)`` float32 log-probabilities of the next token, by transformers' own attention."""
    model = forward.model
    try:
        model.set_attn_implementation("eager")
        with torch.inference_mode():
            device = forward.head.weight.device
            logits = model(input_ids=torch.tensor([tokens], device=device), use_cache=False).logits[0, -1]
    finally:
        model.set_attn_implementation(ATTENTION)
    return logits.float().log_softmax(-1).cpu().numpy()
