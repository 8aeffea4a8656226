"""Bodies of requests as rows: a JSON object, and items of the served task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evolm.config import TaskSection
from evolm.errors import DataError, RequestError
from evolm.export.predictor import incomplete
from evolm.serving.answers import refusal
from evolm.serving.limits import Limits
from evolm.tasks import Item, read_items
from evolm.tasks.tables.jsonl import cells_of_json, frame_of_records
from evolm.wording import listed

ROWS = "rows"


def object_of(data: bytes) -> dict[str, Any]:
    """Return a body's JSON object; its numbers are texts, as in files of rows.

    Raises:
        RequestError: if it is none.
    """
    try:
        found = cells_of_json(data.decode("utf-8-sig"))
    except UnicodeError:
        raise RequestError("expected JSON in UTF-8, found other bytes or half of a surrogate pair", 400) from None
    except RecursionError:
        raise RequestError("expected JSON, found lists or objects that are nested too deeply", 400) from None
    except ValueError as error:
        raise RequestError(f"expected JSON, found something else: {error}", 400) from None
    if not isinstance(found, dict):
        raise RequestError(f"expected a JSON object, found {_kind(found)}", 400)
    return found


def rows_of(body: Mapping[str, Any], limits: Limits) -> list[dict[str, Any]]:
    """Return the rows of a request to ``/predict``: ``{"rows": [{COLUMN: CELL, ...}, ...]}``.

    Raises:
        RequestError: if it has none, too many, or other keys.
    """
    if set(body) != {ROWS}:
        raise RequestError(f'expected an object with the key "{ROWS}" alone, found the keys {listed(body)}', 422)
    rows = body[ROWS]
    if not isinstance(rows, list) or not rows:
        raise RequestError(f"{ROWS}: expected a list of at least one object, found {_kind(rows)}", 422)
    if len(rows) > limits.rows:
        raise RequestError(f"{ROWS}: expected at most {limits.rows} rows, found {len(rows)}", 413)
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise RequestError(
                f"{ROWS}: expected an object with the columns in row {number}, found {_kind(row)}", 422
            )
    return rows


def items_of(rows: Sequence[Mapping[str, Any]], task: TaskSection) -> list[Item]:
    """Return rows as items; their gold, if they have any, is not read.

    Raises:
        RequestError: if a column is missing, or a cell is empty or no text.
    """
    try:
        found = read_items(frame_of_records(rows), task, root=Path(), trusted=True, where=ROWS).items
    except DataError as error:
        raise RequestError(str(error), 422) from None
    if missing := {place: incomplete(task.kind) for place, item in enumerate(found) if item is None}:
        raise refusal(missing)
    return [item for item in found if item is not None]


def _kind(value: Any) -> str:
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    return "nothing" if value is None else "an object" if isinstance(value, dict) else "a text or a number"
