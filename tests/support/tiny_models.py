"""Variants of the tiny model."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoTokenizer, LlamaForCausalLM


def write_talkative_model(folder: Path, tiny: Path) -> None:
    """Write the tiny model with 4096 tokens of context, all tokens about as likely, and thirteen that end a text."""
    model = LlamaForCausalLM.from_pretrained(tiny)
    model.config.max_position_embeddings = 4096
    model.config.eos_token_id = [model.config.eos_token_id, *range(12)]
    with torch.no_grad():
        model.lm_head.weight.mul_(0.1)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny).save_pretrained(folder)
