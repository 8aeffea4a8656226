"""Writing a new folder completely or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from evolm.errors import RunError
from evolm.storage import write_atomically
from evolm.storage.layout import SCRATCH, disk_errors

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
    require_nothing(target)
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", suffix=SCRATCH, dir=target.parent))
        try:
            scratch.chmod(0o755)
            more = fill(scratch) if fill else {}
            for path in scratch.rglob("*"):
                path.chmod(0o755 if path.is_dir() else 0o644)
            for name, content in {**files, **more}.items():
                _write(scratch / name, content)
            scratch.rename(target)
        except BaseException:
            shutil.rmtree(scratch)
            raise


def require_nothing(target: Path) -> None:
    """Raise RunError if ``target`` exists."""
    if target.exists() or target.is_symlink():
        raise RunError(f"{target}: expected a new folder, found an existing file or folder; choose another")


def _write(path: Path, content: str | bytes | Path) -> None:
    if isinstance(content, str | bytes):
        write_atomically(path, content)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(content, path)
