"""Files of founders: JSON lines, and beside them the arrays of those that have more than a prompt.

A line is the record of a prompt, ``{"instruction": ...}``, or kind of chromosome -> record, the prompt's among them.
A chromosome with arrays has ``tensors``, name -> tensor in ``deltas.safetensors``; the file's metadata says which
space the arrays of each kind were made for. Adam's memory is not written: only the settings of learning are.
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
from evolm.genomes import PROMPT
from evolm.storage.layout import DELTAS, FOUNDERS
from evolm.typed import text_of

SEEN = "seen"  # the only key of the line with the content keys of items that the founders' lineage has seen
FROM = "from"  # key of a founder's record: its source, if not its file
TENSORS = "tensors"  # key of a chromosome's record on a line: name of array -> name of tensor

Record = dict[str, Any]
Placed = tuple[Record, str]  # a founder's record, and its place


@dataclass(frozen=True)
class Source:
    """Founders' records from one place, and the content keys of the items that their lineage has seen."""

    records: list[Placed] = field(default_factory=list)
    seen: frozenset[str] = frozenset()
    name: str = ""


def founder_record(
    summaries: Mapping[str, Mapping[str, Any]],
    arrays: Mapping[str, Mapping[str, np.ndarray]],
    identities: Mapping[str, Mapping[str, Any]],
) -> Record:
    """Return a founder's record; chromosomes whose arrays are all zero change nothing and are left out.

    Args:
        summaries: kind of chromosome -> summary, the prompt's among them.
        arrays: kind -> name -> array.
        identities: kind -> identity of the space of its chromosomes.

    Returns:
        The prompt's own record if nothing else is left; else kind -> record, with arrays and ``space``, the identity.
    """
    kept: Record = {}
    for kind, summary in summaries.items():
        own = arrays.get(kind, {})
        if kind == PROMPT or not own or any(np.any(array) for array in own.values()):
            space = {"space": dict(identities[kind])} if kind in identities else {}
            kept[kind] = {**summary, **own, **space}
    return kept if len(kept) > 1 else kept[PROMPT]


def chromosomes_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return kind of chromosome -> record of a founder's record."""
    if PROMPT not in record:
        return {PROMPT: {key: value for key, value in record.items() if key != FROM}}
    return {kind: part for kind, part in record.items() if kind != FROM}


# -- writing -------------------------------------------------------------------------------------------------


def founders_file(records: Iterable[Mapping[str, Any]], seen: Iterable[str] = ()) -> str:
    """Return the JSONL text of founders without arrays that :func:`read_lines` reads back."""
    keys = sorted(seen)
    lines = [*([{SEEN: keys}] if keys else []), *records]
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def founders_files(records: Iterable[Mapping[str, Any]], seen: Iterable[str] = ()) -> dict[str, str | bytes]:
    """Return name -> content of the files that :func:`read_lines` reads back, arrays first if there are any."""
    tensors: dict[str, np.ndarray] = {}
    spaces: dict[str, Mapping[str, Any]] = {}
    lines = [_line(record, str(number), tensors, spaces) for number, record in enumerate(records)]
    kept = {DELTAS: save(tensors, {SPACE: json.dumps(spaces, sort_keys=True)})} if tensors else {}
    return {**kept, FOUNDERS: founders_file(lines, seen)}


def _line(
    record: Mapping[str, Any], name: str, tensors: dict[str, np.ndarray], spaces: dict[str, Mapping[str, Any]]
) -> Record:
    """Return a founder's record without arrays and spaces; these are added to ``tensors`` and ``spaces``."""
    if PROMPT not in record:
        return dict(record)
    line = dict(record)
    for kind, part in chromosomes_of(record).items():
        arrays = {key: value for key, value in part.items() if isinstance(value, np.ndarray)}
        line[kind] = {key: value for key, value in part.items() if key not in arrays and key != "space"}
        if "space" in part:
            spaces[kind] = part["space"]
        if arrays:
            line[kind][TENSORS] = {key: f"{name}/{kind}/{key}" for key in arrays}
            tensors |= {f"{name}/{kind}/{key}": np.ascontiguousarray(array) for key, array in arrays.items()}
    return line


# -- reading -------------------------------------------------------------------------------------------------


def read_lines(path: Path, name: str) -> Source:
    """Read a JSONL file of founders.

    Raises:
        GenomeError: if it is damaged, or an array that it names is not beside it.
    """
    try:
        lines = text_of(path).split("\n")
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
            if PROMPT in record:
                record = _with_arrays(record, path.with_name(DELTAS), where)
            records.append((record, where))
    return Source(records, frozenset(seen), name)


def _object(line: str, where: str) -> Record:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise GenomeError(f"{where}: expected a JSON object: {error}") from None
    if not isinstance(record, dict):
        raise GenomeError(f"{where}: expected a JSON object, found {type(record).__name__}")
    return record


def _keys(found: Any, where: str) -> set[str]:
    if not isinstance(found, list) or not all(isinstance(key, str) for key in found):
        raise GenomeError(f"{where}: expected {SEEN!r} to be a list of content keys, found {found!r:.60}")
    return set(found)


def _with_arrays(record: Record, file: Path, where: str) -> Record:
    """Return a founder's record with the arrays that its line names, and the spaces that they were made for."""
    parts = chromosomes_of(record)
    if not all(isinstance(part, dict) for part in parts.values()):
        raise GenomeError(f"{where}: expected an object for each kind of chromosome, found {record!r:.80}")
    return {**record, **{kind: _read_arrays(kind, part, file, where) for kind, part in parts.items()}}


def _read_arrays(kind: str, part: Record, file: Path, where: str) -> Record:
    if TENSORS not in part:
        return part
    try:
        with safe_open(file, framework="numpy") as stored:
            space = json.loads((stored.metadata() or {})[SPACE]).get(kind, {})
            arrays = {key: stored.get_tensor(tensor) for key, tensor in part[TENSORS].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError) as error:
        raise GenomeError(f"{where}: expected the arrays {part[TENSORS]!r} in {file}: {error}") from None
    return {key: value for key, value in part.items() if key != TENSORS} | arrays | {"space": space}
