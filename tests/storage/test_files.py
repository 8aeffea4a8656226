"""Files and folders: written whole, named freely, and as private as the umask says."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from evolm.errors import RunError
from evolm.storage.files import free_folder, new_folder, require_new, write_atomically, write_new_files
from tests.support.processes import in_processes


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mask", [0o077, 0o022, 0o002])
def test_files_and_folders_follow_the_umask(tmp_path: Path, mask: int) -> None:
    with umask(mask):
        write_atomically(tmp_path / "deep" / "file", "text")
        with new_folder(tmp_path / "folder") as folder:
            (folder / "inner").mkdir(mode=0o700)  # as a library does that writes by way of private temporary files
            (folder / "inner" / "file").touch(mode=0o600)
    assert mode(tmp_path / "deep") == 0o777 & ~mask
    assert mode(tmp_path / "deep" / "file") == 0o666 & ~mask
    assert mode(tmp_path / "folder") == mode(tmp_path / "folder" / "inner") == 0o777 & ~mask
    assert mode(tmp_path / "folder" / "inner" / "file") == 0o666 & ~mask


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127])
def test_a_name_may_be_as_long_as_the_disk_allows(tmp_path: Path, name: str) -> None:
    write_atomically(tmp_path / name, "text")
    assert (tmp_path / name).read_text(encoding="utf-8") == "text"


def test_a_folder_that_cannot_be_filled_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(KeyError), new_folder(tmp_path / "folder") as folder:
        (folder / "file").touch()
        raise KeyError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["there", "new/deep"])
def test_files_are_written_all_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "kept").touch()
    real, calls = os.replace, iter(range(9))

    def refuse_the_third(source: Path, target: Path) -> None:
        if next(calls) == 2:
            raise OSError(28, "No space left on device")
        real(source, target)

    contents = {"a": "1", "b": b"2", "c": "3"}
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse_the_third)
        with pytest.raises(RunError, match="c: cannot be written: No space left on device"):
            write_new_files(tmp_path / name, contents)
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["there", "there/kept"]
    write_new_files(tmp_path / name, contents)
    assert [(tmp_path / name / each).read_text(encoding="utf-8") for each in contents] == ["1", "2", "3"]


def _keep_a_folder(wanted: Path) -> None:
    with free_folder(wanted) as folder:
        (folder / "file").touch(exist_ok=False)


def test_processes_that_want_one_name_get_a_folder_each(tmp_path: Path) -> None:
    assert in_processes(_keep_a_folder, *[(tmp_path / "runs" / "mail",)] * 6) == [0] * 6
    names = ["mail", *(f"mail-{number}" for number in range(2, 7))]
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == names
    assert all([file.name for file in folder.iterdir()] == ["file"] for folder in (tmp_path / "runs").iterdir())


def test_a_folder_that_stays_empty_is_removed_again(tmp_path: Path) -> None:
    with pytest.raises(KeyError), free_folder(tmp_path / "runs" / "mail") as folder:
        assert folder.is_dir()
        raise KeyError
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_name_that_cannot_be_used_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("file", "link"):
        with pytest.raises(RunError, match=f"{name}: expected a new file, found an existing file or folder"):
            require_new(tmp_path / name)
    with pytest.raises(RunError, match="file/below: cannot be written: Not a directory"):
        require_new(tmp_path / "file" / "below")
    with pytest.raises(RunError, match="x: cannot be written: File name too long"):
        require_new(tmp_path / ("x" * 300))
    require_new(tmp_path / "new" / "folder" / "file")


def test_a_folder_without_permission_to_write_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # the superuser may write everywhere
    with pytest.raises(
        RunError, match=r"new/file: cannot be written: expected permission to write to .*, found none"
    ):
        require_new(tmp_path / "new" / "file")
