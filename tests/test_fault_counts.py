"""The counts of ``benchmarks.faults``, and one of its trials."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import faults

PLANNED = {"SIGKILL": ("SIGKILL at a random moment", 3), "torn": ("torn file", 1)}


def trial(fault: str, number: int, tried: int, equal: int, campaign: str = "") -> dict[str, Any]:
    lost = ["reason"] * (tried - equal)
    counts = {"tried": tried, "survived": tried, "equal": equal, "lost": lost}
    return {"fault": fault, "number": number, "commit": "abc", "campaign": campaign, "n_jobs": 1, **counts}


TRIALS = [trial("SIGKILL", 0, 1, 1, "prompt"), trial("SIGKILL", 1, 1, 0, "delta"), trial("torn", 0, 40, 40)]


def test_faults_are_counted_by_kind_and_by_campaign() -> None:
    signals, torn = faults.counted(TRIALS, PLANNED)
    assert (signals["trials"], signals["planned"], signals["tried"], signals["equal"]) == (2, 3, 2, 1)
    assert signals["lost"] == ["reason"] and torn["tried"] == torn["equal"] == 40
    assert [row["campaign"] for row in faults.by_campaign(TRIALS)] == ["delta", "prompt"]
    table = faults.markdown({"faults": [signals, torn], "campaigns": faults.by_campaign(TRIALS)})
    assert "| SIGKILL at a random moment | 2 of 3 | 2 | 2 | 1 | 1 |" in table
    assert "| torn file | 1 of 1 | 40 | 40 | 40 | 0 |" in table


def test_finished_trials_are_kept_and_those_of_another_commit_refused(tmp_path: Path) -> None:
    assert faults.read_trials(tmp_path, "abc") == []
    for each in TRIALS:
        faults.keep(tmp_path, each)
    with (tmp_path / faults.TRIALS).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(TRIALS[0])[:20])  # of a benchmark that was stopped
    assert faults.read_trials(tmp_path, "abc") == faults.read_trials(tmp_path) == TRIALS
    faults.keep(tmp_path, TRIALS[1])
    assert faults.read_trials(tmp_path) == [*TRIALS, TRIALS[1]]
    with pytest.raises(SystemExit, match="expected trials of commit def, found abc; choose another --out"):
        faults.read_trials(tmp_path, "def")


@pytest.mark.slow
def test_a_full_disk_is_a_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOLM_CACHE", str(tmp_path / "cache"))
    try:
        (found,) = faults.run_trials(tmp_path, "abc", ["disk full"], 1)
    except PermissionError as error:
        pytest.skip(str(error))
    assert (found["tried"], found["survived"], found["equal"], found["lost"]) == (1, 1, 1, [])
    assert faults.read_trials(tmp_path, "abc") == [found]
