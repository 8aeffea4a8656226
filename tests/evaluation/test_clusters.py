"""Campaigns on real clusters: a Dask scheduler with worker processes, and Ray on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from evolm.campaign import continue_run, start_run
from evolm.errors import WorkerError
from evolm.observers import Observer, Progress
from tests.support.command_line import evolm as command
from tests.support.command_line import refused
from tests.support.toy_campaign import ToyCampaign, bytes_of
from tests.support.warm_evolm import ROOT

pytestmark = pytest.mark.extras

ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(ROOT),
    "OMP_NUM_THREADS": "1",
}


class DaskCluster:
    """A scheduler and workers, each a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        self.scheduler = self._started(
            "distributed.cli.dask_scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", self.file
        )
        self.address = ""

    @property
    def file(self) -> str:
        return str(self.folder / "scheduler.json")

    def _started(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{len(self.processes)}.log").open("wb")
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], env=ENVIRONMENT, stdout=log, stderr=log
        )
        self.processes.append(process)
        return process

    def with_workers(self, count: int) -> DaskCluster:
        """Start workers that have one thread and no nanny."""
        for _ in range(count):
            self._started(
                "distributed.cli.dask_worker",
                "--scheduler-file",
                self.file,
                "--nthreads",
                "1",
                "--no-nanny",
                "--no-dashboard",
                "--local-directory",
                str(self.folder),
            )
        while not Path(self.file).exists():
            time.sleep(0.05)
        self.address = json.loads(Path(self.file).read_text(encoding="utf-8"))["address"].replace("tcp://", "dask://")
        return self

    def close(self) -> None:
        for process in reversed(self.processes):
            process.kill()
            process.wait()


@contextmanager
def dask_cluster(folder: Path, workers: int = 2) -> Iterator[DaskCluster]:
    cluster = DaskCluster(folder)
    try:
        yield cluster.with_workers(workers)
    finally:
        cluster.close()


class At(Observer):
    """Does something after a generation of the main search."""

    def __init__(self, generation: int, action: Callable[[], Any]) -> None:
        self.generation, self.action = generation, action

    def on_generation(self, progress: Progress) -> None:
        if progress.search == "main" and progress.generation == self.generation:
            self.action()


def test_a_dask_cluster_writes_the_journal_of_one_process_whatever_becomes_of_its_workers(
    toy: Callable[..., ToyCampaign], finished: Path, tmp_path: Path
) -> None:
    """A worker is killed, another one joins; then one process ends a run that the cluster began."""
    campaign = toy()
    with dask_cluster(tmp_path) as cluster:

        def change() -> None:
            cluster.with_workers(1)
            cluster.processes[1].send_signal(signal.SIGKILL)

        start_run(
            campaign.config, campaign.folder, tmp_path / "run", cluster=cluster.address, observers=[At(0, change)]
        )
    assert bytes_of(tmp_path / "run") == bytes_of(finished)


def test_a_scheduler_that_is_gone_ends_a_campaign_in_a_sentence_and_it_is_resumed_without(
    toy: Callable[..., ToyCampaign], finished: Path, tmp_path: Path
) -> None:
    campaign, out = toy(), tmp_path / "run"
    with dask_cluster(tmp_path, workers=1) as cluster:
        gone = At(0, cluster.scheduler.kill)
        with pytest.raises(WorkerError, match="--cluster dask://.*found the cluster gone .* can be resumed"):
            start_run(campaign.config, campaign.folder, out, cluster=cluster.address, observers=[gone])
    continue_run(out)
    assert bytes_of(out) == bytes_of(finished)


def test_ray_writes_the_journal_of_one_process(
    toy: Callable[..., ToyCampaign], finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    campaign = toy()
    start_run(campaign.config, campaign.folder, tmp_path / "run", cluster="ray")
    assert bytes_of(tmp_path / "run") == bytes_of(finished)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("slurm://head", "--cluster: expected local, ray, ray://HOST:PORT or dask://HOST:PORT, found 'slurm://head'"),
        ("dask://", "--cluster: expected local, .* found 'dask://'"),
        ("dask://127.0.0.1:9", "--cluster dask://127.0.0.1:9: expected a Dask scheduler with workers, found none"),
    ],
)
def test_a_cluster_that_is_none_is_refused_before_anything_is_written(
    toy: Callable[..., ToyCampaign], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, message: str
) -> None:
    monkeypatch.setattr("evolm.evaluation.clusters.PATIENCE", 1.0)
    refused(command("run", toy().folder, "--out", tmp_path / "out", "--cluster", address), message)
    assert not (tmp_path / "out").exists()
