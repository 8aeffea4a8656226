"""Checkpoints: nested plain state as one JSON file and one safetensors file. Nothing is pickled.

The arrays are written first, under a name that no older checkpoint uses; then the JSON that names them takes
the place of the old one in a single rename. So at every instant there is exactly one whole checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from evolm.storage.damage import damaged, read_record
from evolm.storage.files import disk_errors, write_atomically

ARRAY = "__array__"
STATE = "state.json"
CONTENT = "the state of a run"
_ARRAYS = re.compile(r"arrays-[0-9a-f]{16}\.safetensors")  # a file beside the state's, whatever that says


def _split(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Replace arrays by names, collecting them; numpy scalars become Python's."""
    if isinstance(value, np.ndarray):
        name = f"{len(arrays):06d}"
        arrays[name] = np.asarray(value, order="C")
        return {ARRAY: name}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {str(key): _split(entry, arrays) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_split(entry, arrays) for entry in value]
    return value


def _join(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, dict):
        if value.keys() == {ARRAY}:
            return arrays[value[ARRAY]]
        return {key: _join(entry, arrays) for key, entry in value.items()}
    if isinstance(value, list):
        return [_join(entry, arrays) for entry in value]
    return value


def write_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Replace the checkpoint in ``folder``.

    Args:
        folder: made if missing.
        state: nested dicts and lists of JSON values and arrays.

    Raises:
        RunError: if the disk refuses; the old checkpoint is then untouched.
    """
    arrays: dict[str, np.ndarray] = {}
    plain = _split(state, arrays)
    blob = save(arrays)
    name, text = _arrays_name(blob), _text(plain)
    write_atomically(folder / name, blob)
    write_atomically(folder / STATE, f'{{"arrays": "{name}", "digest": "{_digest(text)}", "state": {text}}}')
    with disk_errors(folder):
        for old in folder.iterdir():
            if old.name not in (name, STATE):
                old.unlink(missing_ok=True)


def read_checkpoint(folder: Path) -> dict[str, Any] | None:
    """Return the checkpoint in ``folder``, or None if there is none yet.

    Raises:
        RunError: if it cannot be read.
    """
    path = folder / STATE
    if not path.exists():
        return None
    advice = start_again(folder)
    record = read_record(path, CONTENT, advice)
    with damaged(path, CONTENT, advice):
        name, state = str(record["arrays"]), record["state"]
        if not _ARRAYS.fullmatch(name):
            raise ValueError(f"its arrays are in {name[:40]!r}")
        if record.get("digest", _digest(_text(state))) != _digest(_text(state)):
            raise ValueError("its digest differs")
    blob_path = folder / name
    with damaged(blob_path, "the arrays of a checkpoint", advice):
        blob = blob_path.read_bytes()
        if blob_path.name != _arrays_name(blob):
            raise ValueError("its digest differs")
        arrays = load(blob)
    with damaged(path, CONTENT, advice):
        return _join(state, arrays)


def start_again(folder: Path) -> str:
    """Return advice on a checkpoint that cannot be used: without one, a run begins again."""
    return f"if {folder} is deleted, 'evolm resume' begins the run again, with the answers that it has"


def _text(state: Any) -> str:
    return json.dumps(state, allow_nan=False)


def _digest(content: str | bytes) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()[:16]


def _arrays_name(blob: bytes) -> str:
    return f"arrays-{_digest(blob)}.safetensors"
