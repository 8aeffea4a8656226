"""Conversion of a model's weights, once, into a cache folder that loads in a second.

GGUF files are dequantised; folders are converted if their weights are stored in another dtype than the wanted one.
"""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import platformdirs
import torch
import transformers
from filelock import FileLock
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from evolm.errors import ModelError
from evolm.models.checkpoint_folder import is_whole, stored_numbers
from evolm.models.gguf_header import check_header
from evolm.models.inspection import require_described
from evolm.storage.files import new_folder
from evolm.typed import at_home

logger = logging.getLogger("evolm")

# Raised by transformers, safetensors and gguf for files that are damaged or of another format.
UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    struct.error,
    SafetensorError,
    RuntimeError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    ImportError,
    MemoryError,
    StrictDataclassError,
)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or its class."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def cache_folder() -> Path:
    """Return the folder of converted models: ``EVOLM_CACHE``, else evolm's folder in the user's cache directory."""
    # Absolute, since transformers takes a relative folder for the name of a model on the hub.
    return Path(at_home(os.environ.get("EVOLM_CACHE") or platformdirs.user_cache_dir("evolm"))).absolute()


def converted(source: Path, fingerprint: str, dtype: str) -> Path:
    """Return the cache folder that holds ``source`` in ``dtype``; convert first if there is none.

    Args:
        source: GGUF file, or folder with safetensors.
        fingerprint: SHA-256 of the source.
        dtype: ``"float32"`` or ``"bfloat16"``.

    Raises:
        ModelError: if the source cannot be read or the cache cannot be written.
    """
    target = cache_folder() / "models" / f"{fingerprint[:16]}-{dtype}"
    if is_whole(target):
        return target
    with _cache_errors(target.parent, source):
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock", mode=target.parent.stat().st_mode & 0o666 | 0o600):
            if not is_whole(target):
                shutil.rmtree(target, ignore_errors=True)
                _convert(source, dtype, target)
    return target


@contextmanager
def _cache_errors(folder: Path, source: Path) -> Iterator[None]:
    """Turn errors of writing a model to the cache into a ModelError."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"model cache {str(folder)!r}: expected a folder that {source.name!r} can be written to: "
            f"{first_line(error)}; the environment variable EVOLM_CACHE names another one"
        ) from None


def _convert(source: Path, dtype: str, target: Path) -> None:
    stored = _check_gguf(source) if source.is_file() else stored_numbers(source)
    logger.info("Converting %s to %s, once; cached in %s", source.name, dtype, target.parent)
    with new_folder(target) as scratch, _source_errors(source):
        model, tokenizer = _read(source, dtype, stored)
        with _cache_errors(target.parent, source), quiet_transformers():
            model.save_pretrained(scratch)
            tokenizer.save_pretrained(scratch)
            record = json.dumps({"source": source.name, "dtype": dtype}) + "\n"
            (scratch / "evolm.json").write_text(record, encoding="utf-8")
        if not is_whole(scratch):
            raise ModelError(
                f"model {str(source)!r}: expected a whole model after its conversion, found files missing"
            )


@contextmanager
def _source_errors(source: Path) -> Iterator[None]:
    """Turn errors of reading a model into a ModelError."""
    try:
        yield
    except UNREADABLE as error:
        raise ModelError(f"model {str(source)!r}: cannot be converted: {first_line(error)}") from None


def _read(source: Path, dtype: str, stored: int) -> tuple[Any, Any]:
    """Return the model and the tokenizer of a GGUF file or a folder, whose tensors hold ``stored`` numbers."""
    gguf: dict[str, Any] = {"gguf_file": source.name} if source.is_file() else {}
    folder = source.parent if source.is_file() else source
    with quiet_transformers():
        config = AutoConfig.from_pretrained(folder, **gguf, trust_remote_code=False)
    size = require_described(str(source), config, stored) * (2 if dtype == "bfloat16" else 4)
    logger.info("This writes about %.0f MB", size / 1e6)
    # The GGUF reader draws a progress bar on stderr that no setting turns off.
    with quiet_transformers(), redirect_stderr(io.StringIO()):
        from_pretrained: Any = AutoModelForCausalLM.from_pretrained
        model, loaded = from_pretrained(
            folder,
            **gguf,
            **(unpacked() if gguf else {}),
            dtype=getattr(torch, dtype),
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
        require_all_weights(source.name, loaded)
        tokenizer = AutoTokenizer.from_pretrained(folder, **gguf, trust_remote_code=False)
    # A model that was read from GGUF is marked as quantised, and would not be saved as it is now.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    return model, tokenizer


def unpacked() -> dict[str, Any]:
    """Return the settings that ask transformers for plain weights from a GGUF file.

    Its newer versions keep weights packed if a kernel for them is installed.
    """
    config: Any = getattr(transformers, "GgufConfig", None)
    return {"quantization_config": config(dequantize=True)} if config else {}


def _check_gguf(path: Path) -> int:
    """Return how many numbers the tensors of a GGUF file hold.

    Raises:
        ModelError: if it is not GGUF, declares more than it holds, or ends before its last tensor.
    """
    with path.open("rb") as stream:
        if stream.read(4) != b"GGUF":
            raise ModelError(f"model {str(path)!r}: expected a GGUF file, found another format")
    from gguf import GGUFReader

    try:
        check_header(path)
        reader = GGUFReader(path)
        architecture = str(reader.fields["general.architecture"].contents())
        reader.fields[f"{architecture}.embedding_length"]
        layers = int(reader.fields[f"{architecture}.block_count"].contents())
        if layers > len(reader.tensors):
            raise ValueError(f"it declares {layers} layers and has {len(reader.tensors)} tensors")
        end = max((int(t.data_offset) + int(t.n_bytes) for t in reader.tensors), default=0)
    except UNREADABLE as error:
        raise ModelError(
            f"model {str(path)!r}: truncated or damaged GGUF ({path.stat().st_size} bytes): {error}"
        ) from None
    if end == 0 or end > path.stat().st_size:
        raise ModelError(
            f"model {str(path)!r}: truncated GGUF: expected at least {end} bytes, found {path.stat().st_size}"
        )
    return sum(int(tensor.n_elements) for tensor in reader.tensors)


def require_all_weights(name: str, loaded: dict[str, Any]) -> None:
    """Raise ModelError if some weights were not in the model's files: transformers fills them at random.

    Args:
        name: of the model.
        loaded: transformers' loading info.
    """
    for problem in ("missing_keys", "mismatched_keys"):
        keys = sorted(str(key) for key in loaded.get(problem) or ())
        if keys:
            raise ModelError(f"model {name!r}: expected all its weights, found {len(keys)} {problem[:-5]}: {keys[0]}")


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Suppress transformers' progress bars and messages inside of this block."""
    log = transformers.utils.logging
    verbosity, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(verbosity)
        if bars:
            log.enable_progress_bar()
