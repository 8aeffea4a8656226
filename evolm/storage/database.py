"""SQLite databases that several processes read and write, on local disks and on file systems of a network.

A write-ahead log needs memory that all readers share. Where a file system has none (NFS, AFS, SMB, some
containers), or lies on several hosts, a rollback journal takes its place. Its locks do not hold between hosts on all
of these file systems, so one host alone may then open a database: each process leaves a mark beside it, and a process
of another host is refused.
"""

from __future__ import annotations

import logging
import os
import platform
import re
import secrets
import sqlite3
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

from evolm.errors import RunError

logger = logging.getLogger("evolm")

MEMORY: Final = ":memory:"  # SQLite's name for a database of this process alone
PATIENCE: Final = 60.0  # seconds to wait for another process that is writing
MARK: Final = ".open"  # ending of the files that name the processes of a database on a network
OF_A_NETWORK: Final = frozenset(
    {
        "nfs",
        "nfs3",
        "nfs4",
        "afs",
        "cifs",
        "smb3",
        "smbfs",
        "fuse.sshfs",
        "lustre",
        "gpfs",
        "beegfs",
        "ceph",
        "fuse.ceph",
    }
)


class Database:
    """An open database, made if missing, whose file follows the umask.

    Threads may use the connection one at a time, which the caller ensures.

    Args:
        path: the file, or :data:`MEMORY`.

    Attributes:
        connection: the connection; transactions are begun and ended by statements.
        journal: ``wal``, or ``delete`` (a rollback journal) where the file system shares no memory; ``memory``.

    Raises:
        OSError: if the file cannot be made.
        RunError: if processes of another host have it open, and a rollback journal is used.
        sqlite3.Error: if it is no database.
    """

    def __init__(self, path: Path | str) -> None:
        self._mark: Path | None = None
        if path == MEMORY:
            self.connection, self.journal = _connect(path), "memory"
            return
        path = Path(path)
        path.touch()  # SQLite would give no write permission to a group; its side files follow this one
        shared = file_system(path) not in OF_A_NETWORK
        opened = _with_log(path) if shared else None
        if opened is None:
            self._mark = _marked(path)
            try:
                opened = _with_rollback(path)
            except BaseException:
                self._mark.unlink(missing_ok=True)
                raise
            _say(str(path.parent))
        self.connection = opened
        self.journal = "delete" if self._mark else "wal"
        self.connection.execute(f"PRAGMA synchronous={'FULL' if self._mark else 'NORMAL'}")
        try:
            self._require_sound_end(path)
        except BaseException:
            self.close()
            raise

    def _require_sound_end(self, path: Path) -> None:
        """Raise if a file ends within a page and is no sound database with zeros in the place of the rest.

        SQLite reads such zeros, and finds out when it writes that pages point into them, or never.

        Raises:
            sqlite3.DatabaseError: if it is none.
        """
        (page,) = self.connection.execute("PRAGMA page_size").fetchone()
        if path.stat().st_size % page and self.connection.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("it ends within a page")

    def require_only(self, *statements: str) -> None:
        """Raise unless the database holds the table that one of some statements makes, and nothing else.

        A file of unknown origin may have a trigger or a view, which SQLite would run with every statement.

        Raises:
            sqlite3.DatabaseError: naming what else there is.
        """
        found = self.connection.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
        for kind, name, sql in found:
            if sql not in statements:
                raise sqlite3.DatabaseError(f"an unknown {kind} {str(name)[:40]!r}")

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()
        if self._mark is not None:
            with suppress(OSError):
                self._mark.unlink(missing_ok=True)


def file_system(path: Path) -> str:
    """Return the type of the file system that a path lies on (``ext4``, ``nfs4``); ``""`` if it is unknown."""
    import psutil  # slow to import, and most commands open no database

    place = path.resolve()
    try:
        mounts = {Path(mount.mountpoint): mount.fstype for mount in psutil.disk_partitions(all=True)}
    except (OSError, NotImplementedError):
        return ""
    return next((mounts[folder] for folder in (place, *place.parents) if folder in mounts), "")


def _connect(path: Path | str) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)


def _with_log(path: Path) -> sqlite3.Connection | None:
    """Return a connection with a write-ahead log; None if the file system cannot have one.

    SQLite then keeps the old journal, or fails as soon as the log's index is read.
    """
    connection = _connect(path)
    try:
        (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
        connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        if mode == "wal":
            return connection
    except sqlite3.OperationalError as error:
        if not {error.sqlite_errorcode, error.sqlite_errorcode & 0xFF} & {sqlite3.SQLITE_PROTOCOL, *_NO_INDEX}:
            connection.close()
            raise
    except BaseException:
        connection.close()
        raise
    connection.close()
    return None


_NO_INDEX: Final = (
    sqlite3.SQLITE_IOERR_SHMMAP,
    sqlite3.SQLITE_IOERR_SHMOPEN,
    sqlite3.SQLITE_IOERR_SHMSIZE,
    sqlite3.SQLITE_IOERR_SHMLOCK,
)


def _with_rollback(path: Path) -> sqlite3.Connection:
    """Return a connection with a rollback journal; a write-ahead log of earlier use is taken over.

    A connection that has the file for itself needs no shared memory to read such a log.
    """
    connection = _connect(path)
    try:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("PRAGMA locking_mode=NORMAL")
        connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()  # gives the file up to others
    except BaseException:
        connection.close()
        raise
    return connection


def _marked(path: Path) -> Path:
    """Leave this process's mark beside a database, and return it.

    Raises:
        RunError: if another host left one.
    """
    import psutil  # see file_system

    host = re.sub(r"[^A-Za-z0-9-]", "-", platform.node()) or "host"
    mark = path.with_name(f"{path.name}.{host}.{os.getpid()}-{secrets.token_hex(3)}{MARK}")
    mark.touch()
    for other in path.parent.glob(f"{path.name}.*{MARK}"):
        found = re.fullmatch(r"\.([A-Za-z0-9-]+)\.(\d+)-\w+", other.name[len(path.name) : -len(MARK)])
        if found is None or other == mark:
            continue
        if found[1] != host:
            mark.unlink(missing_ok=True)
            raise RunError(
                f"{path}: expected a file that one host alone works with, since its file system shares no memory, "
                f"found it open on {found[1]!r} (process {found[2]}); if that process is gone, delete {other.name}"
            )
        if not psutil.pid_exists(int(found[2])):
            other.unlink(missing_ok=True)
    return mark


@cache
def _say(folder: str) -> None:
    """Say once per folder that a slower journal is used."""
    logger.warning(
        "%s: this file system shares no memory between processes; databases in it use a rollback journal, and one "
        "host alone may open them.",
        folder,
    )


__all__ = ["MEMORY", "Database", "file_system"]
