"""Fixtures of whole campaigns: toy campaigns of a test's own, and a warm process that forks."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from toy_campaign import ToyCampaign, quick, write_campaign

import evolm as package

HERE = Path(__file__).parent
PACKAGE = Path(package.__file__).parents[1]  # where workers, too, find it if it is not installed


@pytest.fixture(autouse=True)
def logger_as_it_was() -> Iterator[None]:
    """Give the package's logger back as it was (the command line points it elsewhere); draw no figures."""
    logger = logging.getLogger("evolm")
    before = list(logger.handlers), logger.level, logger.propagate
    with quick():
        yield
    logger.handlers[:], logger.level, logger.propagate = before


@pytest.fixture
def toy(tmp_path: Path, tiny_model_folder: Path) -> Callable[..., ToyCampaign]:
    """Return ``write(**changes)``: the toy campaign in a folder of this test."""

    def write(**changes: Any) -> ToyCampaign:
        return write_campaign(tmp_path / "campaign", tiny_model_folder, **changes)

    return write


class WarmProcess:
    """A process that has imported everything and forks a fresh ``evolm`` process on demand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._count = 0
        settings = {
            "OMP_NUM_THREADS": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "COLUMNS": "200",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(PACKAGE), os.environ.get("PYTHONPATH")])),
        }
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "warm_process.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **settings},
            text=True,
        )

    def __call__(self, *arguments: object, **strike: Any) -> dict[str, Any]:
        """Run ``evolm ARGUMENTS`` and return what became of it; see ``warm_process.py`` for ``strike``."""
        self._count += 1
        log = self.folder / f"{self._count}.log"
        order = {"arguments": [str(argument) for argument in arguments], "log": str(log), "strike": strike}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return {**answer, "log": log.read_text()}

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


@pytest.fixture(scope="session")
def evolm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmProcess]:
    """Return ``evolm(*arguments, **strike)``: a real process of its own."""
    process = WarmProcess(tmp_path_factory.mktemp("logs"))
    yield process
    process.close()
