"""Disks that are small enough to be filled."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def small_disk(folder: Path, mebibytes: int = 16) -> Iterator[Path]:
    """Mount an empty file system of that size on a new folder, and unmount it at the end.

    Raises:
        PermissionError: if this process may not mount.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, check=False)
    if done.returncode:
        raise PermissionError(f"{folder}: expected permission to mount, found {done.stderr.decode().strip()!r}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill_disk(filler: Path) -> None:
    """Leave no byte free on the file system of ``filler``."""
    with filler.open("xb", buffering=0) as stream:
        for size in (2**20, 2**12, 1):
            with suppress(OSError):
                while True:
                    stream.write(bytes(size))
