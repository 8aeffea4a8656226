"""A run's directory: made only where nothing lies, locked by one process, written in whole files."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from evolm.errors import RunError
from evolm.storage import Journal, RunLayout, files, write_atomically

pytestmark = pytest.mark.usefixtures("durable")


def test_a_new_directory_is_made_with_its_parents(tmp_path: Path) -> None:
    layout = RunLayout(tmp_path / "deep" / "run")
    layout.create()
    layout.create()  # still empty
    assert layout.directory.is_dir()


def test_a_directory_with_anything_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(RunError, match=r"expected a new or empty directory, found 'notes.txt' in it"):
        RunLayout(tmp_path).create()
    (tmp_path / "journal.jsonl").write_text("{}\n", encoding="utf-8")
    with pytest.raises(RunError, match=r"found another run; continue it with 'evolm resume"):
        RunLayout(tmp_path).create()


@pytest.mark.parametrize("name", ["file", "file/run", "x" * 300])
def test_a_place_that_cannot_be_made_is_one_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"cannot be written: (Not a directory|File name too long)"):
        RunLayout(tmp_path / name).create()


def test_a_run_has_a_campaign_and_a_journal(tmp_path: Path) -> None:
    layout = RunLayout(tmp_path)
    for missing in (layout.campaign, layout.journal):
        with pytest.raises(RunError, match=f"expected a run's directory, found no {missing.name} in it"):
            layout.require_run()
        missing.touch()
    layout.require_run()


def test_a_lock_keeps_every_other_process_out_and_ends_with_its_own(tmp_path: Path) -> None:
    hold = "import sys, filelock; a = filelock.FileLock(sys.argv[1]); a.acquire(); print('held', flush=True)"
    command = [sys.executable, "-c", hold + "; sys.stdin.read()", str(tmp_path / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(RunError, match="another process working on this run"), RunLayout(tmp_path).lock():
            pass
        other.kill()
        other.wait()
        with RunLayout(tmp_path).lock():
            pass


def test_a_lock_is_given_back_after_an_error(tmp_path: Path) -> None:
    layout = RunLayout(tmp_path)
    with pytest.raises(KeyError), layout.lock():
        raise KeyError
    with layout.lock():
        pass


def test_a_lock_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written to"), RunLayout(tmp_path / "file").lock():
        pass


@pytest.mark.parametrize("content", ["ä\r\n", b"\x00\xff"])
def test_a_file_is_written_whole_with_its_folder(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "deep" / "file"
    path.parent.mkdir()
    path.write_text("old", encoding="utf-8")
    write_atomically(path, content)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_refuses_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "file"
    path.write_text("old", encoding="utf-8")

    def refuse(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        with pytest.raises(RunError, match="file: cannot be written: No space left on device"):
            write_atomically(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_durability_is_one_setting_for_files_and_journals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    write_atomically(tmp_path / "waited", "for")
    write_atomically(tmp_path / "not waited", "for", durable=False)
    journal = Journal(tmp_path / "journal.jsonl")
    journal.sync()
    assert len(synced) == 2
    monkeypatch.setattr(files, "DURABLE", False)
    write_atomically(tmp_path / "not waited either", "for")
    journal.sync()
    journal.close()
    assert len(synced) == 2
    assert (tmp_path / "not waited either").read_text(encoding="utf-8") == "for"
