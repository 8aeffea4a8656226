"""Real ``evolm`` processes without the seconds that their imports take."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import evolm

ROOT = Path(__file__).parents[2]
KILLED = -9
PACKAGE = Path(evolm.__file__).parents[1]  # where workers, too, find it if it is not installed


class WarmProcess:
    """A process that has imported everything and forks a fresh ``evolm`` process on demand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._count = 0
        settings = {
            "OMP_NUM_THREADS": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "COLUMNS": "200",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(PACKAGE), str(ROOT), os.environ.get("PYTHONPATH")])),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.warm_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **settings},
            text=True,
            encoding="utf-8",
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
        return {**answer, "log": log.read_text(encoding=strike.get("encoding", "utf-8"))}

    def killed_and_resumed(self, campaign: Path, out: Path, at: int) -> Path:
        """Run a campaign into a directory, kill it at the ``at``-th entry of a journal, resume it; return ``out``."""
        struck = self("run", campaign, "--out", out, call="append", at=at)
        assert struck["exit"] == KILLED, struck["log"]
        told = self("resume", out)
        assert told["exit"] == 0, told["log"]
        return out

    def killed_near_its_end(self, campaign: Path, out: Path, undisturbed: Path, left: int) -> Path:
        """The same, killed when the journals lack ``left`` entries of those of an undisturbed run."""
        names = ("journal.jsonl", "timing.jsonl")
        total = sum(len((undisturbed / name).read_text(encoding="utf-8").splitlines()) for name in names)
        return self.killed_and_resumed(campaign, out, total - left)

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
