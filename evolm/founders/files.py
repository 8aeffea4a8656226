"""Files of founders: JSON lines, and beside them the vectors of those that change the model.

A line holds a prompt's record, or that of a prompt with a delta (``kind`` is then ``"hybrid"``), also where deltas
evolve alone. Such a record names a tensor in ``deltas.safetensors`` where the record of a genome has the vector
itself; the tensors' space is said once, in that file's metadata, as in ``delta.safetensors``. Adam's memory does
not travel: what a founder brings along about learning are its settings.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from evolm.artifacts.delta import SPACE
from evolm.errors import GenomeError
from evolm.genomes import HybridGenome
from evolm.storage.layout import DELTAS, FOUNDERS

SEEN = "seen"  # the only key of a line that says what the founders of a file have seen
SETTINGS = ("rate", "decay", "steps")  # what travels of a genome's learning

Record = dict[str, Any]
Placed = tuple[Record, str]  # a founder's record, and where it stands


@dataclass(frozen=True)
class Source:
    """Founders' records from one place, and the content keys of the items that their lineage has seen."""

    records: list[Placed] = field(default_factory=list)
    seen: frozenset[str] = frozenset()
    name: str = ""


def founder_record(prompt: Mapping[str, Any], delta: Mapping[str, Any], space: Mapping[str, Any]) -> Record:
    """Return the record of a prompt with a delta, which has not learnt yet but knows how.

    Args:
        prompt: a prompt genome's record.
        delta: a delta genome's record or summary, and its ``genes``.
        space: the identity of the delta's space.
    """
    genes = np.asarray(delta["genes"], dtype=np.float32)
    learning = delta.get("learning")
    if learning:
        fresh = {"first": np.zeros_like(genes), "second": np.zeros_like(genes), "count": 0}
        learning = {key: learning[key] for key in SETTINGS} | fresh
    kept = {"genes": genes, "sigma": delta.get("sigma", 0.0), "learning": learning, "space": dict(space)}
    return {"kind": HybridGenome.kind, "prompt": dict(prompt), "delta": kept}


# -- writing -------------------------------------------------------------------------------------------------


def founders_file(records: Iterable[Mapping[str, Any]], seen: Iterable[str] = ()) -> str:
    """Return the JSONL text of founders without vectors that :func:`read_lines` reads back."""
    keys = sorted(seen)
    lines = [*([{SEEN: keys}] if keys else []), *records]
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def founders_files(records: Iterable[Mapping[str, Any]], seen: Iterable[str] = ()) -> dict[str, str | bytes]:
    """Return name -> content of the files that :func:`read_lines` reads back, vectors first where there are any."""
    lines: list[Mapping[str, Any]] = []
    vectors: dict[str, np.ndarray] = {}
    space: Mapping[str, Any] = {}
    for record in records:
        if record.get("kind") == HybridGenome.kind:
            name, delta = str(len(vectors)), record["delta"]
            vectors[name], space = np.ascontiguousarray(delta["genes"]), delta["space"]
            learning = delta["learning"] and {key: delta["learning"][key] for key in SETTINGS}
            record = {**record, "delta": {"tensor": name, "sigma": delta["sigma"], "learning": learning}}
        lines.append(record)
    kept = {DELTAS: save(vectors, {SPACE: json.dumps(space, sort_keys=True)})} if vectors else {}
    return {**kept, FOUNDERS: founders_file(lines, seen)}


# -- reading -------------------------------------------------------------------------------------------------


def read_lines(path: Path, name: str) -> Source:
    """Read a JSONL file of founders.

    Raises:
        GenomeError: if it is damaged, or a vector that it names is not beside it.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise GenomeError(f"{name}: expected a file of founders: {error}") from None
    records: list[Placed] = []
    seen: set[str] = set()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{name}:{number}"
        record = _object(line, where)
        if record.keys() == {SEEN}:
            seen |= _keys(record[SEEN], where)
        else:
            if record.get("kind") == HybridGenome.kind:
                record = _with_vector(record, path.with_name(DELTAS), where)
            records.append((record, where))
    return Source(records, frozenset(seen), name)


def _object(line: str, where: str) -> Record:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise GenomeError(f"{where}: expected a JSON object: {error}") from None
    if not isinstance(record, dict):
        raise GenomeError(f"{where}: expected a JSON object, found {type(record).__name__}")
    return record


def _keys(found: Any, where: str) -> set[str]:
    if not isinstance(found, list) or not all(isinstance(key, str) for key in found):
        raise GenomeError(f"{where}: {SEEN!r} must be a list of content keys, found {found!r:.60}")
    return set(found)


def _with_vector(record: Record, file: Path, where: str) -> Record:
    """Return a founder's record with its vector in place of the tensor's name."""
    prompt, delta = record.get("prompt"), record.get("delta")
    if not isinstance(prompt, dict) or not isinstance(delta, dict) or not isinstance(delta.get("tensor"), str):
        raise GenomeError(f"{where}: expected a 'prompt' and a 'delta' that names its 'tensor', found {record!r:.80}")
    try:
        with safe_open(file, framework="numpy") as stored:
            space = json.loads((stored.metadata() or {})[SPACE])
            genes = stored.get_tensor(delta["tensor"])
        whole = founder_record(prompt, {**delta, "genes": genes}, space)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise GenomeError(f"{where}: expected its vector {delta['tensor']!r} in {file}: {error}") from None
    return {**record, **whole}
