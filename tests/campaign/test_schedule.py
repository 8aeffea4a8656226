"""What a job scheduler asks of a campaign: an end in time, a bounded grace period, one command for a requeued job."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evolm.campaign.schedule import SLURM_END, Schedule
from evolm.errors import ConfigError
from tests.campaign.test_kill import check
from tests.support.command_line import evolm as command
from tests.support.command_line import refused
from tests.support.tiers import slow
from tests.support.toy_campaign import ToyCampaign, bytes_of, entries, result_of
from tests.support.warm_evolm import ROOT


def test_a_time_that_is_over_ends_the_search_after_a_generation_and_the_verdict_is_reached(
    toy: Callable[..., ToyCampaign], tmp_path: Path
) -> None:
    campaign, out = toy(), tmp_path / "out"
    said = command("run", campaign.folder, "--out", out, "--time-limit", "0.0001")
    assert said.exit_code == 0, said.output
    (stop,) = entries(out, "stop")
    assert stop["generation"] == 0
    assert stop["reason"].startswith("the verdict is to be reached by ")
    assert "test" in result_of(out)
    baseline = entries(out, "generation", "random_search")[-1]
    assert baseline["evaluations"] == stop["evaluations"] < 14


def test_a_long_time_changes_nothing(toy: Callable[..., ToyCampaign], finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = command("run", toy().folder, "--out", out, "--time-limit", "1e6", "--grace", "1e6", "--set", "name=toy")
    assert said.exit_code == 0, said.output
    assert bytes_of(out) == bytes_of(finished)


def test_the_end_of_a_slurm_job_is_known_from_its_environment() -> None:
    assert Schedule.of(None, 5.0, {}) == Schedule(None, 5.0)
    assert Schedule.of(None, None, {SLURM_END: "1790000000"}).until == 1790000000.0
    assert Schedule.of(0.0, None, {SLURM_END: "1790000000"}).until is None
    before = time.time()
    until = Schedule.of(2.0, None, {SLURM_END: "1790000000"}).until
    assert until is not None and before + 120 <= until <= time.time() + 120
    with pytest.raises(ConfigError, match="SLURM_JOB_END_TIME: expected seconds since 1970, found 'soon'"):
        Schedule.of(None, None, {SLURM_END: "soon"})


@pytest.mark.parametrize(("option", "value"), [("--time-limit", "-1"), ("--grace", "-1"), ("--grace", "nan")])
def test_a_time_that_is_none_is_refused(
    toy: Callable[..., ToyCampaign], tmp_path: Path, option: str, value: str
) -> None:
    said = command("run", toy().folder, "--out", tmp_path / "out", option, value)
    refused(said, f"{option}: expected a number of at least 0, found {value}")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("n_jobs", [1, slow(2)])
def test_after_the_grace_period_a_campaign_ends_at_once_and_can_be_resumed(
    evolm: Any, founding: ToyCampaign, finished: Path, tmp_path: Path, n_jobs: int
) -> None:
    """The batch during which the signal comes is made to take longer than the test."""
    out = tmp_path / "run"
    strike = {"call": "put", "at": 2, "signal": "SIGTERM", "sleep": 600}
    told = evolm("run", founding.folder, "--out", out, "--n-jobs", n_jobs, "--grace", "0.2", **strike)
    assert told["exit"] == 143, told["log"]
    assert f"Stopped. Go on with: evolm resume {out}" in told["log"]
    check(evolm("resume", out), out, {"out": finished})


def test_one_command_starts_a_run_continues_it_and_tells_its_result_again(
    evolm: Any, founding: ToyCampaign, finished: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    arguments = ("run", founding.folder, "--out", out, "--resume-or-start")
    killed = evolm(*arguments, call="append", at=9)
    assert killed["exit"] == -9, killed["log"]
    check(evolm(*arguments), out, {"out": finished})
    result = result_of(out)
    again = evolm(*arguments)
    assert again["exit"] == 0
    assert result["claim"] in " ".join(again["log"].split())
    assert result_of(out) == result


def test_a_dry_run_continues_nothing(toy: Callable[..., ToyCampaign], finished: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(finished, tmp_path / "out"))
    (out / "result.json").unlink()
    said = command("run", toy().folder, "--out", out, "--resume-or-start", "--dry-run")
    assert said.exit_code == 0, said.output
    assert "minutes" in said.stdout
    assert not (out / "result.json").exists()


def test_another_campaign_s_run_is_not_continued(
    toy: Callable[..., ToyCampaign], finished: Path, tmp_path: Path
) -> None:
    before = bytes_of(finished)
    arguments = ("run", toy().folder, "--out", finished, "--resume-or-start")
    refused(command(*arguments, "--seed", "9"), "run of this campaign, with seed 9, found one with 0; choose another")
    refused(command("run", toy().folder, "--resume-or-start"), "--resume-or-start: expected the run's directory as")
    assert bytes_of(finished) == before


@pytest.mark.parametrize("again", [slow(False), slow(True)])
def test_the_batch_script_of_the_documentation_asks_for_another_turn_when_its_time_is_over(
    founding: ToyCampaign, finished: Path, tmp_path: Path, again: bool
) -> None:
    """A plain shell and a script in the place of ``scontrol`` stand for Slurm."""
    page = (ROOT / "docs" / "recipes" / "schedulers.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"```bash\n(#!/bin/bash\n.*?)```", page, flags=re.DOTALL)
    out, tools = tmp_path / "run", tmp_path / "tools"
    tools.mkdir()
    requeue = tools / "scontrol"
    requeue.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n', encoding="utf-8")
    requeue.chmod(0o755)
    script = script.replace("sms-spam", str(founding.folder)).replace('"$HOME/runs/spam"', str(out))
    environment = {
        **os.environ,
        "PATH": f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "SLURM_CPUS_PER_TASK": "1",
        "SLURM_JOB_ID": "17",
    }
    job = subprocess.Popen(["/bin/bash", "-c", script], env=environment)
    if again:
        while not (out / "checkpoint").exists():
            time.sleep(0.05)
        job.send_signal(signal.SIGTERM)
    code = job.wait()
    if again and code == 143:  # the job may have been faster than the signal
        assert (tmp_path / "asked").read_text(encoding="utf-8") == "requeue 17\n"
        assert subprocess.run(["/bin/bash", "-c", script], env=environment, check=False).returncode == 0
    assert entries(out, "individual") == entries(finished, "individual")
