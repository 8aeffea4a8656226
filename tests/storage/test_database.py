"""Databases on file systems that share no memory: SQLite's own VFS without shared memory stands for them."""

from __future__ import annotations

import functools
import logging
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from evolm.errors import RunError
from evolm.storage import AnswerStore, SharedLedger, database
from evolm.storage.database import Database, file_system

WITHOUT_MEMORY = "unix-dotfile"  # locks by files; write-ahead logs are refused


@pytest.fixture
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open every database by a VFS that shares no memory."""
    real = sqlite3.connect

    def connect(path: Path | str, **options: Any) -> sqlite3.Connection:
        return real(f"{Path(path).absolute().as_uri()}?vfs={WITHOUT_MEMORY}", uri=True, **options)

    monkeypatch.setattr(database.sqlite3, "connect", connect)
    database._say.cache_clear()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_local_disk_has_a_write_ahead_log_and_no_mark(tmp_path: Path) -> None:
    opened = Database(tmp_path / "a.sqlite")
    assert opened.journal == "wal"
    assert opened.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert not list(tmp_path.glob(f"*{database.MARK}"))
    opened.close()


@pytest.mark.usefixtures("no_memory")
def test_without_shared_memory_a_rollback_journal_is_used_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="evolm"):
        store = AnswerStore(tmp_path / "answers.sqlite")
        ledger = SharedLedger(tmp_path / "ledger.sqlite", "digest")
    assert caplog.text.count("shares no memory between processes") == 1
    store.put({b"key": b"answer"})
    assert ledger.reserve(3, 2, lambda counts: None) == 3
    second = AnswerStore(tmp_path / "answers.sqlite")  # another process of this host, as far as SQLite can tell
    assert second.get([b"key"]) == {b"key": b"answer"}
    for each in (second, store, ledger):
        each.close()
    assert names(tmp_path) == ["answers.sqlite", "ledger.sqlite"]


def test_a_network_s_file_system_is_known_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that another host wrote, or an earlier version of evolm, is taken over."""
    path = tmp_path / "a.sqlite"
    store = AnswerStore(path)
    store.put({b"key": b"answer"})
    store.close()
    monkeypatch.setattr(database, "file_system", lambda path: "nfs4")
    opened = Database(path)
    assert opened.journal == "delete"
    assert opened.connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert opened.connection.execute("SELECT answer FROM answers").fetchall() == [(b"answer",)]
    other = Database(path)
    other.connection.execute("INSERT INTO answers (key, answer) VALUES (x'00', x'01')")
    opened.close()
    other.close()
    assert names(tmp_path) == ["a.sqlite"]


def test_a_log_of_a_killed_process_is_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.sqlite"
    program = (
        "import os, sys; from evolm.storage import AnswerStore; "
        "AnswerStore(sys.argv[1]).put({b'key': b'answer'}); os.kill(os.getpid(), 9)"
    )
    subprocess.run(
        [sys.executable, "-c", program, str(path)], check=False, env={**os.environ, "PYTHONPATH": os.getcwd()}
    )
    assert (tmp_path / "a.sqlite-wal").stat().st_size
    monkeypatch.setattr(database, "file_system", lambda path: "nfs")
    store = AnswerStore(path)
    assert store.get([b"key"]) == {b"key": b"answer"}
    store.close()


@pytest.mark.usefixtures("no_memory")
def test_a_database_that_another_host_has_open_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "answers.sqlite.node7.4711-abcdef.open"
    other.touch()
    with pytest.raises(
        RunError, match=r"one host alone .* open on 'node7' \(process 4711\).* delete answers.sqlite.nod"
    ):
        AnswerStore(tmp_path / "answers.sqlite")
    assert names(tmp_path) == ["answers.sqlite", other.name]
    other.unlink()
    AnswerStore(tmp_path / "answers.sqlite").close()


@pytest.mark.usefixtures("no_memory")
def test_the_mark_of_a_process_that_is_gone_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    monkeypatch.setattr(database.platform, "node", lambda: "node 7.org")
    stale = tmp_path / f"a.sqlite.node-7-org.{gone.pid}-abcdef.open"
    stale.touch()
    opened = Database(tmp_path / "a.sqlite")
    assert not stale.exists()
    opened.close()
    assert names(tmp_path) == ["a.sqlite"]


def test_the_type_of_a_file_system_is_that_of_the_nearest_mount(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from psutil._ntuples import sdiskpart

    mounts = [sdiskpart("a", "/", "ext4", ""), sdiskpart("b", str(tmp_path), "nfs4", "")]
    monkeypatch.setattr(psutil, "disk_partitions", functools.partial(lambda all: mounts))
    assert file_system(tmp_path / "run" / "a.sqlite") == "nfs4"
    assert file_system(tmp_path.parent / "a.sqlite") == "ext4"
