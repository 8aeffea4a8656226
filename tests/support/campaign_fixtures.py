"""Fixtures of whole campaigns: shared finished runs, toy campaigns of a test's own, and real processes."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evolm.storage import files
from tests.support.once import SharedFolder
from tests.support.toy_campaign import ToyCampaign, quick, write_campaign
from tests.support.warm_evolm import WarmProcess


@pytest.fixture(autouse=True)
def logger_as_it_was() -> Iterator[None]:
    """Give the package's logger back as it was; the command line points it elsewhere."""
    logger = logging.getLogger("evolm")
    before = list(logger.handlers), logger.level, logger.propagate
    yield
    logger.handlers[:], logger.level, logger.propagate = before


@pytest.fixture(autouse=True)
def quick_campaigns() -> Iterator[None]:
    """Let campaigns draw no figures and resample little; overridden by tests of figures."""
    with quick():
        yield


@pytest.fixture
def durable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for the disk, as campaigns do outside of tests."""
    monkeypatch.setattr(files, "DURABLE", True)


@pytest.fixture
def toy(tmp_path: Path, tiny_model_folder: Path) -> Callable[..., ToyCampaign]:
    """Return ``write(**changes)``: the toy campaign in the folder ``toy`` of this test."""

    def write(**changes: Any) -> ToyCampaign:
        return write_campaign(tmp_path / "toy", tiny_model_folder, **changes)

    return write


@pytest.fixture(scope="session")
def founding(tmp_path_factory: pytest.TempPathFactory, tiny_model_folder: Path) -> ToyCampaign:
    """The toy campaign's folder, changed by no test."""
    return write_campaign(tmp_path_factory.mktemp("founding") / "toy", tiny_model_folder)


@pytest.fixture(scope="session")
def finished_run(shared_folder: SharedFolder, tiny_model_folder: Path) -> Callable[..., Path]:
    """Return ``finished_run(*arguments, write=write_campaign, **changes)``: the directory of a finished run.

    The run is that of ``write(folder, model, *arguments, **changes)``. Equal runs are built once per session, for all
    its processes; no test changes them.
    """

    def finished(*arguments: Any, write: Callable[..., ToyCampaign] = write_campaign, **changes: Any) -> Path:
        def build(folder: Path) -> None:
            with quick():
                write(folder / "toy", tiny_model_folder, *arguments, **changes).run(folder / "run")

        recipe = json.dumps([write.__module__, write.__name__, arguments, changes], sort_keys=True)
        return shared_folder.once(f"run-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}", build) / "run"

    return finished


@pytest.fixture(scope="session")
def finished(finished_run: Callable[..., Path]) -> Path:
    """The directory of a finished run of the toy campaign, changed by no test."""
    return finished_run()


@pytest.fixture(scope="session")
def evolm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmProcess]:
    """Return ``evolm(*arguments, **strike)``: a real process of its own."""
    process = WarmProcess(tmp_path_factory.mktemp("logs"))
    yield process
    process.close()
