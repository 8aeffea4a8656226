"""The directory of a run: a name of its own, and files as private as the umask says."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from evolm.campaign import continue_run
from evolm.cli import runs as verbs_of_runs
from evolm.export.export import export
from tests.support.command_line import evolm, refused
from tests.support.delta_campaigns import write_delta_campaign
from tests.support.toy_campaign import ToyCampaign, entries


class Noon(datetime):
    @classmethod
    def now(cls, tz: object = None) -> Noon:
        return cls(2026, 1, 2, 12)


@pytest.mark.parametrize("umask", [0o077, 0o002])
def test_everything_in_a_run_and_an_export_follows_the_umask(
    tiny_model_folder: Path, tmp_path: Path, umask: int
) -> None:
    before = os.umask(umask)
    try:
        small = write_delta_campaign(tmp_path / "toy", tiny_model_folder, "delta", budget__evaluations=6)
        run = small.run(tmp_path / "run").directory
        continue_run(run, add={"evaluations": 2})
        for form in ("prompt", "peft", "merged", "population"):
            export(run, tmp_path / form, form)  # type: ignore[arg-type]
    finally:
        os.umask(before)
    places = [path for name in ("run", "prompt", "peft", "merged", "population") for path in _all(tmp_path / name)]
    assert len(places) > 30
    wrong = {
        str(path.relative_to(tmp_path)): oct(stat.S_IMODE(path.stat().st_mode))
        for path in places
        if stat.S_IMODE(path.stat().st_mode) != (0o777 if path.is_dir() else 0o666) & ~umask
    }
    assert wrong == {}


def _all(folder: Path) -> list[Path]:
    return [folder, *folder.rglob("*")]


def test_runs_that_start_in_the_same_second_get_a_directory_each(
    toy: Callable[..., ToyCampaign], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy(budget__evaluations=2, baselines__random_search=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(verbs_of_runs, "datetime", Noon)
    for _ in range(3):
        assert evolm("run", "toy").exit_code == 0
    names = ["toy-20260102-120000", "toy-20260102-120000-2", "toy-20260102-120000-3"]
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == names
    assert all(entries(tmp_path / "runs" / name, "verdict") for name in names)


def test_a_run_that_never_begins_leaves_no_directory(
    toy: Callable[..., ToyCampaign], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy()
    monkeypatch.chdir(tmp_path)
    refused(evolm("run", "toy", "--set", "model.name=nowhere"), "model 'nowhere'")
    assert list((tmp_path / "runs").iterdir()) == []
