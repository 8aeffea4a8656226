"""Fixtures of whole campaigns: shared finished runs, toy campaigns of a test's own, and real processes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

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
def finished(founding: ToyCampaign, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a finished run of it, changed by no test."""
    with quick():
        return founding.run(tmp_path_factory.mktemp("runs") / "finished").directory


@pytest.fixture(scope="session")
def evolm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmProcess]:
    """Return ``evolm(*arguments, **strike)``: a real process of its own."""
    process = WarmProcess(tmp_path_factory.mktemp("logs"))
    yield process
    process.close()
