"""Files that are written whole or not at all, and errors of the disk as sentences."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from evolm.errors import RunError

SCRATCH = ".part"  # ending of files and folders that are being written
DURABLE = True  # whether files are flushed to the disk; without, a run outlives its process but not a power cut


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn the disk's errors into a RunError of one sentence that names ``path``."""
    try:
        yield
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror or error}") from None


def flush_to_disk(descriptor: int) -> None:
    """Wait until the disk has everything that was written to an open file; do nothing if :data:`DURABLE` is off."""
    if DURABLE:
        os.fsync(descriptor)


def scratch_name(path: Path) -> Path:
    """Return an unused name beside ``path``, for what will be renamed to it; short, also if the other is not."""
    return path.with_name(f".{path.name[:40]}-{secrets.token_hex(6)}{SCRATCH}")


def write_atomically(path: Path, content: bytes | str, durable: bool = True) -> None:
    """Write a file under a temporary name, flush it to the disk, then rename it.

    Its permissions follow the umask, as those of every file that a program writes.

    Args:
        path: the file; its folder is made if missing.
        content: the new content.
        durable: whether to wait for the disk (unless :data:`DURABLE` is off). Without waiting, the file outlives the
            process, but perhaps not a power cut.

    Raises:
        RunError: if the disk refuses; the old file is then untouched.
    """
    data = content.encode() if isinstance(content, str) else content
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = scratch_name(path)
        try:
            with scratch.open("xb") as stream:
                stream.write(data)
                stream.flush()
                if durable:
                    flush_to_disk(stream.fileno())
            os.replace(scratch, path)
        except BaseException:
            scratch.unlink(missing_ok=True)
            raise


def write_new_files(folder: Path, contents: Mapping[str, bytes | str]) -> None:
    """Write files that are not there yet, all of them or none.

    Args:
        folder: made if missing, with its parents.
        contents: name -> content.

    Raises:
        RunError: if the disk refuses; nothing is left behind.
    """
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        for name, content in contents.items():
            write_atomically(folder / name, content)
    except BaseException:
        for name in contents:
            with suppress(OSError):
                (folder / name).unlink(missing_ok=True)
        for each in missing:
            with suppress(OSError):
                each.rmdir()
        raise


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Make a folder under a temporary name, to be filled by the caller, and rename it at the end of the context.

    Permissions of all that is in it follow the umask, also of files that a library wrote by way of private temporary
    ones.

    Args:
        target: the folder; its parents are made if missing.

    Yields:
        The folder's temporary name.

    Raises:
        OSError: if the disk refuses; nothing is left behind after any error.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = scratch_name(target)
    scratch.mkdir()
    try:
        allowed = scratch.stat().st_mode & 0o777  # what the umask leaves of 0o777
        yield scratch
        for path in scratch.rglob("*"):
            path.chmod(allowed if path.is_dir() else allowed & 0o666)
        scratch.rename(target)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


@contextmanager
def free_folder(wanted: Path) -> Iterator[Path]:
    """Make an empty folder, its name numbered if another one has it, and remove it again if it stays empty.

    Of several processes that ask for one name at the same time, each gets a folder of its own.

    Args:
        wanted: the folder; its parents are made if missing.

    Yields:
        The folder: ``wanted``, or ``wanted`` with ``-2``, ``-3`` ... at its end.

    Raises:
        RunError: if it cannot be made.
    """
    folder, number = wanted, 1
    with disk_errors(wanted):
        wanted.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                folder.mkdir()
                break
            except FileExistsError:
                number += 1
                folder = wanted.with_name(f"{wanted.name}-{number}")
    try:
        yield folder
    finally:
        with suppress(OSError):  # it was used
            folder.rmdir()


def require_new(path: Path, what: str = "file") -> None:
    """Raise RunError, before any work, if something has that name already, or nothing can be written there."""
    if occupied(path):
        raise RunError(f"{path}: expected a new {what}, found an existing file or folder; choose another")
    parent = next(folder for folder in path.absolute().parents if folder.exists())
    if not os.access(parent, os.W_OK | os.X_OK):
        raise RunError(f"{path}: cannot be written: expected permission to write to {parent}, found none")


def occupied(path: Path) -> bool:
    """Return whether something has that name, also a link that leads nowhere.

    Raises:
        RunError: if nothing can have it: it is too long, or below a file.
    """
    with disk_errors(path):
        try:
            path.lstat()
        except FileNotFoundError:
            return False
    return True
