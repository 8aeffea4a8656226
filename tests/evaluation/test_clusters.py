"""Campaigns on real clusters: a Dask scheduler with worker processes, and Ray on this machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from evolm import evolve
from evolm.campaign import continue_run, start_run
from evolm.errors import ConfigError, Interrupted, ModelError, WorkerError
from evolm.evaluation.clusters import executor_of
from evolm.evaluation.executors import SerialExecutor, worker_spec
from evolm.evaluation.stream import Stream
from evolm.models import LanguageModel, LogLikelihood, prepare
from evolm.models.hosts import cached_folder
from evolm.observers import Observer, Progress
from tests.support.command_line import evolm as command
from tests.support.command_line import refused
from tests.support.toy_campaign import ToyCampaign, bytes_of, entries, result_of
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

    def _started(self, module: str, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{len(self.processes)}.log").open("wb")
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env={**ENVIRONMENT, **environment},
            stdout=log,
            stderr=log,
            cwd=self.folder,
        )
        self.processes.append(process)
        return process

    def with_workers(self, count: int, **environment: str) -> DaskCluster:
        """Start workers that have one thread and no nanny, in this cluster's folder."""
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
                **environment,
            )
        while not (described := self._description()):
            time.sleep(0.05)
        self.address = json.loads(described)["address"].replace("tcp://", "dask://")
        return self

    def _description(self) -> str:
        """Return what the scheduler wrote about itself; "" before it is whole."""
        path = Path(self.file)
        found = path.read_text(encoding="utf-8").strip() if path.exists() else ""
        return found if found.endswith("}") else ""

    def close(self) -> None:
        for process in reversed(self.processes):
            process.kill()
            process.wait()


@contextmanager
def dask_cluster(folder: Path, workers: int = 2, **environment: str) -> Iterator[DaskCluster]:
    cluster = DaskCluster(folder)
    try:
        yield cluster.with_workers(workers, **environment)
    finally:
        cluster.close()


class MidBatch(Observer):
    """Does something once, when some requests of a round are answered and others are not."""

    def __init__(self, action: Callable[[], Any]) -> None:
        self.action: Callable[[], Any] | None = action

    def on_requests(self, done: int, total: int, purpose: str) -> None:
        if self.action and 0 < done < total:
            self.action()
            self.action = None


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


def test_evolve_reaches_a_cluster_or_says_in_one_sentence_that_it_cannot(
    toy: Callable[..., ToyCampaign], tmp_path: Path
) -> None:
    campaign = toy(baselines__random_search=False)
    tables = campaign.config.model_dump(exclude_unset=True)
    task = {**tables["task"], "data": str(campaign.folder / "toy.csv")}
    settings: dict[str, Any] = {"model": tables["model"], "strategy": tables["strategy"], "budget": 8, "n_jobs": 1}
    options = {"baselines": tables["baselines"], "finals": tables["finals"]}
    alone = evolve(task, **settings, options=options, out=tmp_path / "alone")
    with dask_cluster(tmp_path) as cluster:
        found = evolve(task, **settings, options=options, out=tmp_path / "run", cluster=cluster.address)
    assert bytes_of(found.directory) == bytes_of(alone.directory)
    with pytest.raises(ConfigError, match="cluster: expected local, ray"):
        evolve(task, **settings, out=tmp_path / "none", cluster="daks://here:1")
    assert not (tmp_path / "none").exists()


def test_a_worker_that_is_killed_amid_batches_changes_no_byte(
    toy: Callable[..., ToyCampaign], finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evolm.evaluation.plan.BATCH_TOKENS", 100)
    campaign = toy()
    with dask_cluster(tmp_path) as cluster:
        killed = MidBatch(cluster.processes[1].kill)
        start_run(campaign.config, campaign.folder, tmp_path / "run", cluster=cluster.address, observers=[killed])
    assert killed.action is None
    assert bytes_of(tmp_path / "run") == bytes_of(finished)


def test_a_run_may_change_its_executor_at_every_resume(
    toy: Callable[..., ToyCampaign], finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process, then a Dask cluster, then Ray."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    campaign, out = toy(), tmp_path / "run"

    def stop() -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted):
        start_run(campaign.config, campaign.folder, out, observers=[At(0, stop)])
    with dask_cluster(tmp_path, workers=1) as cluster, pytest.raises(Interrupted):
        continue_run(out, cluster=cluster.address, observers=[At(1, stop)])
    continue_run(out, cluster="ray")
    assert bytes_of(out) == bytes_of(finished)


OVERLAPPING: dict[str, Any] = {
    "strategy": {"name": "genetic", "population_size": 5, "offspring": 2, "asynchronous": 2},
    "baselines__random_search": False,
}


def test_generations_that_overlap_keep_workers_busy_and_write_the_journal_of_one_process(
    toy: Callable[..., ToyCampaign], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker is killed, and the run is interrupted, while later generations are under way; one process ends it."""
    campaign = toy(**OVERLAPPING)
    expected = bytes_of(campaign.run(tmp_path / "alone").directory)
    ahead: list[int] = []
    results = Stream.results

    def counted(stream: Stream, requests: Any) -> Iterator[Any]:
        ahead.append(sum(key not in requests for key in stream._keys))
        return results(stream, requests)

    monkeypatch.setattr(Stream, "results", counted)
    with dask_cluster(tmp_path) as cluster:

        def change() -> None:
            cluster.with_workers(1)
            cluster.processes[1].send_signal(signal.SIGKILL)

        def stop() -> None:
            os.kill(os.getpid(), signal.SIGINT)

        out = tmp_path / "run"
        with pytest.raises(Interrupted):
            start_run(
                campaign.config,
                campaign.folder,
                out,
                cluster=cluster.address,
                observers=[At(1, change), At(3, stop)],
            )
        continue_run(out, cluster=cluster.address)
    assert max(ahead) > 0
    assert bytes_of(out) == expected
    again, second = tmp_path / "again", tmp_path / "second"
    second.mkdir()
    with dask_cluster(second) as cluster, pytest.raises(Interrupted):
        start_run(campaign.config, campaign.folder, again, cluster=cluster.address, observers=[At(2, stop)])
    continue_run(again)
    assert bytes_of(again) == expected


# -- hosts without the model -----------------------------------------------------------------------------------

OWN_CACHE = "/proc/self/cwd/cache"  # another folder for every process that works elsewhere
needs_own_cache = pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="needs Linux's /proc")


@pytest.fixture
def model_of_one_host(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LanguageModel]:
    """A model in a cache that only processes with this working directory find; what it was made from is gone."""
    here, source = tmp_path / "campaign", tmp_path / "source"
    here.mkdir()
    shutil.copytree(tiny_model_folder, source)
    monkeypatch.chdir(here)
    monkeypatch.setenv("EVOLM_CACHE", OWN_CACHE)
    prepared = prepare(str(source), dtype="bfloat16")
    shutil.rmtree(source)
    assert prepared.folder.startswith(OWN_CACHE)
    monkeypatch.setattr("evolm.models.transfer.PIECE", 10_000)
    yield LanguageModel(prepared, "off")


def requests_of(model: LanguageModel) -> list[list[Any]]:
    texts = [f"a text of number {number}" for number in range(6)]
    return [list(model.tokenize([LogLikelihood("", text, (" spam", " ham"))])) for text in texts]


def answers(results: Iterator[Any]) -> list[bytes]:
    return [answer.tobytes() for result in results for answer in result.answers]


@needs_own_cache
def test_a_host_that_lacks_the_model_is_sent_it_once(model_of_one_host: LanguageModel, tmp_path: Path) -> None:
    model, host = model_of_one_host, tmp_path / "host"
    host.mkdir()
    asked = requests_of(model)
    with dask_cluster(host, EVOLM_CACHE=OWN_CACHE) as cluster:
        executor = executor_of(cluster.address, model)
        assert executor is not None
        try:
            found = answers(executor.run(asked))
        finally:
            executor.close()
    assert found == answers(SerialExecutor(worker_spec(model), model).run(asked))
    assert [path.name for path in (host / "cache" / "models").iterdir() if path.is_dir()] == [
        cached_folder(model.prepared).name
    ]


@needs_own_cache
def test_ray_sends_the_model_to_a_node_that_lacks_it(
    model_of_one_host: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, node, here = model_of_one_host, tmp_path / "node", Path.cwd()
    asked = requests_of(model)
    node.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("EVOLM_CACHE", str(node / "cache"))  # of the node's processes, which begin there
    monkeypatch.chdir(node)
    executor = executor_of("ray", model)
    assert executor is not None
    monkeypatch.chdir(here)
    monkeypatch.setenv("EVOLM_CACHE", OWN_CACHE)
    try:
        found = answers(executor.run(asked))
    finally:
        executor.close()
    assert found == answers(SerialExecutor(worker_spec(model), model).run(asked))
    assert (node / "cache" / "models" / cached_folder(model.prepared).name).is_dir()


@needs_own_cache
def test_a_host_that_cannot_store_the_model_is_named(model_of_one_host: LanguageModel, tmp_path: Path) -> None:
    model, host = model_of_one_host, tmp_path / "host"
    host.mkdir()
    (host / "cache").write_text("a file stands where the folder should be", encoding="utf-8")
    with dask_cluster(host, workers=1, EVOLM_CACHE=OWN_CACHE) as cluster:
        executor = executor_of(cluster.address, model)
        assert executor is not None
        try:
            with pytest.raises(
                ModelError, match=r"host '.*': expected the model '.*source' .* could not be sent there"
            ):
                list(executor.run(requests_of(model)))
        finally:
            executor.close()


# -- hosts with other arithmetic -------------------------------------------------------------------------------

# Other kernels than the processor would get; the second one also if the processor has no others.
OTHER_KERNELS = {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"}


def test_a_worker_with_another_numeric_profile_is_refused_before_it_answers(
    toy: Callable[..., ToyCampaign], tmp_path: Path
) -> None:
    campaign, out = toy(), tmp_path / "run"
    with dask_cluster(tmp_path, workers=1, **OTHER_KERNELS) as cluster:
        with pytest.raises(ModelError, match="expected the numeric profile .* environment None, found .*MKL_CBWR"):
            start_run(campaign.config, campaign.folder, out, cluster=cluster.address)
    assert not entries(out, "individual")


def test_mixed_hosts_are_told_in_journal_verdict_and_report(
    toy: Callable[..., ToyCampaign], finished: Path, tmp_path: Path
) -> None:
    """The other worker answers a generation only; what it answered is remembered by the process that resumes."""
    campaign, out = toy(evaluation__mixed_hosts=True), tmp_path / "run"
    with dask_cluster(tmp_path, workers=1, **OTHER_KERNELS) as cluster:
        with pytest.raises(WorkerError, match="cluster gone"):
            start_run(
                campaign.config,
                campaign.folder,
                out,
                cluster=cluster.address,
                observers=[At(0, cluster.scheduler.kill)],
            )
    continue_run(out)
    assert entries(out, "run")[0]["mixed_hosts"] is True
    [other] = entries(out, "other_profile")
    assert other["profile"]["environment"] == {"MKL_CBWR": "COMPATIBLE"}
    assert result_of(out)["mixed_hosts"] == {"profiles": 2, "hosts": [other["host"]]}
    assert "computed with 2 numeric profiles (evaluation.mixed_hosts)" in result_of(out)["claim"]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "environment.MKL_CBWR COMPATIBLE" in page
    assert "mixed_hosts" not in entries(finished, "run")[0]


def test_a_scheduler_that_is_gone_ends_a_campaign_in_a_sentence_and_it_is_resumed_without(
    toy: Callable[..., ToyCampaign], finished: Path, tmp_path: Path
) -> None:
    campaign, out = toy(), tmp_path / "run"
    with dask_cluster(tmp_path, workers=1) as cluster:
        gone = At(0, cluster.scheduler.kill)
        with pytest.raises(WorkerError, match="cluster dask://.*found the cluster gone .* can be resumed"):
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


def test_ray_computes_the_batches_of_a_killed_worker_again(
    toy: Callable[..., ToyCampaign], finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr("evolm.evaluation.plan.BATCH_TOKENS", 100)
    campaign, killed = toy(), []

    def kill() -> None:
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if " ".join(process.cmdline()).startswith(("ray::_answer", "ray::IDLE")):
                    process.kill()
                    killed.append(process.pid)

    start_run(campaign.config, campaign.folder, tmp_path / "run", cluster="ray", observers=[MidBatch(kill)])
    assert killed
    assert bytes_of(tmp_path / "run") == bytes_of(finished)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("slurm://head", "cluster: expected local, ray, ray://HOST:PORT or dask://HOST:PORT, found 'slurm://head'"),
        ("dask://", "cluster: expected local, .* found 'dask://'"),
        ("dask://127.0.0.1:9", "cluster dask://127.0.0.1:9: expected a Dask scheduler with workers, found none"),
    ],
)
def test_a_cluster_that_is_none_is_refused_before_anything_is_written(
    toy: Callable[..., ToyCampaign], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, message: str
) -> None:
    monkeypatch.setattr("evolm.evaluation.clusters.PATIENCE", 1.0)
    refused(command("run", toy().folder, "--out", tmp_path / "out", "--cluster", address), message)
    assert not (tmp_path / "out").exists()
