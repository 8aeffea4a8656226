"""The journal: append-only lines, cut back on resume, torn lines ignored."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest

from evolm.errors import RunError
from evolm.storage import Journal, read_entries

pytestmark = pytest.mark.usefixtures("durable")


def test_entries_come_back_in_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    entries = [{"type": "run", "n": 1}, {"text": 'ä\n"\u2028', "deep": {"list": [1.5, None, True]}}]
    for entry in entries:
        journal.append(entry)
    assert list(read_entries(journal.path)) == entries  # before it is closed: appending flushes
    journal.sync()
    journal.close()
    assert journal.path.read_bytes().count(b"\n") == 2


def test_truncating_to_an_offset_forgets_what_was_written_behind_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append({"n": 1})
    offset = journal.offset
    journal.append({"n": 2})
    journal.truncate(offset)
    assert journal.offset == offset == journal.path.stat().st_size
    journal.append({"n": 3})
    assert [entry["n"] for entry in read_entries(journal.path)] == [1, 3]
    journal.close()


def test_a_reopened_journal_goes_on_at_its_end(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    for n in range(2):
        journal = Journal(path)
        assert journal.offset == (path.stat().st_size if n else 0)
        journal.append({"n": n})
        journal.close()
    assert [entry["n"] for entry in read_entries(path)] == [0, 1]


@pytest.mark.parametrize("tail", [b'{"n": 2', b'{"n": "\xc3', b'{"n": 2}', b"\x00\x00"])
def test_a_torn_last_line_is_nobodys_entry(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"n":1}\n' + tail)
    assert list(read_entries(path)) == [{"n": 1}]


def test_a_damaged_line_inside_is_not_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"n":\n{"n":2}\n')
    with pytest.raises(RunError, match=r"journal\.jsonl, line 1: expected a JSON object, found"):
        list(read_entries(path))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_cannot_say_is_refused_and_nothing_is_written(tmp_path: Path, value: float) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    with pytest.raises(ValueError, match="JSON"):
        journal.append({"score": value})
    assert journal.offset == 0
    journal.close()


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"journal\.jsonl: cannot be written: Not a directory"):
        Journal(tmp_path / "file" / "journal.jsonl")


def test_a_full_disk_is_one_sentence_when_appending_and_when_closing() -> None:
    journal = Journal(Path("/dev/full"))
    with pytest.raises(RunError, match="No space left on device"):
        journal.append({"n": 1})
    with suppress(RunError):  # what the buffer still holds cannot be written either
        journal.close()


def test_a_disk_that_refuses_to_flush_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "journal.jsonl")

    def refuse(handle: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(RunError, match="Input/output error"):
            journal.sync()
    journal.close()
