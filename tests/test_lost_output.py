"""Output that cannot be written, and paths that no disk takes: the right exit code, one sentence, no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command_line import evolm, refused
from tests.support.tiers import slow

ROOT = Path(__file__).parents[1]


def piped(redirected: str, *arguments: str, unbuffered: bool = False) -> tuple[int, str]:
    """Run evolm in a shell, its standard output ``redirected``; return its exit code and what it said on stderr."""
    program = f"{sys.executable}{' -u' if unbuffered else ''} -m evolm {' '.join(arguments)}"
    done = subprocess.run(
        ["bash", "-c", f"{program} {redirected}; exit ${{PIPESTATUS[0]}}"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    return done.returncode, done.stderr


FULL = "error: standard output: cannot be written: No space left on device\n"


@pytest.mark.parametrize(
    ("redirected", "expected"), [("> /dev/full", (2, FULL)), ("| true", (141, "")), slow(">&-", (0, ""))]
)
def test_output_that_is_lost_is_no_traceback(redirected: str, expected: tuple[int, str]) -> None:
    assert piped(redirected, "schema") == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("redirected", "unbuffered", "expected"),
    [
        ("> /dev/full", False, (2, FULL)),
        ("> /dev/full 2> /dev/full", False, (2, "")),
        ("| true", False, (141, "")),
        ("| true", True, (141, "")),
        (">&-", False, (0, "")),
        ("2>&-", False, (0, "")),
    ],
)
def test_a_summary_that_is_lost_is_no_traceback(
    finished: Path, redirected: str, unbuffered: bool, expected: tuple[int, str]
) -> None:
    assert piped(redirected, "report", str(finished), unbuffered=unbuffered) == expected


@pytest.mark.slow
@pytest.mark.parametrize(("redirected", "code"), [("> /dev/full", 2), ("| head -1 > /dev/null", 141)])
def test_a_run_whose_progress_is_lost_goes_on_to_its_verdict(
    finished: Path, tmp_path: Path, redirected: str, code: int
) -> None:
    found, said = piped(redirected, "run", str(finished.parent / "toy"), "--out", str(tmp_path / "run"))
    assert found == code, said
    assert said.count("\n") <= 1
    assert (tmp_path / "run" / "result.json").exists()


def test_an_error_keeps_its_own_exit_code(tmp_path: Path) -> None:
    code, said = piped("> /dev/full", "report", str(tmp_path))
    assert code == 2 and "expected a run's directory" in said and said.count("\n") == 1


LONG = "x" * 300


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "sms-spam", "--out", LONG],
        ["run", LONG],
        ["run", "sms-spam", "--dry-run", "--warm-start", LONG],
        ["resume", LONG],
        ["report", LONG],
        ["compare", LONG],
        ["compare", "RUN", "--out", f"{LONG}.csv"],
        ["predict", LONG, "rows.csv", "--out", "out.csv"],
        ["predict", "RUN", LONG + ".csv", "--out", "out.csv"],
        ["predict", "RUN", "rows.csv", "--out", LONG + ".csv"],
        ["predict", "RUN", "rows.csv", "--out", "out.csv", "--use", LONG],
        ["score", LONG, "rows.csv"],
        ["score", "RUN", "rows.csv", "--out", LONG + ".json"],
        ["score", "RUN", "rows.csv", "--model", LONG],
        ["export", LONG, "out"],
        ["export", "RUN", LONG],
        ["init", LONG + ".csv"],
        ["sweep", "sms-spam", "--strategy", "genetic", "--out", LONG],
        ["tune", LONG],
    ],
)
def test_a_name_that_is_too_long_is_one_sentence(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text("text,label\nwin,spam\n", encoding="utf-8")
    refused(evolm(*[str(finished) if argument == "RUN" else argument for argument in arguments]), "xxx")
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]
