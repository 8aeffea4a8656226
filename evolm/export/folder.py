"""Writing a new folder completely or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from evolm.storage.damage import damaged
from evolm.storage.files import disk_errors, new_folder, require_new, write_atomically

Files = Mapping[str, str | bytes | Path]  # name below a folder -> its content, or a file to copy


def write_folder(target: Path, files: Files, fill: Callable[[Path], Files] | None = None) -> None:
    """Write a new folder under a temporary name beside its place, then rename it.

    Args:
        target: the folder; missing parents are made.
        files: name -> content, or a file to copy.
        fill: writes files that are too large for memory into the temporary folder, its argument; returns more files.

    Raises:
        RunError: if ``target`` exists, or cannot be written; nothing is left behind then.
    """
    require_new(target, "folder")
    with disk_errors(target), new_folder(target) as scratch:
        more = fill(scratch) if fill else {}
        for name, content in {**files, **more}.items():
            _write(scratch / name, content)


def _write(path: Path, content: str | bytes | Path) -> None:
    if isinstance(content, str | bytes):
        write_atomically(path, content)
    else:
        with damaged(content, "a file to copy"):
            data = content.read_bytes()
        write_atomically(path, data)
