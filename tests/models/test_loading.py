"""Models are found, checked, converted once; what cannot be loaded is refused in one sentence."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch

from evolm.errors import EvolmError, ModelError
from evolm.models import LanguageModel, LogLikelihood, PreparedModel, prepare
from evolm.models.checkpoint_folder import TOKENIZER_FILES
from evolm.models.conversion import cache_folder

Prepared = Callable[..., PreparedModel]


def refusal(name: str | Path, **settings: Any) -> str:
    with pytest.raises(EvolmError) as caught:
        prepare(str(name), device="cpu", **{"dtype": "float32", **settings})
    message = str(caught.value)
    assert isinstance(caught.value, ModelError), f"{type(caught.value).__name__}: {message}"
    assert "\n" not in message
    assert Path(name).name in message
    return message


# -- what is refused -----------------------------------------------------------------------------------------


def test_a_folder_with_only_pickled_weights_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "expected .safetensors files, found none" in refusal(folder)


def test_a_folder_without_config_is_refused(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert "expected config.json, found none" in refusal(folder)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    assert "expected a folder, a .gguf file or a hub id" in refusal(tmp_path / "nowhere")


@pytest.mark.parametrize("keep", [0, 5, 200, -40])
def test_truncated_safetensors_are_refused_with_the_files_name(keep: int, folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    assert "model.safetensors" in refusal(folder)


def test_a_folder_whose_config_is_no_json_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match=re.escape(str(folder))):
        LanguageModel(prepare(str(folder), dtype="float32", device="cpu")).tokenize([LogLikelihood("a", "b", ("c",))])


def test_a_folder_whose_config_is_no_json_is_refused_when_it_is_converted(folder: Path, own_cache: Path) -> None:
    (folder / "config.json").write_text("{", encoding="utf-8")
    refusal(folder, dtype="bfloat16")
    assert not own_cache.exists()


def test_a_folder_without_tokenizer_is_refused(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(ModelError, match="tokenizer"):
        LanguageModel(prepare(str(folder), dtype="float32", device="cpu")).tokenize([LogLikelihood("a", "b", ("c",))])


def tiny_gguf(path: Path) -> Path:
    from gguf import GGUFWriter

    writer = GGUFWriter(path, "llama")
    writer.add_tensor("blk.0.attn_q.weight", np.ones((64, 64), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("part", [0.0, 0.001, 0.005, 0.5, 0.99])
def test_a_truncated_gguf_is_refused_with_its_name(part: float, tmp_path: Path) -> None:
    path = tiny_gguf(tmp_path / "cut.gguf")
    content = path.read_bytes()
    path.write_bytes(content[: 4 + int(part * len(content))])
    assert "truncated" in refusal(path)


@pytest.mark.parametrize("content", [b"", b"GG", b"PK\x03\x04 a zip file, really"])
def test_a_file_that_is_not_gguf_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "other.gguf").write_bytes(content)
    assert "expected a GGUF file" in refusal(tmp_path / "other.gguf")


# -- the hub -------------------------------------------------------------------------------------------------


def test_a_hub_id_asks_for_nothing_that_could_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def snapshot_download(repo_id: str, **settings: Any) -> str:
        calls.append((repo_id, settings))
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    prepared = prepare("someone/model", revision="v1", dtype="float32", device="cpu")
    assert prepared.folder == str(folder)
    assert prepared.name == "someone/model"
    ((name, settings),) = calls
    assert (name, settings["revision"]) == ("someone/model", "v1")
    assert "*.safetensors" in settings["allow_patterns"]
    for harmful in ("*.bin", "*.py", "*.pt", "*.pkl", "*", "*.pth", "*.h5"):
        assert harmful not in settings["allow_patterns"]


def test_a_hub_id_that_cannot_be_fetched_is_refused() -> None:
    assert "expected a folder or a model of the hub, found neither" in refusal("someone/no-such-model-of-evolm")


@pytest.mark.parametrize("name", ["gpt2", "../someone/model", "a/b/c", "./model", "~/model"])
def test_what_is_no_hub_id_never_reaches_the_hub(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: pytest.fail("asked the hub"))
    refusal(name)


# -- conversion ----------------------------------------------------------------------------------------------


def test_a_folder_in_the_wanted_dtype_is_used_where_it_lies(tiny_prepared: Prepared, tiny_model_folder: Path) -> None:
    assert tiny_prepared("float32").folder == str(tiny_model_folder)


def test_conversion_happens_once_and_loads(tiny_model_folder: Path, own_cache: Path) -> None:
    first = prepare(str(tiny_model_folder), dtype="bfloat16", device="cpu")
    assert Path(first.folder).parent == own_cache == cache_folder() / "models"
    stamps = {path.name: path.stat().st_mtime_ns for path in Path(first.folder).iterdir()}
    assert prepare(str(tiny_model_folder), dtype="bfloat16", device="cpu") == first
    assert {path.name: path.stat().st_mtime_ns for path in Path(first.folder).iterdir()} == stamps
    model = LanguageModel(first)
    assert model.chat
    assert next(model.forward.model.parameters()).dtype == torch.bfloat16
    assert model.tokenize([LogLikelihood("a", "b", (" spam",))])


def test_fingerprint_follows_weights_config_and_tokenizer_but_not_the_place(
    folder: Path, tiny_prepared: Prepared
) -> None:
    before = tiny_prepared("float32").fingerprint
    assert prepare(str(folder), dtype="float32", device="cpu").fingerprint == before
    assert tiny_prepared("bfloat16").fingerprint == before
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 1e-3}), encoding="utf-8")
    assert prepare(str(folder), dtype="float32", device="cpu").fingerprint != before


@pytest.mark.parametrize("name", TOKENIZER_FILES)
def test_fingerprint_follows_every_file_of_the_tokenizer(name: str, folder: Path) -> None:
    path = folder / name.replace("*", "some")
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(path.read_bytes() if path.exists() else b"{}")
    before = prepare(str(folder), dtype="float32", device="cpu").fingerprint
    path.write_bytes(path.read_bytes() + b"\n")
    assert prepare(str(folder), dtype="float32", device="cpu").fingerprint != before


def test_a_chat_template_corrected_in_the_tokenizers_settings_reaches_a_converted_model(
    folder: Path, own_cache: Path
) -> None:
    (folder / "chat_template.jinja").unlink()
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    said = []
    for word in ("Wrong", "Right"):
        path.write_text(
            json.dumps({**settings, "chat_template": word + "{{ messages[0]['content'] }}"}), encoding="utf-8"
        )
        model = LanguageModel(prepare(str(folder), dtype="bfloat16", device="cpu"), "on")
        said.append(model.render_messages([{"role": "user", "content": "x"}]))
    assert said == ["Wrongx", "Rightx"]


@pytest.mark.parametrize("umask", [0o077, 0o002])
def test_a_converted_model_follows_the_umask(tiny_model_folder: Path, own_cache: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        prepare(str(tiny_model_folder), dtype="bfloat16", device="cpu")
    finally:
        os.umask(before)
    for path in own_cache.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o777 if path.is_dir() else 0o666) & ~umask, path


@pytest.mark.slow
def test_two_processes_that_convert_at_once_leave_one_good_folder(tiny_model_folder: Path, own_cache: Path) -> None:
    fresh = multiprocessing.get_context("spawn")  # torch's thread pool does not survive a fork
    started = [
        fresh.Process(target=prepare, args=(str(tiny_model_folder),), kwargs={"dtype": "bfloat16", "device": "cpu"})
        for _ in range(2)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0, 0]
    (folder,) = [path for path in own_cache.iterdir() if path.is_dir()]
    made = folder.stat().st_mtime_ns
    prepared = prepare(str(tiny_model_folder), dtype="bfloat16", device="cpu")
    assert (prepared.folder, folder.stat().st_mtime_ns) == (str(folder), made)
    assert LanguageModel(prepared).forward


def test_an_interrupted_conversion_leaves_no_half_folder(
    tiny_model_folder: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import PreTrainedModel

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(PreTrainedModel, "save_pretrained", full)
        assert "No space left" in refusal(tiny_model_folder, dtype="bfloat16")
    assert [path.name for path in own_cache.iterdir() if path.is_dir()] == []
    assert prepare(str(tiny_model_folder), dtype="bfloat16", device="cpu")


# -- memory --------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_are_mapped_from_their_file(dtype: str, tiny_prepared: Prepared) -> None:
    model = LanguageModel(tiny_prepared(dtype)).forward.model
    weights = str(Path(tiny_prepared(dtype).folder) / "model.safetensors")
    ranges = []
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        if line.endswith(weights):
            begin, end = line.split()[0].split("-")
            ranges.append((int(begin, 16), int(end, 16)))
    for name, parameter in model.named_parameters():
        assert any(begin <= parameter.data_ptr() < end for begin, end in ranges), f"{name} is a copy"
