"""A folder to take home, written whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from evolm.errors import RunError
from evolm.storage import write_atomically
from evolm.storage.layout import SCRATCH, disk_errors


def write_folder(target: Path, files: Mapping[str, str | Path]) -> None:
    """Write a new folder under a temporary name beside its place, then rename it.

    Args:
        target: the folder; its parents are made where they are missing.
        files: name below the folder -> its text, or a file to copy.

    Raises:
        RunError: if something lies there already, or the disk refuses; nothing is then left behind.
    """
    if target.exists() or target.is_symlink():
        raise RunError(f"{target}: expected a new folder, found something there")
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", suffix=SCRATCH, dir=target.parent))
        try:
            scratch.chmod(0o755)
            for name, content in files.items():
                _write(scratch / name, content)
            scratch.rename(target)
        except BaseException:
            shutil.rmtree(scratch)
            raise


def _write(path: Path, content: str | Path) -> None:
    if isinstance(content, str):
        write_atomically(path, content)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(content, path)
