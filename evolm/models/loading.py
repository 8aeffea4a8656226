"""Finds a model by its name, prepares a folder that loads fast, and loads it.

A name is a local folder, a GGUF file (possibly inside an installed distribution) or a hub id. GGUF files are
dequantised once into a cache folder; folders are converted there too if their dtype is not the wanted one, since
weights can be memory-mapped (one copy for all workers) only in the dtype in which they are stored. Only safetensors
and GGUF are read, and code that ships with a model never runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from evolm.data_access import locate
from evolm.errors import ModelError
from evolm.models.checkpoint_folder import model_files, stored_dtype, stored_numbers
from evolm.models.conversion import UNREADABLE, converted, first_line, quiet_transformers, require_all_weights
from evolm.models.inspection import require_described
from evolm.models.profile import best_device, best_dtype, known_device
from evolm.models.specs import PreparedModel, is_hub_id
from evolm.typed import at_home


def prepare(
    name: str,
    *,
    revision: str = "",
    dtype: str = "auto",
    device: str = "auto",
    root: Path = Path(),
    download: bool = True,
) -> PreparedModel:
    """Find a model and convert it if necessary.

    Args:
        name: folder, hub id, ``.gguf`` file or ``package:DIST/FILE.gguf``.
        revision: revision of a hub model; empty = the default one.
        dtype: ``"auto"``, ``"float32"`` or ``"bfloat16"``.
        device: ``"auto"`` or a torch device.
        root: folder to which relative names are relative.
        download: whether files may be downloaded from the hub.

    Raises:
        ModelError: if the model is not found, is damaged, or is unsafe to load, or there is no such device.
    """
    device = best_device() if device == "auto" else known_device(device)
    dtype = best_dtype(device) if dtype == "auto" else dtype
    source = _find(name, revision, root, download)
    if source.is_file():
        fingerprint = _sha256([source])
        folder = converted(source, fingerprint, dtype)
    else:
        fingerprint = _sha256(model_files(source))
        folder = source if stored_dtype(source) == dtype else converted(source, fingerprint, dtype)
    return PreparedModel(name, str(folder), fingerprint, dtype, device)


def _find(name: str, revision: str, root: Path, download: bool) -> Path:
    if name.startswith("package:") or name.endswith(".gguf"):
        path = locate(name, root, trusted=True)
        if path.suffix != ".gguf":
            raise ModelError(f"model {name!r}: expected a .gguf file, found {path.name!r}")
        if not path.is_file():
            raise ModelError(f"model {name!r}: expected a .gguf file, found none of that name")
        return path
    folder = root / at_home(name)
    if folder.is_dir():
        return folder
    if not is_hub_id(name):
        raise ModelError(f"model {name!r}: expected a folder, a .gguf file or a hub id, found none of them")
    return _snapshot(name, revision, download)


def _snapshot(name: str, revision: str, download: bool) -> Path:
    """Return the local folder of a hub model, downloaded if allowed: safetensors, config, tokenizer, and no code."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    wanted = ["*.safetensors", "*.json", "tokenizer.model", "*.jinja"]
    try:
        return Path(
            snapshot_download(name, revision=revision or None, allow_patterns=wanted, local_files_only=not download)
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(
            f"model {name!r}: expected a folder or a model of the hub, found neither: {reason}"
        ) from None


def _sha256(files: list[Path]) -> str:
    total = hashlib.sha256()
    for path in files:
        with path.open("rb") as stream:
            total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()


@contextmanager
def readable(name: str, what: str) -> Iterator[None]:
    """Turn errors of transformers about files that it cannot use into one sentence.

    Args:
        name: of the model.
        what: the end of the sentence before the reason, like ``"its tokenizer cannot be read"``.
    """
    try:
        with quiet_transformers():
            yield
    except Exception as error:
        if not isinstance(error, UNREADABLE) and type(error) is not Exception:  # tokenizers raises plain ones
            raise
        raise ModelError(f"model {name!r}: {what}: {first_line(error)}") from None


def load_tokenizer(prepared: PreparedModel) -> Any:
    """Load the tokenizer of a prepared model."""
    with readable(prepared.name, "its tokenizer cannot be read"):
        tokenizer = AutoTokenizer.from_pretrained(prepared.folder, trust_remote_code=False, local_files_only=True)
    if not tokenizer.is_fast:
        raise ModelError(f"model {prepared.name!r}: expected a fast tokenizer (tokenizer.json), found a slow one")
    return tokenizer


def load_config(prepared: PreparedModel) -> Any:
    """Load the configuration of a prepared model."""
    with readable(prepared.name, "its config.json cannot be read"):
        return AutoConfig.from_pretrained(prepared.folder, trust_remote_code=False, local_files_only=True)


def load_weights(prepared: PreparedModel, attention: str) -> Any:
    """Load a prepared model for inference, its weights memory-mapped from its folder if possible.

    Args:
        prepared: the model.
        attention: transformers' name of the attention implementation.
    """
    with readable(prepared.name, "cannot be loaded"):
        require_described(prepared.name, load_config(prepared), stored_numbers(Path(prepared.folder)))
        from_pretrained: Any = AutoModelForCausalLM.from_pretrained
        model, loaded = from_pretrained(
            prepared.folder,
            dtype=getattr(torch, prepared.dtype),
            attn_implementation=attention,
            trust_remote_code=False,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
        require_all_weights(prepared.name, loaded)
    model.to(torch.device(prepared.device))
    return model.eval().requires_grad_(False)


def read_tensors(prepared: PreparedModel, names: Sequence[str]) -> list[np.ndarray]:
    """Read some tensors of a prepared model as float32 arrays, without loading the others.

    Raises:
        ModelError: if one of them is not in the model's files.
    """
    found: dict[str, np.ndarray] = {}
    for path in sorted(Path(prepared.folder).glob("*.safetensors")):
        with safe_open(path, framework="pt") as tensors:
            for name in set(names) & set(tensors.keys()):
                found[name] = tensors.get_tensor(name).float().numpy()
    for name in names:
        if name not in found:
            raise ModelError(f"model {prepared.name!r}: expected a weight {name!r} in its files, found none")
    return [found[name] for name in names]
