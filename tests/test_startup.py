"""Commands that need no model, and refusals, import neither torch nor transformers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "transformers")
# Runs each command in one process; prints the command, its exit code and the heavy packages imported by then.
PROGRAM = """
import json, sys
from typer.testing import CliRunner
from evolm.cli import app

for arguments in json.loads(sys.argv[1]):
    done = CliRunner().invoke(app, arguments)
    heavy = [name for name in json.loads(sys.argv[2]) if name in sys.modules]
    print(json.dumps([" ".join(arguments), done.exit_code, heavy, done.output[-300:]]))
"""
VERBS = (
    "init",
    "tune",
    "run",
    "resume",
    "report",
    "compare",
    "sweep",
    "predict",
    "score",
    "serve",
    "export",
    "schema",
)


def in_a_process(
    commands: list[list[str]], folder: Path, packages: tuple[str, ...] = HEAVY
) -> list[tuple[str, int, list[str], str]]:
    """Run commands one after another in one new process."""
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(commands), json.dumps(packages)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
    )
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def expect(found: list[tuple[str, int, list[str], str]], exit_code: int) -> None:
    """Check that every command ended so, and that none of them imported a heavy package."""
    for command, code, heavy, output in found:
        assert code == exit_code, (command, output)
        assert not heavy, (command, heavy)


def test_helps_and_commands_without_a_model_import_no_torch(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "run")
    commands = [["--help"], ["--version"], *([verb, "--help"] for verb in VERBS), ["schema"]]
    commands += [["report", "run"], ["export", "run", "taken", "--to", "prompt"]]
    expect(in_a_process(commands, tmp_path), exit_code=0)


def test_refusals_that_need_no_model_import_no_torch(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text\n", encoding="utf-8")
    into = ("--out", "out")
    commands = [
        ["report", "nothing"],
        ["resume", "nothing"],
        ["resume", str(finished), "--add", "evaluations"],
        ["compare", "nothing", "nowhere"],
        ["compare", str(finished), str(finished)],
        ["predict", "nothing", "rows.csv", "--out", "out.csv"],
        ["score", "nothing", "rows.csv"],
        ["serve", "nothing"],
        ["export", "nothing", "out"],
        ["export", "nothing", "out", "--to", "merged"],
        ["init", "missing.csv"],
        ["run", "nothing"],
        ["run", "sms-spam", "--set", "budget.evaluation=50"],
        ["run", "sms-spam", "--set", "budget"],
        ["run", "sms-spam", "--n-jobs", "none"],
        ["run", "sms-spam", *into, "--set", "strategy.name=genetics"],
        ["run", "sms-spam", *into, "--set", "strategy.population=24"],
        ["run", "sms-spam", *into, "--set", "scorers.likelihood=1.0"],
        ["run", "sms-spam", *into, "--set", "operators.rewritten=1.0"],
        ["run", "sms-spam", *into, "--set", "task.data=missing.csv"],
        ["run", "sms-spam", *into, "--set", "task.columns.text=body"],
        ["run", "sms-spam", *into, "--set", "budget.evaluations=0"],
        ["run", "sms-spam", *into, "--warm-start", "nothing"],
        ["sweep", "sms-spam", "--strategy", "genetics"],
    ]
    expect(in_a_process(commands, tmp_path), exit_code=2)


def test_refusals_of_missing_files_and_unknown_names_import_no_package_of_tables(tmp_path: Path) -> None:
    commands = [
        ["init", "missing.csv"],
        ["init", "package:no-such-package/a.csv"],
        ["run", "nothing"],
        ["run", "sms-spam", "--set", "strategy.name=genetics"],
        ["run", "sms-spam", "--set", "scorers.likelihood=1.0"],
        ["run", "sms-spam", "--set", "task.data=missing.csv"],
        ["run", "sms-spam", "--set", "task.data.dev=missing.csv", "--set", "task.data.test=missing.csv"],
        ["run", "sms-spam", "--set", "budget.evaluations=0"],
        ["sweep", "sms-spam", "--strategy", "genetics"],
    ]
    expect(in_a_process(commands, tmp_path, (*HEAVY, "pandas", "pyarrow", "joblib", "psutil")), exit_code=2)


def test_importing_evolm_imports_no_package_of_arrays_or_tables() -> None:
    program = "import sys, evolm; print([n for n in ('numpy', 'pandas', 'pydantic', 'torch') if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, encoding="utf-8"
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "room", ["evolm", "evolm.models", "evolm.evaluation", "evolm.callbacks", "evolm.report", "evolm.tasks"]
)
def test_a_lazy_room_exports_all_that_it_lists_and_nothing_else(room: str) -> None:
    module = __import__(room, fromlist=["__all__"])
    for name in module.__all__:
        if room != "evolm.callbacks":  # trackers are extras
            assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match=f"module '{room}' has no attribute 'nothing'"):
        _ = module.nothing
