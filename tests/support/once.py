"""What is built once per test session, also if the session is spread over several processes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock


@dataclass(frozen=True)
class SharedFolder:
    """A folder that all processes of a test session see. Nothing in it changes once it is built."""

    directory: Path

    @classmethod
    def of_session(cls, factory: pytest.TempPathFactory) -> SharedFolder:
        """Return the session's folder; processes of pytest-xdist have temporary folders side by side in it."""
        base = factory.getbasetemp()
        return cls(base.parent if "PYTEST_XDIST_WORKER" in os.environ else base)

    def once(self, name: str, build: Callable[[Path], object]) -> Path:
        """Return the folder of that name, which ``build`` fills if no process of the session has done so."""
        folder = self.directory / "shared" / name
        folder.parent.mkdir(exist_ok=True)
        with FileLock(f"{folder}.lock"):
            done = folder.with_suffix(".done")
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                build(folder)
                done.touch()
        return folder
