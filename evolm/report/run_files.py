"""The files of a run directory as plain values; nothing is written."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeAlias

from jinja2 import TemplateError

from evolm.errors import RunError
from evolm.storage.damage import damaged

Entry: TypeAlias = dict[str, Any]


def readable(directory: Path) -> AbstractContextManager[None]:
    """Turn errors of using a run's damaged values into a RunError; the first error stays its cause."""
    return damaged(directory, "a run that can be read", also=(TemplateError,))


def read_lines(path: Path, strict: bool = True) -> list[Entry]:
    """Return the objects of a JSON-lines file, without a torn last line; none if there is no file.

    Args:
        path: the file.
        strict: whether a damaged line before the last one raises. A resume truncates the journal before it appends,
            so damage inside the journal is real; it does not truncate ``timing.jsonl``, so a kill may leave a torn
            line in its middle.

    Raises:
        RunError: for a damaged line, if ``strict``.
    """
    lines = path.read_bytes().splitlines() if path.is_file() else []
    entries: list[Entry] = []
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError):  # of JSON, or of UTF-8 that was cut inside a character
            if number == len(lines) or not strict:
                continue
            raise RunError(f"{path}, line {number}: expected a JSON object, found {line[:40]!r}") from None
        if isinstance(entry, dict):
            entries.append(entry)
    return entries


def read_object(path: Path) -> Entry | None:
    """Return the object of a JSON file; None if there is no file.

    Raises:
        RunError: if the file holds anything else.
    """
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise RunError(f"{path}: expected a JSON object, found a damaged file; reports do without it if deleted")
    return found


def read_text(path: Path) -> str:
    """Return the text of a file; ``""`` if there is none."""
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
