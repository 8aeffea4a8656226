"""Reading files that may be missing, damaged or folders: a sentence names the file and says what may be done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from evolm.errors import RunError

# What reading a damaged file may raise, the use of values of wrong types included.
DAMAGE = (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError, SafetensorError)


@contextmanager
def damaged(path: Path, expected: str, advice: str = "", also: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Turn errors of reading a file into a sentence.

    Args:
        path: the file.
        expected: its content, in words.
        advice: what the user may do.
        also: further errors that mean damage.

    Raises:
        RunError: instead of errors of the disk and of damaged content.
    """
    try:
        yield
    except OSError as error:
        found = "none" if isinstance(error, FileNotFoundError) else f"none that can be read ({error.strerror})"
        raise RunError(f"{path}: expected {expected}, found {found}{_also(advice)}") from None
    except DAMAGE + also as error:
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        raise RunError(f"{path}: expected {expected}, found a damaged file ({reason}){_also(advice)}") from error


def _also(advice: str) -> str:
    return f"; {advice}" if advice else ""


def read_record(path: Path, expected: str, advice: str = "") -> dict[str, Any]:
    """Return the object of a JSON file; see :func:`damaged` for arguments and errors."""
    with damaged(path, expected, advice):
        found = json.loads(path.read_bytes())
        if not isinstance(found, dict):
            raise TypeError(f"a JSON object, found {type(found).__name__}")
        return found
