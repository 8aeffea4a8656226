"""Plain tables: read from TOML and from ``--set``, laid over each other, and written."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evolm.errors import ConfigError
from evolm.typed import text_of, toml_of, toml_problem, toml_value


def read_tables(path: Path) -> dict[str, Any]:
    """Read a TOML file as plain tables.

    Raises:
        ConfigError: if the file is missing, unreadable or not TOML.
    """
    try:
        text = text_of(path)
        return toml_of(text)
    except FileNotFoundError:
        raise ConfigError(f"{path}: expected a campaign file, found none") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: expected TOML: {toml_problem(text, error)}") from None


def toml_text(tables: Mapping[str, Any]) -> str:
    """Return plain tables as TOML."""
    import tomlkit  # reading a file does without it

    return tomlkit.dumps(tables)


def overlay(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Write ``changes`` into ``base``, table by table, and return ``base``."""
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(base.get(key), dict):
            overlay(base[key], value)
        else:
            base[key] = dict(value) if isinstance(value, Mapping) else value
    return base


def parse_assignments(assignments: Sequence[str]) -> dict[str, Any]:
    """Turn ``["budget.evaluations=50", "model.dtype=float32"]`` into nested tables.

    A key is a dotted TOML key, so a part with a dot is quoted: ``scorers."package.module:attribute"=1``. A value is
    read as TOML if it parses, else as text.

    Raises:
        ConfigError: if an assignment has no ``=`` or an empty key, or a value in quotes is no TOML.
    """
    tables: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        parts = _key_parts(key)
        if not equals or not all(parts):
            raise ConfigError(f"--set {assignment!r}: expected key=value, like budget.evaluations=50")
        try:
            overlay(tables, _nest(parts, toml_value(text)))
        except ValueError as error:
            raise ConfigError(f"--set {key}: {error}") from None
    return tables


def own_read(assignments: Sequence[str]) -> dict[str, Any]:
    """Return the keys of ``[task.read]`` that assignments like ``task.read.separator=;`` set.

    Raises:
        ConfigError: for a malformed assignment, or one of another key.
    """
    tables = parse_assignments(assignments)
    others = [f"task.{key}" for key in tables.get("task", {}) if key != "read"] + [k for k in tables if k != "task"]
    if others:
        raise ConfigError(f"--set {others[0]}: expected a key of task.read here, like task.read.separator=;")
    found: dict[str, Any] = tables.get("task", {}).get("read", {})
    return found


def _key_parts(key: str) -> list[str]:
    """Return the parts of a dotted key; parts that TOML wants quoted (``labels.naïve``) may stand bare."""
    try:
        table: Any = toml_of(f"{key} = 0")
    except tomllib.TOMLDecodeError:
        return [part.strip() for part in key.split(".")]
    parts: list[str] = []
    while isinstance(table, dict):
        part, table = next(iter(table.items()), ("", 0))
        parts.append(part)
    return parts


def _nest(parts: Sequence[str], value: Any) -> dict[str, Any]:
    return {parts[0]: value if len(parts) == 1 else _nest(parts[1:], value)}
