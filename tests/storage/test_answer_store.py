"""The answer cache keeps bits, takes any number of keys, and says so when its file is damaged."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import numpy as np
import pytest

from evolm.errors import RunError
from evolm.storage import AnswerStore, answer_key


def key(number: int) -> bytes:
    return answer_key(b"scope", [number], 0, [[1]])


def test_a_reopened_store_has_the_same_bits(tmp_path: Path) -> None:
    values = np.array([-0.1, -1e-30, -np.inf, np.nan], dtype=np.float32)
    store = AnswerStore(tmp_path / "a.sqlite")
    store.put({key(1): values.tobytes()})
    store.close()
    again = AnswerStore(tmp_path / "a.sqlite")
    assert again.get([key(1)])[key(1)] == values.tobytes()
    assert len(again) == 1
    again.close()


def test_more_keys_than_sqlite_takes_in_one_statement() -> None:
    store = AnswerStore(":memory:")
    limit = sqlite3.connect(":memory:").getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
    count = min(limit, 40_000) + 7
    store.put({key(i): str(i).encode() for i in range(0, count, 2)})
    found = store.get([key(i) for i in range(count)])
    assert len(found) == len(store) == -(-count // 2)
    assert all(found[key(i)] == str(i).encode() for i in range(0, count, 1000))
    store.close()


def test_an_unknown_key_is_left_out_and_a_known_one_replaced() -> None:
    store = AnswerStore(":memory:")
    store.put({key(1): b"one"})
    store.put({key(1): b"two"})
    assert list(store.get([key(2), key(1)])) == [key(1)]
    assert store.get([key(1)])[key(1)] == b"two"
    assert store.get([]) == {}
    store.close()


@pytest.mark.parametrize("content", [b"this is no database at all, but long enough" * 50, b"short"])
def test_a_file_that_is_no_database_may_be_deleted(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.sqlite"
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"a\.sqlite: expected a cache .* found a damaged file .*; delete it"):
        AnswerStore(path)
    path.unlink()
    AnswerStore(path).close()


def test_damage_inside_of_the_file_is_found_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    store = AnswerStore(path)
    store.put({key(number): bytes(200) for number in range(500)})
    store.close()
    with path.open("r+b") as stream:
        stream.seek(4096)
        stream.write(b"\xa5" * (path.stat().st_size - 4096))
    damaged = AnswerStore(path)
    for use in (lambda: damaged.get([key(number) for number in range(500)]), lambda: damaged.put({key(1): b""})):
        with pytest.raises(RunError, match="found a damaged file .*; delete it"):
            use()
    damaged.close()


def test_answers_of_a_file_that_was_cut_off_are_right_or_unknown(tmp_path: Path) -> None:
    """SQLite reads zeros behind the end of a file."""
    answers = {key(number): bytes([number + 1]) * 200 for number in range(60)}
    store = AnswerStore(tmp_path / "whole.sqlite")
    store.put(answers)
    store.close()
    whole = (tmp_path / "whole.sqlite").read_bytes()
    lengths = range(len(whole) - 450, len(whole), 10)
    unknown = 0
    for length in lengths:
        path = tmp_path / f"{length}.sqlite"
        path.write_bytes(whole[:length])
        try:
            cut = AnswerStore(path)
            found = cut.get(list(answers))
        except RunError as error:
            assert "found a damaged file" in str(error)
            continue
        assert all(found[each] == answers[each] for each in found)
        unknown += len(found) < len(answers)
        cut.put(answers)
        assert cut.get(list(answers)) == answers
        cut.close()
    assert 0 < unknown < len(lengths)


def test_a_file_that_was_cut_off_is_refused_at_once_or_can_be_filled_again(tmp_path: Path) -> None:
    """Without the check at opening, some lengths are found damaged when answers are written, and some never."""
    answers = {key(number): bytes([number + 1]) * (24 + 90 * (number % 4)) for number in range(60)}
    path = tmp_path / "a.sqlite"
    store = AnswerStore(path)
    store.put(answers)
    store.close()
    whole = path.read_bytes()
    refused = 0
    for length in range(len(whole) - 4096, len(whole), 37):
        path.write_bytes(whole[:length])
        try:
            cut = AnswerStore(path)
        except RunError as error:
            assert "found a damaged file" in str(error) and "\n" not in str(error)
            refused += 1
            continue
        found = cut.get(list(answers))
        assert all(found[each] == answers[each] for each in found)
        cut.put(answers)
        assert cut.get(list(answers)) == answers
        cut.close()
    assert 0 < refused < len(range(len(whole) - 4096, len(whole), 37))


def test_a_file_of_an_earlier_version_keeps_its_answers(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    old = sqlite3.connect(path)
    old.execute("CREATE TABLE answers (key BLOB PRIMARY KEY, answer BLOB NOT NULL) WITHOUT ROWID")
    old.execute("INSERT INTO answers VALUES (?, ?)", (key(1), b"one"))
    old.commit()
    old.close()
    first, second = AnswerStore(path), AnswerStore(path)
    second.put({key(2): b"two"})
    assert first.get([key(1), key(2)]) == {key(1): b"one", key(2): b"two"}
    first.close()
    second.close()


def test_an_empty_file_is_a_store_without_answers(tmp_path: Path) -> None:
    (tmp_path / "a.sqlite").touch()
    store = AnswerStore(tmp_path / "a.sqlite")
    assert len(store) == 0
    store.close()


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "missing" / "a.sqlite", tmp_path / "folder"):
        with pytest.raises(RunError, match="cannot be opened"):
            AnswerStore(path)


@pytest.mark.parametrize("umask", [0o077, 0o002])
def test_the_files_of_a_store_follow_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        store = AnswerStore(tmp_path / "a.sqlite")
        store.put({key(1): b"one"})
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    store.close()
    assert modes == dict.fromkeys(["a.sqlite", "a.sqlite-wal", "a.sqlite-shm"], 0o666 & ~umask)


def test_every_part_of_a_request_is_in_its_key() -> None:
    keys = [
        answer_key(b"scope", [1, 2, 3], 1, [[4], [5]]),
        answer_key(b"other", [1, 2, 3], 1, [[4], [5]]),
        answer_key(b"scope", [1, 2, 3], 2, [[4], [5]]),
        answer_key(b"scope", [1, 2], 1, [[3, 4], [5]]),
        answer_key(b"scope", [1, 2, 3], 1, [[4, 5]]),
        answer_key(b"scope", [1, 2, 3], 1, [[5], [4]]),
        answer_key(b"scope", [1, 2, 3, 4], 1, [[5]]),
    ]
    assert len(set(keys)) == len(keys)
    assert all(len(k) == 20 for k in keys)
    assert keys[0] == answer_key(b"scope", (1, 2, 3), 1, ((4,), (5,)))
