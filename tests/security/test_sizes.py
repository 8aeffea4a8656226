"""Small files that declare or unpack to huge sizes: each is refused in one sentence, in little memory."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors import SafetensorError
from safetensors.numpy import load

from evolm.config import CampaignConfig, validate
from evolm.errors import ConfigError, DataError, ModelError
from evolm.models import LanguageModel, prepare
from evolm.models.conversion import _check_gguf
from evolm.storage import unpacked
from evolm.tasks import read_table
from evolm.tasks.expressions import Expression
from tests.fuzz.test_models import write_gguf
from tests.support.sealed import little_memory
from tests.support.tiers import slow


def bomb_of_gzip(size: int) -> bytes:
    """Return gzip of ``size`` bytes, compressed by hand: the same block again and again."""
    packer = zlib.compressobj(9, wbits=31)
    block = b"a" * 2**20
    return b"".join(packer.compress(block) for _ in range(size // len(block))) + packer.flush()


@pytest.mark.parametrize("most", [2**21, slow(unpacked.ALWAYS)])
def test_a_file_of_gzip_that_unpacks_to_much_more_is_refused(
    most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacked, "ALWAYS", most)
    (tmp_path / "rows.csv.gz").write_bytes(bomb_of_gzip(most + 2**21))
    with little_memory(), pytest.raises(DataError, match="rows.csv.gz: expected at most [0-9]+ MB .*; unpack it"):
        read_table("rows.csv.gz", root=tmp_path)


def test_gzip_in_gzip_is_text_that_is_refused_and_not_unpacked_again(tmp_path: Path) -> None:
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress(gzip.compress(b"text,label\na,b\n")))
    with pytest.raises(DataError, match="expected text, found gzip data"):
        read_table("rows.csv.gz", root=tmp_path)


def test_an_ordinary_file_of_gzip_is_read(tmp_path: Path) -> None:
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress(b"text,label\n" + b"a,b\n" * 20_000))
    assert len(read_table("rows.csv.gz", root=tmp_path).frame) == 20_000


def long_value() -> pa.Table:
    """A megabyte that a dictionary repeats 200,000 times."""
    indices = pa.array(np.zeros(200_000, np.int32))
    return pa.table({"text": pa.DictionaryArray.from_arrays(indices, ["x" * 2**20])})


BOMBS: dict[str, Callable[[], pa.Table]] = {
    "a long value": long_value,
    "nothing": lambda: pa.table({"text": pa.nulls(30_000_000)}),
    "one value": lambda: pa.table({"text": pa.array(np.zeros(20_000_000, np.int8))}),
}


@pytest.mark.parametrize("name", ["a long value", slow("nothing"), slow("one value")])
def test_a_parquet_file_of_kilobytes_that_stands_for_gigabytes_is_refused(name: str, tmp_path: Path) -> None:
    stream = io.BytesIO()
    pq.write_table(BOMBS[name](), stream, compression="zstd")
    assert stream.tell() < 200_000
    (tmp_path / "rows.parquet").write_bytes(stream.getvalue())
    with little_memory(), pytest.raises(DataError, match="rows.parquet: expected at most 256 MB"):
        read_table("rows.parquet", root=tmp_path)


@pytest.mark.parametrize(
    "header",
    [
        {"a": {"dtype": "F32", "shape": [2**62], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 2**63]}},
        {"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}},
    ],
)
def test_tensors_of_declared_sizes_must_be_in_their_file(header: dict[str, Any]) -> None:
    """Every reader of safetensors, evolm's and transformers', uses this library's check."""
    text = json.dumps(header).encode()
    with little_memory(), pytest.raises(SafetensorError):
        load(struct.pack("<Q", len(text)) + text + b"\0\0\0\0")


@pytest.mark.parametrize("length", [2**63, 2**32, 100_000_001])
def test_a_header_of_safetensors_is_no_longer_than_its_file(length: int) -> None:
    with little_memory(), pytest.raises(SafetensorError):
        load(struct.pack("<Q", length) + b"{}")


# -- GGUF ----------------------------------------------------------------------------------------------------


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def gguf(*values: bytes, tensors: bytes = b"", counts: tuple[int, int] | None = None) -> bytes:
    n_tensors, n_values = counts or (1 if tensors else 0, len(values))
    return b"GGUF" + struct.pack("<IQQ", 3, n_tensors, n_values) + b"".join(values) + tensors


HEADERS = {
    "more values than bytes": gguf(counts=(0, 2**60)),
    "more tensors than bytes": gguf(counts=(2**60, 0)),
    "an array of numbers": gguf(text(b"a") + struct.pack("<IIQ", 9, 0, 2**60)),
    "an array of texts": gguf(text(b"a") + struct.pack("<IIQ", 9, 8, 2**60)),
    "an array of arrays": gguf(text(b"a") + struct.pack("<IIQ", 9, 9, 2**60) + b"\0" * 99),
    "a text": gguf(text(b"a") + struct.pack("<IQ", 8, 2**63)),
    "a name": gguf(struct.pack("<Q", 2**64 - 1)),
    "dimensions": gguf(tensors=text(b"a") + struct.pack("<I", 2**31) + b"\0" * 99),
    "an unknown type": gguf(text(b"a") + struct.pack("<I", 77) + b"\0" * 99),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_of_gguf_declares_nothing_beyond_its_file(name: str, tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(HEADERS[name])
    with little_memory(), pytest.raises(ModelError, match="truncated or damaged GGUF .*: it (declares|has)"):
        prepare("model.gguf", root=tmp_path, dtype="float32", device="cpu")


def test_layers_of_gguf_are_no_more_than_its_tensors(tmp_path: Path) -> None:
    content = write_gguf(tmp_path / "model.gguf")
    name = b"llama.block_count"
    place = content.index(name) + len(name) + 4
    (tmp_path / "model.gguf").write_bytes(content[:place] + struct.pack("<I", 2**31) + content[place + 4 :])
    with little_memory(), pytest.raises(ModelError, match="declares 2147483648 layers and has 2 tensors"):
        _check_gguf(tmp_path / "model.gguf")


# -- a model's settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_hidden_layers", 10**9),
        ("intermediate_size", 2**30),
        ("vocab_size", 2**34),
        ("max_position_embeddings", 2**40),
        ("num_experts", 10**9),
    ],
)
def test_settings_of_a_huge_model_beside_small_weights_are_refused(
    key: str, value: int, tiny_model_folder: Path, tmp_path: Path
) -> None:
    import shutil

    folder = Path(shutil.copytree(tiny_model_folder, tmp_path / "model"))
    config = json.loads((folder / "config.json").read_bytes())
    (folder / "config.json").write_text(json.dumps({**config, key: value}), encoding="utf-8")

    def load_model() -> None:
        assert LanguageModel(prepare(str(folder), dtype="float32", device="cpu"), "off").forward is not None

    with little_memory():
        if key == "max_position_embeddings":
            load_model()  # a Llama has no weights of positions
        else:
            with pytest.raises(ModelError, match="expected (settings that fit|a num_)"):
                load_model()


# -- campaigns -----------------------------------------------------------------------------------------------

MODEL = {"name": "m"}
TASK = {"data": "rows.csv", "columns": {"text": "text", "label": "label"}}


def test_a_campaign_cannot_start_any_number_of_workers(tiny_model: Callable[..., LanguageModel]) -> None:
    from evolm.evaluation.settings import jobs

    config = validate(CampaignConfig, {"model": MODEL, "task": TASK, "evaluation": {"n_jobs": 100_000}}, "campaign")
    with pytest.raises(ConfigError, match="evaluation.n_jobs: expected at most .* workers"):
        jobs(config.evaluation.n_jobs, tiny_model())


def test_a_subspace_has_no_more_directions_than_memory(tiny_model: Callable[..., LanguageModel]) -> None:
    from evolm.genomes.delta_space import DeltaSettings, DeltaSpace

    model = tiny_model()
    with little_memory(), pytest.raises(ConfigError, match="space.delta.dimension: expected at most"):
        DeltaSpace.of(model, DeltaSettings(layers="all", dimension=10**12))


@pytest.mark.parametrize(
    "pattern",
    [
        "(" * 100_000,
        "(a{1,1000}){1,1000}",
        "((a{1,65000}){1,65000}){1,65000}",
        "(?:" + "a|" * 20_000 + "b)",
        "[" * 50_000,
    ],
)
def test_a_regular_expression_of_any_size_is_compiled_or_refused(pattern: str) -> None:
    with little_memory():
        try:
            Expression("task.exclude", pattern).found_in("a" * 100)
        except ConfigError as error:
            assert str(error).startswith("task.exclude: ")


@pytest.mark.slow
@pytest.mark.parametrize(
    "pattern", ["(a|a)+$", "(a+)+$", r"(\w+\s?)+\d$", "(?:aa){e<=20}(?:ab){e<=20}$", "(a?){40}a{40}$"]
)
def test_an_expression_that_backtracks_is_stopped_after_two_seconds(pattern: str) -> None:
    with pytest.raises(ConfigError, match="needs at most 2 seconds"):
        Expression("task.exclude", pattern).found_in("a" * 3000 + "!")
