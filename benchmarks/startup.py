"""Processor seconds that commands take to start: measured on whole processes.

Commands that need no model, and refusals, must import neither torch nor transformers; the result says if they did.
Processor seconds (user and system) are counted and not wall time, and their median is taken, so that other processes
on the machine matter little. The folder that commands run in is empty: runs are missing, which is what they refuse.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.setting import setting, write_result

ROUNDS = 7
HEAVY = ("torch", "transformers", "pandas", "scipy.stats", "matplotlib", "sacrebleu")
IMPORT = "import evolm"
COMMANDS = (
    IMPORT,
    "evolm --help",
    "evolm run --help",
    "evolm schema",
    "evolm report nothing",
    "evolm compare nothing nowhere",
    "evolm resume nothing",
    "evolm export nothing out --to prompt",
    "evolm init nothing.csv",
    "evolm run nothing",
    "evolm run sms-spam --set budget.evaluation=50",
    "evolm run sms-spam --set strategy.name=genetics",
    "evolm run sms-spam --set task.data=missing.csv",
    "evolm run sms-spam --set scorers.likelihood=1.0",
    "evolm sweep sms-spam --strategy genetics",
)
# Runs in the measured process: the command, then what it imported and spent, on standard error's last line.
PROGRAM = """
import atexit, json, resource, sys

def tell():
    spent = resource.getrusage(resource.RUSAGE_SELF)
    loaded = [name for name in {heavy!r} if name in sys.modules]
    print(json.dumps([spent.ru_utime + spent.ru_stime, loaded]), file=sys.stderr)

atexit.register(tell)
import evolm
if {arguments!r}:
    from evolm.cli import app
    app({arguments!r}, prog_name="evolm")
"""


def measured(command: str, folder: Path) -> tuple[float, list[str]]:
    """Run a command once in a process of its own; return processor seconds and the heavy packages it imported."""
    arguments = [] if command == IMPORT else command.split()[1:]
    program = PROGRAM.format(heavy=HEAVY, arguments=arguments)
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,  # refusals exit with 2
    )
    seconds, loaded = json.loads(done.stderr.splitlines()[-1])
    return float(seconds), list(loaded)


def compared(commands: Sequence[str] = COMMANDS, rounds: int = ROUNDS) -> dict[str, Any]:
    """Return each command's median of processor seconds, all of them, and the heavy packages it imported.

    Every round runs all commands once; a first round, which fills the system's file cache, is not counted.
    """
    seconds: dict[str, list[float]] = {command: [] for command in commands}
    loaded: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds + 1):
            for command in commands:
                spent, loaded[command] = measured(command, Path(folder))
                if number:
                    seconds[command].append(round(spent, 3))
    return {
        command: {
            "processor_seconds": statistics.median(found),
            "all": found,
            "torch_or_transformers": bool({"torch", "transformers"} & set(loaded[command])),
            "heavy_packages": loaded[command],
        }
        for command, found in seconds.items()
    }


def main() -> None:
    """Measure, print a table and write the result."""
    found = compared()
    for command, row in found.items():
        print(f"{row['processor_seconds']:6.2f} s  {command}  {' '.join(row['heavy_packages'])}")
    path = write_result("startup", {**setting("python -m benchmarks.startup", "pandas", "typer"), "commands": found})
    print(f"Written to {path}")


if __name__ == "__main__":
    main()
