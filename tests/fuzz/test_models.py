"""A model's folder and GGUF files with any content: the model is read in little memory, or refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFWriter
from hypothesis import given
from hypothesis import strategies as st

from evolm.models import LanguageModel, prepare
from evolm.models.conversion import _check_gguf
from tests.support.mutations import VALUES, altered, changed, fuzz
from tests.support.sealed import works_or_refuses
from tests.support.tiers import slow

LARGE = st.sampled_from([2**31, 2**31 - 1, 2**40, 2**63, 10**30, 1e12, -1, 0, 4097, "owner/kernel"])


@pytest.fixture
def folder(tmp_path: Path, tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the tiny model, and a cache of converted models beside it."""
    (tmp_path / "secret").mkdir()
    folder = Path(shutil.copytree(tiny_model_folder, tmp_path / "all" / "model"))
    monkeypatch.setenv("EVOLM_CACHE", str(tmp_path / "all" / "cache"))
    yield folder


def write_gguf(path: Path) -> bytes:
    """Write a GGUF file of one layer, with texts and arrays in its header, and return its content."""
    writer = GGUFWriter(path, "llama")
    writer.add_embedding_length(64)
    writer.add_block_count(1)
    writer.add_context_length(128)
    writer.add_head_count(2)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(["a", "b", "ab", "<s>"])
    writer.add_token_types([1, 1, 1, 3])
    writer.add_token_merges(["a b"])
    writer.add_tensor("blk.0.attn_q.weight", np.ones((64, 64), dtype=np.float32))
    writer.add_tensor("token_embd.weight", np.ones((4, 64), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


def load(folder: Path) -> None:
    model = LanguageModel(prepare(str(folder), dtype="float32", device="cpu"), "off")
    assert model.structure.layers and model.count_tokens("hello") and model.forward is not None


@pytest.mark.parametrize("examples", [12, slow(60)])
def test_any_settings_are_used_or_refused(folder: Path, examples: int) -> None:
    config = json.loads((folder / "config.json").read_bytes())
    keys = st.sampled_from([*config, "num_experts", "n_layer", "attn_implementation", "auto_map", "layer_types"])

    @fuzz(examples)
    @given(st.dictionaries(keys, LARGE | VALUES, min_size=1, max_size=2), changed(config), st.booleans())
    def check(values: dict[str, object], other: object, by_key: bool) -> None:
        (folder / "config.json").write_text(json.dumps({**config, **values} if by_key else other), encoding="utf-8")
        works_or_refuses(lambda: load(folder), folder.parent)

    check()


@pytest.mark.parametrize("examples", [8, slow(40)])
@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "tokenizer.json", "model.safetensors"])
def test_altered_files_are_used_or_refused(folder: Path, name: str, examples: int) -> None:
    content = (folder / name).read_bytes()
    header = content[:4000]  # of the weights: what follows is numbers

    @fuzz(examples)
    @given(altered(header))
    def check(changed_header: bytes) -> None:
        (folder / name).write_bytes(changed_header + content[len(header) :])
        works_or_refuses(lambda: load(folder), folder.parent)

    check()


@pytest.mark.parametrize("examples", [60, slow(400)])
def test_any_header_of_gguf_is_read_or_refused(folder: Path, examples: int) -> None:
    content = write_gguf(folder / "tiny.gguf")
    assert _check_gguf(folder / "tiny.gguf") == 64 * 64 + 4 * 64
    header = content[: len(content) - 4 * (64 * 64 + 4 * 64)]

    @fuzz(examples)
    @given(altered(header))
    def check(changed_header: bytes) -> None:
        (folder / "tiny.gguf").write_bytes(changed_header + content[len(header) :])
        works_or_refuses(lambda: _check_gguf(folder / "tiny.gguf"), folder.parent)

    check()


@pytest.mark.slow
def test_altered_gguf_is_converted_or_refused(folder: Path) -> None:
    content = write_gguf(folder / "tiny.gguf")
    header = content[: len(content) - 4 * (64 * 64 + 4 * 64)]

    @fuzz(60)
    @given(altered(header, most=1))
    def check(changed_header: bytes) -> None:
        (folder / "tiny.gguf").write_bytes(changed_header + content[len(header) :])
        works_or_refuses(lambda: prepare(str(folder / "tiny.gguf"), dtype="float32", device="cpu"), folder.parent)

    check()
