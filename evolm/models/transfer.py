"""A model's files, sent from the campaign's host to one that lacks them: in pieces, with a checksum of every file.

The receiving host collects the pieces in a folder of its own for each transfer and renames it when all is there, so
the cache never holds part of a model, and transfers of one model at the same time do not disturb each other. Neither
side holds more than one piece in memory.
"""

from __future__ import annotations

import hashlib
import logging
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from filelock import FileLock

from evolm.errors import ModelError
from evolm.models.checkpoint_folder import is_whole, model_files
from evolm.models.hosts import cached_folder
from evolm.models.specs import PreparedModel
from evolm.storage.files import SCRATCH, scratch_name

logger = logging.getLogger("evolm")

PIECE: Final = 8 * 2**20  # bytes
ABANDONED: Final = 3600.0  # seconds without a new piece, after which a transfer's files are deleted


class ReceiverLost(Exception):
    """The process that receives a model has gone."""


@dataclass(frozen=True)
class SentFile:
    """A file that was sent.

    Attributes:
        name: its path in the model's folder.
        size: bytes.
        sha256: its checksum, in hexadecimal digits.
    """

    name: str
    size: int
    sha256: str


def send_model(prepared: PreparedModel, call: Callable[..., Any], host: str) -> None:
    """Send a model to a host that lacks it; do nothing if it has been sent there by now.

    Args:
        prepared: the campaign's, whose folder is on this host.
        call: ``call(function, *arguments)`` calls a function of this module on the other host; raises
            :class:`ReceiverLost` if it cannot.
        host: its name, for messages.

    Raises:
        ModelError: if the other host cannot store the files, or they do not arrive as they were sent.
        ReceiverLost: of ``call``.
        OSError: if this host cannot read them.
    """
    scratch = call(begin, prepared)
    if scratch is None:
        return
    folder = Path(prepared.folder)
    paths = model_files(folder)
    size = sum(path.stat().st_size for path in paths)
    logger.info("Sending the model %s (%.0f MB) to host %s, which lacks it", prepared.name, size / 1e6, host)
    try:
        sent = [_send_file(path, path.relative_to(folder).as_posix(), scratch, call) for path in paths]
        call(finish, prepared, scratch, sent)
    except BaseException:
        with suppress(ReceiverLost):
            call(discard, scratch)
        raise


def _send_file(path: Path, name: str, scratch: str, call: Callable[..., Any]) -> SentFile:
    digest, size, whole = hashlib.sha256(), 0, False
    with path.open("rb") as stream:
        while not whole:
            piece = stream.read(PIECE)
            call(store, scratch, name, piece)
            digest.update(piece)
            size += len(piece)
            whole = len(piece) < PIECE
    return SentFile(name, size, digest.hexdigest())


# -- on the receiving host -------------------------------------------------------------------------------------


def begin(prepared: PreparedModel) -> str | None:
    """Return a new folder for a model's pieces on this host; None if the model is here by now.

    Raises:
        ModelError: if the cache cannot be written to.
    """
    target = cached_folder(prepared)
    if is_whole(target):
        return None
    with _storing(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        _clear_abandoned(target)
        scratch = scratch_name(target)
        scratch.mkdir()
    return str(scratch)


def store(scratch: str, name: str, piece: bytes) -> None:
    """Append a piece to a file of a transfer.

    Raises:
        ModelError: if the disk refuses.
    """
    path = Path(scratch) / name
    with _storing(Path(scratch).parent):
        path.parent.mkdir(exist_ok=True)
        with path.open("ab") as stream:
            stream.write(piece)


def finish(prepared: PreparedModel, scratch: str, sent: list[SentFile]) -> None:
    """Check what arrived and move it into the cache.

    Raises:
        ModelError: if a file is not as it was sent, or the disk refuses.
    """
    for file in sent:
        path = Path(scratch) / file.name
        with _storing(path.parent), path.open("rb") as stream:
            found, size = hashlib.file_digest(stream, "sha256").hexdigest(), path.stat().st_size
        if (size, found) != (file.size, file.sha256):
            raise ModelError(
                f"host {platform.node()!r}: expected the file {file.name!r} of the model {prepared.name!r} as it was "
                f"sent ({file.size} bytes, SHA-256 {file.sha256[:16]}), found {size} bytes, {found[:16]}"
            )
    target = cached_folder(prepared)
    with _storing(target.parent), FileLock(f"{target}.lock", mode=target.parent.stat().st_mode & 0o666):
        if is_whole(target):
            shutil.rmtree(scratch)
            return
        shutil.rmtree(target, ignore_errors=True)
        Path(scratch).rename(target)


def discard(scratch: str) -> None:
    """Delete the files of a transfer that failed."""
    shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def _storing(folder: Path) -> Iterator[None]:
    """Turn errors of the disk into a sentence that names host and folder."""
    try:
        yield
    except OSError as error:
        raise ModelError(
            f"host {platform.node()!r}: model cache {str(folder)!r}: expected a folder that can be written to, with "
            f"room for the model: {error.strerror or error}; the environment variable EVOLM_CACHE names another one"
        ) from None


def _clear_abandoned(target: Path) -> None:
    """Delete the files of this model's transfers whose sender has gone."""
    for folder in target.parent.glob(f".{target.name[:40]}-*{SCRATCH}"):
        newest = max((path.stat().st_mtime for path in [folder, *folder.rglob("*")]), default=0.0)
        if time.time() - newest > ABANDONED:
            shutil.rmtree(folder, ignore_errors=True)
