"""Checkpoints: nested plain state as one JSON file and one safetensors file. Nothing is pickled.

The arrays are written first, under a name that no older checkpoint uses; then the JSON that names them takes
the place of the old one in a single rename. So at every instant there is exactly one whole checkpoint.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from evolm.errors import RunError
from evolm.storage.files import disk_errors, write_atomically

ARRAY = "__array__"
STATE = "state.json"


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
    name = f"arrays-{hashlib.sha256(blob).hexdigest()[:16]}.safetensors"
    write_atomically(folder / name, blob)
    write_atomically(folder / STATE, json.dumps({"arrays": name, "state": plain}, allow_nan=False))
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
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        arrays = load((folder / record["arrays"]).read_bytes())
        return _join(record["state"], arrays)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise RunError(f"{path}: the checkpoint cannot be read: {error}") from None
