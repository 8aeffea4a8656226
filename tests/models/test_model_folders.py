"""Folders that users name as a model: a whole float model is loaded, anything else is refused in one sentence."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from evolm.errors import EvolmError, ModelError
from evolm.models import LanguageModel, prepare
from evolm.models.conversion import converted, unpacked

Change = Callable[[Path], None]


def load(folder: Path, dtype: str = "float32") -> LanguageModel:
    """Load a model as a run does: settings, tokenizer, structure, weights, self-check."""
    model = LanguageModel(prepare(str(folder), dtype=dtype, device="cpu"), "off")
    assert model.structure.layers and model.count_tokens("hello") and model.forward is not None
    return model


def set_config(**values: Any) -> Change:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **values}), encoding="utf-8")

    return change


def only_adapter(folder: Path) -> None:
    (folder / "config.json").rename(folder / "adapter_config.json")
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")


def adapter_beside(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}", encoding="utf-8")


def quantised(method: str) -> Change:
    return set_config(quantization_config={"quant_method": method, "bits": 4, "load_in_4bit": True})


def with_nan(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.0.mlp.up_proj.weight"][0, 0] = float("nan")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def without_tokenizer(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()


def only_pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


CASES: dict[str, tuple[Change, str]] = {
    "adapter": (only_adapter, "expected a whole model, found an adapter (adapter_config.json)"),
    "adapter beside": (adapter_beside, "expected a model alone, found an adapter beside it (adapter_config.json)"),
    **{
        name: (quantised(name), f"expected weights of a float type, found quantised ones ({name})")
        for name in ("bitsandbytes", "gptq", "awq", "compressed-tensors", "fp8", "some-new-method")
    },
    "unknown type": (set_config(model_type="lama"), "found 'lama'; did you mean 'llama'?"),
    "no type": (set_config(model_type=None), "expected a model_type that transformers"),
    "encoder": (
        set_config(model_type="bert", architectures=["BertForMaskedLM"]),
        "expected a causal language model, which predicts the next token, found 'BertForMaskedLM'",
    ),
    "classifier": (set_config(architectures=["LlamaForSequenceClassification"]), "expected a causal language model"),
    "seq2seq": (set_config(model_type="t5", architectures=["T5Model"]), "found 'T5Model'"),
    "encoder and decoder": (
        set_config(model_type="bart", is_encoder_decoder=True),
        "expected a causal language model",
    ),
    "images": (set_config(model_type="vit", architectures=None), "found 'vit'"),
    "NaN": (with_nan, "expected finite weights, found 1 number in 'model.layers.0.mlp.up_proj.weight' that are NaN"),
    "no tokenizer": (without_tokenizer, "its tokenizer cannot be read"),
    "pickled": (only_pickled, "expected .safetensors files, found none (pytorch_model.bin is not loaded)"),
    "no heads": (set_config(num_attention_heads=0), "config.json"),
    "text for a number": (set_config(hidden_size="wide"), "config.json"),
    "other shapes": (set_config(hidden_size=64), "cannot be loaded"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_no_whole_float_model_is_refused_in_one_sentence(case: str, folder: Path) -> None:
    change, expected = CASES[case]
    change(folder)
    with pytest.raises(ModelError) as caught:
        load(folder)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)


@pytest.mark.parametrize("case", ["adapter beside", "gptq", "text for a number"])
def test_nothing_is_kept_of_a_model_that_cannot_be_converted(case: str, folder: Path, own_cache: Path) -> None:
    CASES[case][0](folder)
    with pytest.raises(ModelError):
        prepare(str(folder), dtype="bfloat16", device="cpu")
    assert not own_cache.exists() or [path for path in own_cache.iterdir() if path.is_dir()] == []


@pytest.mark.parametrize("lost", ["config.json", "model.safetensors", "half"])
def test_a_broken_folder_in_the_cache_is_converted_again(lost: str, folder: Path, own_cache: Path) -> None:
    target = Path(prepare(str(folder), dtype="bfloat16", device="cpu").folder)
    assert target.parent == own_cache
    weights = target / "model.safetensors"
    if lost == "half":
        weights.write_bytes(weights.read_bytes()[:-100])
    else:
        (target / lost).unlink()
    assert load(folder, "bfloat16").prepared.folder == str(target)


@pytest.mark.parametrize("name", ["file", "file/inside"])
def test_a_cache_that_cannot_be_made_is_one_sentence(
    name: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("EVOLM_CACHE", str(tmp_path / name))
    with pytest.raises(
        ModelError, match="expected a folder that .* can be written to: .*; .* EVOLM_CACHE names another"
    ):
        prepare(str(folder), dtype="bfloat16", device="cpu")


def test_a_converted_model_is_found_in_a_cache_that_cannot_be_written_to(
    folder: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = prepare(str(folder), dtype="bfloat16", device="cpu")

    def refuse(*arguments: Any, **settings: Any) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert prepare(str(folder), dtype="bfloat16", device="cpu") == prepared


def test_weights_of_a_gguf_file_are_unpacked(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.models.test_loading import tiny_gguf

    asked: dict[str, Any] = {}

    def refuse(*arguments: Any, **given: Any) -> None:
        asked.update(given)
        raise ValueError("no more is needed")

    source = tiny_gguf(tmp_path / "tiny.gguf")
    monkeypatch.setattr("evolm.models.conversion._check_gguf", lambda path: None)
    monkeypatch.setattr("evolm.models.conversion.AutoConfig.from_pretrained", lambda *a, **k: None)
    monkeypatch.setattr("evolm.models.conversion.require_described", lambda *arguments: 1)
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", refuse)
    with pytest.raises(ModelError, match="no more is needed"):
        converted(source, "0" * 64, "float32")
    if unpacked():
        assert asked["quantization_config"].dequantize is True


# -- any content ---------------------------------------------------------------------------------------------

FUZZ = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-4, 600),
    st.floats(),
    st.text(max_size=8),
    st.lists(st.integers(-2, 8), max_size=3),
    st.dictionaries(st.sampled_from(["rope_type", "factor", "quant_method"]), st.integers(-2, 4), max_size=2),
)
KEYS = (
    "model_type",
    "architectures",
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "hidden_act",
    "rope_parameters",
    "max_position_embeddings",
    "quantization_config",
    "tie_word_embeddings",
    "eos_token_id",
    "torch_dtype",
    "attention_bias",
    "rms_norm_eps",
)


@pytest.mark.slow
@FUZZ
@given(st.dictionaries(st.sampled_from(KEYS), VALUES, min_size=1, max_size=2))
def test_any_settings_of_a_model_are_used_or_refused(folder: Path, tiny_model_folder: Path, values: Any) -> None:
    shutil.copy(tiny_model_folder / "config.json", folder / "config.json")
    set_config(**values)(folder)
    try:
        load(folder)
    except EvolmError as error:
        assert "\n" not in str(error)


@pytest.mark.slow
@FUZZ
@given(st.binary(max_size=200), st.one_of(st.none(), st.integers(0, 2**64 - 1)), st.integers(0, 400))
def test_any_header_of_weights_is_read_or_refused(
    folder: Path, tiny_model_folder: Path, new: bytes, length: int | None, place: int
) -> None:
    content = bytearray((tiny_model_folder / "model.safetensors").read_bytes())
    content[8 + place : 8 + place + len(new)] = new
    if length is not None:
        content[:8] = struct.pack("<Q", length)
    (folder / "model.safetensors").write_bytes(content)
    try:
        load(folder)
    except EvolmError as error:
        assert "\n" not in str(error)


def test_a_model_in_float16_is_converted(folder: Path, own_cache: Path) -> None:
    weights = {name: tensor.to(torch.float16) for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    assert Path(load(folder).prepared.folder).parent == own_cache
