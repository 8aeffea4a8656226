"""What users type: places below ``~``, escapes, backslashes in TOML, and text files of any editor.

Each is read as it is meant, or refused with what to type instead.
"""

from __future__ import annotations

import codecs
import os.path
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_ESCAPE = re.compile(r"\\[ntr](?![a-z])")  # \nabla and \times are no line breaks
_JINJA = re.compile(r"\{[{%].*?[}%]\}", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_IN_QUOTES = re.compile(r"""(["']).*\1""", re.DOTALL)


def at_home(place: str) -> str:
    """Return a place with ``~`` replaced by the user's home folder, if that is known."""
    return os.path.expanduser(place)  # pathlib's own raises if there is no home


def place(text: str) -> str:
    """Return the name of a file or folder with ``~`` replaced.

    Raises:
        ValueError: if TOML has read backslashes of a path as escapes.
    """
    if _CONTROL.search(text):
        raise ValueError(
            "expected a path, found a control character; write a path with backslashes in single quotes: 'C:\\models'"
        )
    return at_home(text)


def without_typed_escapes(text: str, key: str) -> str:
    r"""Return a template's text.

    Raises:
        ValueError: if it holds a backslash and an ``n``, ``t`` or ``r`` where a line break or tab is meant.
    """
    if _ESCAPE.search(_JINJA.sub("", text)):
        raise ValueError(
            "expected a line break or a tab, found a backslash before a letter; TOML reads it in double quotes: "
            f'{key} = "\\n", or --set \'{key}="\\n"\''
        )
    return text


def with_dotted_keys(table: Any) -> Any:
    """Return a table of values with the keys that TOML has taken for tables joined: ``1.0 = "x"`` has the key 1.0."""
    if not isinstance(table, Mapping):
        return table
    joined: dict[Any, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            joined |= {f"{key}.{rest}": leaf for rest, leaf in with_dotted_keys(value).items()}
        else:
            joined[key] = value
    return joined


def text_of(path: Path) -> str:
    """Return the content of a text file that people edit: UTF-8, also with a byte order mark, or UTF-16 with one.

    Raises:
        OSError, UnicodeDecodeError: if it cannot be read.
    """
    data = path.read_bytes()
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data.decode("utf-16" if utf16 else "utf-8-sig").replace("\r\n", "\n")


def toml_of(text: str) -> dict[str, Any]:
    """Return the tables of a TOML text.

    Raises:
        tomllib.TOMLDecodeError: if it is none, nested too deeply, or holds an integer of thousands of digits.
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise tomllib.TOMLDecodeError("expected values that are not nested so deeply") from None
    except tomllib.TOMLDecodeError:
        raise
    except ValueError as error:  # of Python's limit for integers
        raise tomllib.TOMLDecodeError(f"expected shorter integers ({error})") from None


def toml_value(text: str) -> Any:
    """Return a value typed on the command line: TOML if it is, else the text itself.

    Raises:
        ValueError: for a text in quotes that is no TOML.
    """
    try:
        return toml_of(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError as error:
        if _IN_QUOTES.fullmatch(text):
            raise ValueError(f"expected TOML in quotes, found {text}: {toml_problem(text, error)}") from None
        return text


def toml_problem(text: str, error: tomllib.TOMLDecodeError) -> str:
    """Return what is wrong with a text that is no TOML and, if that is known, what to type instead."""
    found = re.search(r"at line (\d+)", str(error))
    lines = text.split("\n")
    line = lines[int(found[1]) - 1] if found and int(found[1]) <= len(lines) else text
    if "\\" in line and '"' in line:
        return f"{error}; write a path with backslashes in single quotes, like 'C:\\models', or with /"
    return f"{error}; text stands in quotes" if str(error).startswith("Invalid value") else str(error)
