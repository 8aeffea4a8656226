"""From a model's name to a folder that loads in a second.

A name is a local folder, a GGUF file (possibly inside an installed distribution) or a hub id. GGUF files are
dequantised once into a cache folder; so are folders whose stored dtype is not the wanted one, since weights
can be mapped (one copy for all workers) only where the two agree. Only safetensors and GGUF are read, and
code that ships with a model never runs.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import shutil
import struct
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import torch
import transformers
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from evolm.data_access import locate
from evolm.errors import ModelError
from evolm.models.profile import best_device, best_dtype
from evolm.models.specs import PreparedModel, is_hub_id

logger = logging.getLogger("evolm")

# What transformers, safetensors and gguf raise for files that are damaged or not what they claim to be.
UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    struct.error,
    SafetensorError,
    RuntimeError,
)
SAFETENSORS_NAMES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
# What decides a text's tokens: fast tokenizers, the files that slow ones are made fast from, and chat templates.
TOKENIZER_FILES = (
    "tokenizer.json",
    "chat_template.jinja",
    "additional_chat_templates/*.jinja",
    "chat_template.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tekken.json",
    "*.model",
)


def cache_folder() -> Path:
    """Return where converted models are kept (``EVOLM_CACHE`` overrides the system's place)."""
    return Path(os.environ.get("EVOLM_CACHE") or platformdirs.user_cache_dir("evolm"))


def prepare(
    name: str,
    *,
    revision: str = "",
    dtype: str = "auto",
    device: str = "auto",
    root: Path = Path(),
    download: bool = True,
) -> PreparedModel:
    """Find a model, convert it where needed, and say what it is.

    Args:
        name: folder, hub id, ``.gguf`` file or ``package:DIST/FILE.gguf``.
        revision: of a hub id.
        dtype: ``"auto"``, ``"float32"`` or ``"bfloat16"``.
        device: ``"auto"`` or a torch device.
        root: folder that relative names start from.
        download: whether the hub is asked for what is not on this machine.

    Raises:
        ModelError: if nothing is found there, or what is found is damaged or unsafe to load.
    """
    device = best_device() if device == "auto" else device
    dtype = best_dtype(device) if dtype == "auto" else dtype
    source = _find(name, revision, root, download)
    if source.is_file():
        fingerprint = _sha256([source])
        folder = _converted(source, fingerprint, dtype)
    else:
        fingerprint = _sha256(_model_files(source))
        folder = source if _stored_dtype(source) == dtype else _converted(source, fingerprint, dtype)
    return PreparedModel(name, str(folder), fingerprint, dtype, device)


def _find(name: str, revision: str, root: Path, download: bool) -> Path:
    if name.startswith("package:") or name.endswith(".gguf"):
        path = locate(name, root, trusted=True)
        if path.suffix != ".gguf":
            raise ModelError(f"model {name!r}: expected a .gguf file, found {path.name!r}")
        return path
    folder = (root / name).expanduser()
    if folder.is_dir():
        return folder
    if not is_hub_id(name):
        raise ModelError(f"model {name!r}: expected a folder, a .gguf file or a hub id, found none of them")
    return _snapshot(name, revision, download)


def _snapshot(name: str, revision: str, download: bool) -> Path:
    """Fetch a hub model's safetensors, config and tokenizer; nothing that could run."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    wanted = ["*.safetensors", "*.json", "tokenizer.model", "*.jinja"]
    try:
        return Path(
            snapshot_download(name, revision=revision or None, allow_patterns=wanted, local_files_only=not download)
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"model {name!r}: no folder of that name, and the hub did not give it: {reason}") from None


def _model_files(folder: Path) -> list[Path]:
    """Return everything in a model's folder that decides an answer, in a fixed order."""
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise ModelError(f"model {str(folder)!r}: expected .safetensors files, found none (others are not loaded)")
    config = folder / "config.json"
    if not config.exists():
        raise ModelError(f"model {str(folder)!r}: expected config.json, found none")
    tokenizer = [path for pattern in TOKENIZER_FILES for path in sorted(folder.glob(pattern))]
    return [config, *tokenizer, *weights]


def _sha256(files: list[Path]) -> str:
    total = hashlib.sha256()
    for path in files:
        with path.open("rb") as stream:
            total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()


def _stored_dtype(folder: Path) -> str:
    """Return the dtype of the stored weights, or ``"mixed"``."""
    kinds = set()
    for path in folder.glob("*.safetensors"):
        try:
            with safe_open(path, framework="pt") as tensors:
                kinds |= {tensors.get_slice(key).get_dtype() for key in tensors.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise ModelError(f"model file {str(path)!r}: expected safetensors: {error}") from None
    return SAFETENSORS_NAMES.get(kinds.pop(), "other") if len(kinds) == 1 else "mixed"


def _converted(source: Path, fingerprint: str, dtype: str) -> Path:
    """Return the cache folder that holds ``source`` in ``dtype``, filling it first if need be."""
    target = cache_folder() / "models" / f"{fingerprint[:16]}-{dtype}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):
            if not target.exists():
                _convert(source, dtype, target)
    except PermissionError as error:
        raise ModelError(f"model cache {str(target.parent)!r}: expected a writable folder: {error}") from None
    return target


def _convert(source: Path, dtype: str, target: Path) -> None:
    if source.is_file():
        _check_gguf(source)
        place: dict[str, Any] = {"gguf_file": source.name}
        folder = source.parent
    else:
        place, folder = {}, source
    logger.info("Converting %s to %s, once; cached in %s", source.name, dtype, target.parent)
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        with quiet_transformers():
            config = AutoConfig.from_pretrained(folder, **place, trust_remote_code=False)
        size = _parameters(config) * (2 if dtype == "bfloat16" else 4)
        logger.info("This writes about %.0f MB", size / 1e6)
        # The GGUF reader draws a progress bar on stderr that no setting turns off.
        with quiet_transformers(), redirect_stderr(io.StringIO()):
            from_pretrained: Any = AutoModelForCausalLM.from_pretrained
            model, loaded = from_pretrained(
                folder,
                **place,
                dtype=getattr(torch, dtype),
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
            )
            _require_all_weights(source.name, loaded)
            tokenizer = AutoTokenizer.from_pretrained(folder, **place, trust_remote_code=False)
            # A model that came from GGUF calls itself quantised and refuses to be saved as what it is now.
            model.hf_quantizer = None
            if hasattr(model.config, "quantization_config"):
                del model.config.quantization_config
            model.save_pretrained(scratch)
            tokenizer.save_pretrained(scratch)
        (scratch / "evolm.json").write_text(json.dumps({"source": source.name, "dtype": dtype}) + "\n")
        for path in scratch.iterdir():
            path.chmod(0o644)
        scratch.chmod(0o755)
        scratch.rename(target)
    except UNREADABLE as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(f"model {str(source)!r}: cannot be converted: {reason}") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _parameters(config: Any) -> int:
    """Count the parameters a configuration describes, without allocating them."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    return sum(parameter.numel() for parameter in model.parameters())


def _check_gguf(path: Path) -> None:
    """Refuse a file that is not GGUF, or that ends before its last tensor."""
    with path.open("rb") as stream:
        if stream.read(4) != b"GGUF":
            raise ModelError(f"model {str(path)!r}: expected a GGUF file, found something else")
    from gguf import GGUFReader

    try:
        reader = GGUFReader(path)
        architecture = str(reader.fields["general.architecture"].contents())
        for key in ("embedding_length", "block_count"):
            reader.fields[f"{architecture}.{key}"]
        end = max((int(t.data_offset) + int(t.n_bytes) for t in reader.tensors), default=0)
    except UNREADABLE as error:
        raise ModelError(
            f"model {str(path)!r}: truncated or damaged GGUF ({path.stat().st_size} bytes): {error}"
        ) from None
    if end == 0 or end > path.stat().st_size:
        raise ModelError(
            f"model {str(path)!r}: truncated GGUF: expected at least {end} bytes, found {path.stat().st_size}"
        )


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers' progress bars and advice off the terminal, and leave its settings as they were."""
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


def load_tokenizer(prepared: PreparedModel) -> Any:
    """Load the tokenizer of a prepared model."""
    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(prepared.folder, trust_remote_code=False, local_files_only=True)
    except UNREADABLE as error:
        raise ModelError(f"model {prepared.name!r}: its tokenizer cannot be read: {error}") from None
    if not tokenizer.is_fast:
        raise ModelError(f"model {prepared.name!r}: expected a fast tokenizer (tokenizer.json), found a slow one")
    return tokenizer


def load_config(prepared: PreparedModel) -> Any:
    """Load the configuration of a prepared model."""
    try:
        return AutoConfig.from_pretrained(prepared.folder, trust_remote_code=False, local_files_only=True)
    except UNREADABLE as error:
        raise ModelError(f"model {prepared.name!r}: its config.json cannot be read: {error}") from None


def _require_all_weights(name: str, loaded: dict[str, Any]) -> None:
    """Refuse a model of which some weights were not in its files: transformers fills them at random."""
    for problem in ("missing_keys", "mismatched_keys"):
        keys = sorted(str(key) for key in loaded.get(problem) or ())
        if keys:
            raise ModelError(f"model {name!r}: expected all its weights, found {len(keys)} {problem[:-5]}: {keys[0]}")


def load_weights(prepared: PreparedModel, attention: str) -> Any:
    """Load a prepared model for inference, its weights mapped from the folder where they can be.

    Args:
        prepared: what to load.
        attention: transformers' name of the attention implementation.
    """
    try:
        with quiet_transformers():
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
            _require_all_weights(prepared.name, loaded)
    except UNREADABLE as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"model {prepared.name!r}: cannot be loaded: {reason}") from None
    model.to(torch.device(prepared.device))
    return model.eval().requires_grad_(False)


def read_tensors(prepared: PreparedModel, names: Sequence[str]) -> list[np.ndarray]:
    """Read some tensors of a prepared model as float32 arrays, without loading the others.

    Raises:
        ModelError: if one is not in the model's files.
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
