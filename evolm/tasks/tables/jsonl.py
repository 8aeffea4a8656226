"""JSON Lines: an object a line. Numbers keep their text in the file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from evolm.errors import DataError
from evolm.tasks.tables.cells import frame_of
from evolm.tasks.tables.encodings import UTF_8, decoded, described
from evolm.tasks.tables.how import How, Table


def read_jsonl(source: str, data: bytes, how: How) -> Table:
    """Read objects as rows, their keys as columns; what an object lacks is missing. Blank lines are no rows.

    Raises:
        DataError: for a line that is no object or no Unicode text.
    """
    text, encoding = decoded(source, data, how)
    # Within JSON texts, ends of lines are escaped.
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    records = [_record(source, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    frame = frame_of_records(records)
    unusual = {} if encoding == UTF_8 else {"encoding": encoding}
    said = [f"read with {described(encoding, how)}"] if unusual else []
    return Table(frame, [*said, *how.unused(".jsonl files", "separator", "header", "quoting")], unusual)


def _record(source: str, number: int, line: str) -> dict[str, Any]:
    try:
        record = cells_of_json(line)
    except UnicodeEncodeError:
        raise DataError(f"{source}: expected Unicode text in line {number}, found half a surrogate pair") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{source}: expected a JSON object in line {number}: {error}") from None
    if not isinstance(record, dict):
        raise DataError(f"{source}: expected a JSON object in line {number}, found {line.strip()[:40]!r}")
    return record


def cells_of_json(text: str) -> Any:
    """Return the value of a JSON text whose numbers keep their own text; Python writes a missing number as NaN.

    Raises:
        UnicodeEncodeError: for half of a surrogate pair.
        ValueError, RecursionError: if it is no JSON, an object has a key twice, or it is nested too deeply.
    """
    value = json.loads(text, parse_int=str, parse_float=str, parse_constant=lambda _: None, object_pairs_hook=_unique)
    if "\\u" in text:
        json.dumps(value, ensure_ascii=False).encode()
    return value


def frame_of_records(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return objects as rows, their keys as columns; what an object lacks is missing."""
    names = list(dict.fromkeys(name for record in records for name in record))
    return frame_of({name: [record.get(name) for record in records] for name in names}, len(records))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; ValueError for a key that occurs twice, of which ``json`` would keep the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for place, (name, _) in enumerate(pairs) if name in dict(pairs[:place]))
        raise ValueError(f"the key {twice!r} occurs twice")
    return found
