"""A worker on another host finds the model by its identity, or says what is missing there."""

from __future__ import annotations

import platform
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from evolm.errors import ModelError
from evolm.models import prepare
from evolm.models.hosts import on_this_host


def test_a_folder_with_the_same_content_is_taken(tiny_model_folder: Path) -> None:
    prepared = prepare(str(tiny_model_folder))
    assert on_this_host(prepared) == prepared


def test_a_folder_that_is_missing_here_is_found_by_the_model_s_name(tiny_model_folder: Path, tmp_path: Path) -> None:
    prepared = prepare(str(tiny_model_folder))
    elsewhere = replace(prepared, folder=str(tmp_path / "missing"))
    assert on_this_host(elsewhere) == prepared


def test_a_converted_model_of_this_host_is_taken(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = prepare(str(tiny_model_folder))
    monkeypatch.setenv("EVOLM_CACHE", str(tmp_path))
    folder = tmp_path / "models" / f"{prepared.fingerprint[:16]}-{prepared.dtype}"
    shutil.copytree(tiny_model_folder, folder)
    assert on_this_host(replace(prepared, folder="/missing", name="missing")).folder == str(folder)


def test_a_host_without_the_model_is_named(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = replace(prepare(str(tiny_model_folder)), folder="/missing", name="/missing/model")
    monkeypatch.setenv("EVOLM_CACHE", str(tmp_path))
    with pytest.raises(
        ModelError, match=rf"host {platform.node()!r}: expected the model '/missing/model' .* found none"
    ):
        on_this_host(prepared)


def test_another_model_of_that_name_is_refused(tiny_model_folder: Path) -> None:
    prepared = replace(prepare(str(tiny_model_folder)), fingerprint="0" * 64)
    with pytest.raises(ModelError, match=r"with fingerprint 0000000000000000, found [0-9a-f]{16}"):
        on_this_host(prepared)
