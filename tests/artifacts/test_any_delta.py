"""``delta.safetensors`` with any content: the delta, or one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save

from evolm.artifacts import read_delta
from evolm.artifacts.delta import SPACE
from evolm.errors import EvolmError
from evolm.models import LanguageModel
from tests.export.test_exporting_deltas import write_encoding

FUZZ = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 99) | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=4,
)
GENES = [
    np.zeros((2, 3), np.float32),
    np.zeros(0, np.float32),
    np.zeros((), np.float32),
    np.full(6, np.nan, np.float32),
    np.zeros(6, np.float64),
    np.zeros(6, np.int64),
    np.zeros(6, np.bool_),
]


@pytest.fixture(scope="module")
def written(finished_run: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Any]:
    """A delta's file, what its metadata says of its space, and its genes."""
    path = finished_run("subspace", "delta", write=write_encoding) / "best" / "delta.safetensors"
    with safe_open(path, framework="numpy") as stored:
        return tmp_path_factory.mktemp("any"), json.loads(stored.metadata()[SPACE]), stored.get_tensor("genes")


def read(path: Path, model: LanguageModel) -> None:
    try:
        space, genes = read_delta(path, model)
    except EvolmError as error:
        assert "\n" not in str(error)
    else:
        assert not space.outside(genes)


@pytest.mark.slow
@FUZZ
@given(st.dictionaries(st.integers(0, 12), VALUES, max_size=2), st.integers(-1, len(GENES) - 1), st.none() | VALUES)
@example({}, -1, [])
@example({}, -1, 7)
def test_any_space_and_genes_are_read_or_refused(
    written: tuple[Path, Any, Any], tiny_model: Callable[..., LanguageModel], changes: Any, genes: int, whole: Any
) -> None:
    folder, identity, own = written
    keys = sorted(identity)
    told = {**identity, **{keys[place % len(keys)]: value for place, value in changes.items()}}
    content = json.dumps(told if whole is None else whole)
    path = folder / "delta.safetensors"
    path.write_bytes(save({"genes": own if genes < 0 else GENES[genes]}, {SPACE: content}))
    read(path, tiny_model())


@pytest.mark.slow
@FUZZ
@given(st.binary(max_size=120), st.integers(0, 300))
def test_any_bytes_are_read_or_refused(
    written: tuple[Path, Any, Any], tiny_model: Callable[..., LanguageModel], new: bytes, place: int
) -> None:
    folder, identity, own = written
    content = bytearray(save({"genes": own}, {SPACE: json.dumps(identity)}))
    content[place : place + len(new)] = new
    path = folder / "delta.safetensors"
    path.write_bytes(content)
    read(path, tiny_model())
