"""Checkpoints: plain state and arrays, one whole checkpoint at every instant, nothing pickled."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolm.errors import RunError
from evolm.randomness import Randomness
from evolm.storage import read_checkpoint, write_checkpoint

pytestmark = pytest.mark.usefixtures("durable")

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@settings(max_examples=30, deadline=None)
@given(state=st.dictionaries(st.text(), PLAIN))
def test_plain_state_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, state: dict[str, Any]) -> None:
    folder = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(folder, state)
    assert read_checkpoint(folder) == state


def test_arrays_come_back_bit_for_bit_wherever_they_are(tmp_path: Path) -> None:
    arrays = [
        np.array([0.1, np.nan, -np.inf], dtype=np.float32),
        np.arange(6, dtype=np.int64).reshape(2, 3).T,
        np.zeros((0, 3)),
        np.array(2.5),
    ]
    write_checkpoint(tmp_path, {"a": {"b": [arrays[0], {"c": arrays[1]}]}, "d": arrays[2], "e": arrays[3]})
    found = read_checkpoint(tmp_path)
    assert found is not None
    for was, now in zip(arrays, [found["a"]["b"][0], found["a"]["b"][1]["c"], found["d"], found["e"]], strict=True):
        assert was.dtype == now.dtype
        assert was.shape == now.shape
        assert was.tobytes() == now.tobytes()


def test_numpy_scalars_become_python_s_and_tuples_lists(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, {"n": np.int64(3), "x": np.float32(0.5), "pair": (1, 2)})
    found = read_checkpoint(tmp_path)
    assert found == {"n": 3, "x": 0.5, "pair": [1, 2]}
    assert type(found["n"]) is int


def test_random_numbers_go_on_where_they_were(tmp_path: Path) -> None:
    randomness = Randomness(3)
    randomness.numpy.normal(size=3)
    write_checkpoint(tmp_path, {"rng": randomness.state_dict()})
    expected = randomness.numpy.random(5)
    other = Randomness(4)
    other.load_state_dict(read_checkpoint(tmp_path)["rng"])  # type: ignore[index]
    assert (other.numpy.random(5) == expected).all()


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    assert read_checkpoint(tmp_path / "nothing") is None


def test_a_new_checkpoint_leaves_two_files_and_nothing_of_the_old(tmp_path: Path) -> None:
    for n in range(3):
        write_checkpoint(tmp_path, {"n": n, "x": np.full(4, n)})
    (tmp_path / ".state.json-torn").touch()
    write_checkpoint(tmp_path, {"n": 3, "x": np.zeros(1)})
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 2
    assert names[0].startswith("arrays-")
    assert names[1] == "state.json"
    assert b"pickle" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


class Struck(BaseException):
    """Stands for a kill: no handler of errors sees it."""


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_at_every_instant_there_is_one_whole_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, at: int, late: bool
) -> None:
    write_checkpoint(tmp_path, {"n": 0, "x": np.zeros(3)})
    real, count = getattr(os, call), 0

    def strike(*arguments: Any) -> None:
        nonlocal count
        count += 1
        if late or count != at:
            real(*arguments)
        if count == at:
            raise Struck

    with monkeypatch.context() as patch:
        patch.setattr(os, call, strike)
        with pytest.raises(Struck):
            write_checkpoint(tmp_path, {"n": 1, "x": np.ones(3)})
    found = read_checkpoint(tmp_path)
    assert found is not None
    assert (found["x"] == found["n"]).all()
    assert found["n"] == int(call == "replace" and at == 2 and late)


def test_a_disk_that_refuses_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_checkpoint(tmp_path, {"n": 0, "x": np.zeros(3)})

    def refuse(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(RunError, match="No space left on device"):
            write_checkpoint(tmp_path, {"n": 1, "x": np.ones(3)})
    assert read_checkpoint(tmp_path)["n"] == 0  # type: ignore[index]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_nan_outside_an_array_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_checkpoint(tmp_path, {"x": float("nan")})


@pytest.mark.parametrize("damage", ["torn state", "no state", "arrays gone", "torn arrays", "array missing"])
def test_a_damaged_checkpoint_is_one_sentence(tmp_path: Path, damage: str) -> None:
    write_checkpoint(tmp_path, {"x": np.zeros(30)})
    state = tmp_path / "state.json"
    (arrays,) = tmp_path.glob("arrays-*")
    if damage == "torn state":
        state.write_bytes(state.read_bytes()[:-3])
    elif damage == "no state":
        state.write_text("{}", encoding="utf-8")
    elif damage == "arrays gone":
        arrays.unlink()
    elif damage == "torn arrays":
        arrays.write_bytes(arrays.read_bytes()[:-3])
    else:
        record = json.loads(state.read_text(encoding="utf-8"))
        record["state"]["x"]["__array__"] = "999999"
        state.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(RunError, match=r"(state of a run|arrays of a checkpoint), found (none|a damaged file)"):
        read_checkpoint(tmp_path)
