"""A model's files are sent to a host that lacks them: whole, checked, and never half-written."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evolm.errors import ModelError
from evolm.models import prepare, transfer
from evolm.models.checkpoint_folder import model_files
from evolm.models.hosts import cached_folder, on_this_host
from evolm.models.specs import PreparedModel
from evolm.models.transfer import ReceiverLost, begin, send_model


@pytest.fixture
def sent(tiny_model_folder: Path) -> PreparedModel:
    return prepare(str(tiny_model_folder))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The other host's cache."""
    monkeypatch.setenv("EVOLM_CACHE", str(tmp_path))
    monkeypatch.setattr(transfer, "PIECE", 10_000)
    return tmp_path / "models"


def called(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


def content(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in model_files(folder)}


def test_what_arrives_is_the_model(sent: PreparedModel, cache: Path) -> None:
    pieces: list[int] = []

    def call(function: Callable[..., Any], *arguments: Any) -> Any:
        pieces.extend(len(argument) for argument in arguments if isinstance(argument, bytes))
        return function(*arguments)

    send_model(sent, call, "b")
    assert content(cached_folder(sent)) == content(Path(sent.folder))
    assert len(pieces) > 10 and max(pieces) == transfer.PIECE
    assert on_this_host(replace(sent, folder="/missing", name="missing")).folder == str(cached_folder(sent))
    assert not list(cache.glob(".*"))


def test_a_host_that_has_the_model_by_now_is_sent_nothing(sent: PreparedModel, cache: Path) -> None:
    send_model(sent, called, "b")
    asked: list[str] = []
    send_model(sent, lambda function, *rest: asked.append(function.__name__) or function(*rest), "b")
    assert asked == ["begin"]


def test_two_transfers_at_the_same_time_leave_one_model(sent: PreparedModel, cache: Path) -> None:
    def call(function: Callable[..., Any], *arguments: Any) -> Any:
        if function is transfer.finish:
            send_model(sent, called, "b")  # of another campaign, which is done first
        return function(*arguments)

    send_model(sent, call, "b")
    assert content(cached_folder(sent)) == content(Path(sent.folder))
    assert not list(cache.glob(".*"))


def test_a_piece_that_changes_on_its_way_is_refused_and_nothing_is_kept(sent: PreparedModel, cache: Path) -> None:
    def call(function: Callable[..., Any], *arguments: Any) -> Any:
        if function is transfer.store and arguments[1].endswith(".safetensors"):
            arguments = (*arguments[:2], bytes(len(arguments[2])))
        return function(*arguments)

    with pytest.raises(ModelError, match=rf"host {platform.node()!r}: expected the file 'model.*' of the model"):
        send_model(sent, call, "b")
    assert not cached_folder(sent).exists()
    assert not list(cache.glob(".*"))


def test_a_full_disk_is_a_sentence_with_host_and_folder(sent: PreparedModel, cache: Path) -> None:
    cache.parent.joinpath("models").write_text("a file stands where the folder should be", encoding="utf-8")
    with pytest.raises(ModelError, match=rf"host {platform.node()!r}: model cache '{cache}': expected a folder"):
        send_model(sent, called, "b")


def test_a_receiver_that_goes_leaves_what_the_next_transfer_deletes(
    sent: PreparedModel, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(function: Callable[..., Any], *arguments: Any) -> Any:
        if function in (transfer.finish, transfer.discard):
            raise ReceiverLost("gone")
        return function(*arguments)

    with pytest.raises(ReceiverLost):
        send_model(sent, call, "b")
    [left] = cache.glob(".*")
    send_model(sent, called, "b")
    assert left.exists()  # it might still be in use
    for path in [left, *left.rglob("*")]:
        os.utime(path, (0, 0))
    cached_folder(sent).rename(cache / "moved")
    assert begin(sent)
    assert not left.exists()
