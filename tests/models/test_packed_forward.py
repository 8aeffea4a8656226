"""Packed log-probabilities are those of a plain transformers forward pass, for every shape of request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    BloomConfig,
    Gemma2Config,
    GPT2Config,
    GPTNeoXConfig,
    MistralConfig,
    MixtralConfig,
    Phi3Config,
    Qwen2Config,
    Qwen3MoeConfig,
)

from evolm.errors import ModelError
from evolm.evaluation.plan import plan, split_answers
from evolm.models import Answer, LanguageModel, LogLikelihood, prepare

LONG = "Messages that promise prizes and ask for a call are spam, others are not. " * 4  # 4.6 blocks of 64 tokens
REQUESTS = {
    "labels of one and of several tokens": LogLikelihood("Spam?\n\n", "Text: win a prize\nLabel:", (" spam", " ham")),
    "labels that share a first token": LogLikelihood("Mood\n\n", "Text: hi\nLabel:", (" happy", " ham", " h")),
    "an empty prefix": LogLikelihood("", "Text: hello\nLabel:", (" spam", " ham")),
    "an empty item": LogLikelihood("The answer is", "", (" spam", " ham")),
    "a prefix of several blocks": LogLikelihood(LONG, "Text: hello\nLabel:", (" spam", " ham")),
    "an item longer than a block": LogLikelihood("Spam?\n\n", "Text: " + "so long " * 20 + "\nLabel:", (" spam",)),
    "a continuation longer than a block": LogLikelihood("Tell: ", "why", (" because " + "it is " * 15, " no")),
    "a prefix whose last token the item changes": LogLikelihood("Spam?\n\nTe", "xt: hi\nLabel:", (" spam", " ham")),
    "a continuation inside another": LogLikelihood("A", "b", (" ha", " ham", " hammer")),
    "a system message": LogLikelihood("Spam?\n\n", "Text: hi\nLabel:", (" spam", " ham"), system="Be brief."),
}


def packed(model: LanguageModel, requests: Sequence[LogLikelihood]) -> list[Answer]:
    tokenized = model.tokenize(requests)
    forward_plan = plan(tokenized, model.profile.slab_tokens, model.profile.block_tokens)
    return split_answers(tokenized, model.forward.logprobs(forward_plan))


def plain_weights(folder: str | Path, dtype: str = "float32") -> Any:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype), attn_implementation="eager")
    return model.eval()


def plain(weights: Any, model: LanguageModel, request: LogLikelihood) -> Answer:
    """One full forward per continuation, no sharing, no cuts, no cache."""
    tokens = model.tokenize([request])[0]
    answer = []
    for continuation in tokens.continuations:
        ids = torch.tensor([[*tokens.context, *continuation]])
        with torch.inference_mode():
            logprobs = weights(input_ids=ids, use_cache=False).logits[0].float().log_softmax(-1)
        places = torch.arange(len(tokens.context) - 1, ids.shape[1] - 1)
        answer.append(logprobs[places, torch.tensor(continuation)].numpy())
    return tuple(answer)


def furthest(ours: Sequence[Answer], theirs: Sequence[Answer]) -> float:
    assert [[len(c) for c in a] for a in ours] == [[len(c) for c in a] for a in theirs]
    pairs = [(a, b) for x, y in zip(ours, theirs, strict=True) for a, b in zip(x, y, strict=True)]
    return max(float(np.abs(a - b).max()) for a, b in pairs)


@pytest.fixture(scope="module")
def weights(tiny_model_folder: Path) -> Any:
    return plain_weights(tiny_model_folder)


@pytest.mark.parametrize("chat", ["on", "off"])
@pytest.mark.parametrize("name", REQUESTS)
def test_packed_log_probabilities_are_those_of_a_plain_forward(
    name: str, chat: str, tiny_model: Callable[..., LanguageModel], weights: Any
) -> None:
    model = tiny_model("float32", chat)
    assert furthest(packed(model, [REQUESTS[name]]), [plain(weights, model, REQUESTS[name])]) < 1e-4


def test_all_requests_in_one_pack_keep_their_own_answers(
    tiny_model: Callable[..., LanguageModel], weights: Any
) -> None:
    model = tiny_model("float32", "off")
    requests = list(REQUESTS.values())
    assert furthest(packed(model, requests), [plain(weights, model, r) for r in requests]) < 1e-4


def test_the_tiny_model_tells_answers_apart(tiny_model: Callable[..., LanguageModel]) -> None:
    """Otherwise the tolerances of this file would prove nothing."""
    answers = packed(tiny_model("float32", "off"), list(REQUESTS.values()))
    firsts = [float(c[0]) for a in answers for c in a]
    assert np.std(firsts) > 1


def test_bfloat16_answers_are_near_those_of_float32(tiny_model: Callable[..., LanguageModel], weights: Any) -> None:
    model = tiny_model("bfloat16", "off")
    requests = list(REQUESTS.values())
    ours, exact = packed(model, requests), [plain(weights, model, r) for r in requests]
    assert 0 < furthest(ours, exact) < 1.5
    gaps = np.concatenate(
        [np.abs(x - y) for a, b in zip(ours, exact, strict=True) for x, y in zip(a, b, strict=True)]
    )
    assert gaps.mean() < 0.15


def test_log_probabilities_are_normalised_over_the_whole_vocabulary(tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model("float32", "off")
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    (answer,) = packed(model, [LogLikelihood("Spam?\n", "Text: x", tuple(letters))])
    total = sum(np.exp(float(c[0])) for c in answer)
    assert 0 < total < 1


# -- other architectures -------------------------------------------------------------------------------------

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "initializer_range": 0.5}
LLAMA_LIKE = {**SMALL, "intermediate_size": 64, "num_key_value_heads": 2, "head_dim": 8}


def architecture(config: Any, folder: Path, tokenizer: Any) -> LanguageModel:
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(config, name, getattr(tokenizer, name))
    config.vocab_size = len(tokenizer)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        AutoModelForCausalLM.from_config(config).float().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return LanguageModel(prepare(str(folder), dtype="float32", device="cpu"), "off")


def test_a_sliding_window_is_kept_across_blocks(tmp_path: Path, tiny_tokenizer: Any) -> None:
    config = MistralConfig(**LLAMA_LIKE, sliding_window=16, max_position_embeddings=512)
    model = architecture(config, tmp_path, tiny_tokenizer)
    requests = list(REQUESTS.values())
    windowed = plain_weights(tmp_path)
    assert furthest(packed(model, requests), [plain(windowed, model, r) for r in requests]) < 1e-4
    whole = AutoConfig.from_pretrained(tmp_path)
    whole.sliding_window = None
    unwindowed = AutoModelForCausalLM.from_pretrained(tmp_path, config=whole, attn_implementation="eager").eval()
    assert furthest(packed(model, requests), [plain(unwindowed, model, r) for r in requests]) > 0.1


@pytest.mark.parametrize(
    "config",
    [
        Qwen2Config(**{k: v for k, v in LLAMA_LIKE.items() if k != "head_dim"}, max_position_embeddings=512),
        GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=512, initializer_range=0.5),
        GPTNeoXConfig(**SMALL, intermediate_size=64, max_position_embeddings=512),
        BloomConfig(hidden_size=32, n_layer=2, n_head=4, initializer_range=0.5),
        Gemma2Config(**LLAMA_LIKE, max_position_embeddings=512, attn_logit_softcapping=1.0, sliding_window=16),
    ],
    ids=lambda config: config.model_type,
)
def test_another_architecture_is_right_or_refused(config: Any, tmp_path: Path, tiny_tokenizer: Any) -> None:
    model = architecture(config, tmp_path, tiny_tokenizer)
    requests = list(REQUESTS.values())
    try:
        ours = packed(model, requests)
    except ModelError as error:
        refusal = str(error)
    else:
        weights = plain_weights(tmp_path)
        assert furthest(ours, [plain(weights, model, r) for r in requests]) < 1e-3
        return
    assert str(tmp_path) in refusal


# -- what neighbours in a slab would change ------------------------------------------------------------------

MOE = {**LLAMA_LIKE, "max_position_embeddings": 512}
LONGROPE = {
    **{name: value for name, value in LLAMA_LIKE.items() if name != "head_dim"},
    "max_position_embeddings": 512,
    "pad_token_id": 0,
}


def longrope(original: int) -> dict[str, Any]:
    factors = {"short_factor": [1.0] * 4, "long_factor": [4.0] * 4}
    return {"rope_type": "longrope", "rope_theta": 1e4, "original_max_position_embeddings": original, **factors}


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (MixtralConfig(**MOE, num_local_experts=4), "found 4 experts"),
        (Qwen3MoeConfig(**MOE, num_experts=3, num_experts_per_tok=2, moe_intermediate_size=16), "found 3 experts"),
        (
            Phi3Config(**LONGROPE, original_max_position_embeddings=64, rope_parameters=longrope(64)),
            "expected max_position_embeddings of at most 64 .*'longrope', found 512",
        ),
    ],
    ids=lambda value: getattr(value, "model_type", ""),
)
def test_an_architecture_whose_rows_depend_on_each_other_is_refused(
    config: Any, reason: str, tmp_path: Path, tiny_tokenizer: Any
) -> None:
    model = architecture(config, tmp_path, tiny_tokenizer)
    with pytest.raises(ModelError, match=reason) as caught:
        packed(model, list(REQUESTS.values()))
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_long_rotary_embeddings_are_right_where_no_text_is_longer_than_the_short_ones(
    tmp_path: Path, tiny_tokenizer: Any
) -> None:
    config = Phi3Config(**LONGROPE, original_max_position_embeddings=512, rope_parameters=longrope(512))
    model = architecture(config, tmp_path, tiny_tokenizer)
    requests = list(REQUESTS.values())
    assert furthest(packed(model, requests), [plain(plain_weights(tmp_path), model, r) for r in requests]) < 1e-3


def test_a_model_with_one_expert_or_none_is_no_mixture(tmp_path: Path, tiny_tokenizer: Any) -> None:
    config = MistralConfig(**LLAMA_LIKE, max_position_embeddings=512)
    config.num_experts = 0
    assert packed(architecture(config, tmp_path, tiny_tokenizer), [REQUESTS["an empty prefix"]])
