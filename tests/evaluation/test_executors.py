"""Workers that die are replaced, workers whose parent dies end, the user's threads stay as they were.

What runs in the workers of the first tests is a function of this file (pickled by value, so nothing heavy is
imported there); the dispatching is evolm's own.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import psutil
import pytest
import torch

from evolm.errors import ConfigError, ModelError, WorkerError
from evolm.evaluation import executors
from evolm.evaluation.executors import JoblibExecutor, SerialExecutor, interrupts_kept_from_children
from evolm.evaluation.worker import answer_batch, answer_in_worker, start_local_worker
from evolm.models import LanguageModel, LogLikelihood, PassSettings
from evolm.models.specs import ModelSpec
from tests.support.tiers import slow

BATCHES: list[Any] = [[number] for number in range(12)]


def spec(**passes: int) -> ModelSpec:
    """What the functions of this file never look at, but for the memory that a model keeps."""
    return ModelSpec(None, "off", "", PassSettings(**passes))  # type: ignore[arg-type]


@pytest.fixture
def executor() -> Iterator[JoblibExecutor]:
    made = JoblibExecutor(spec(), 2)
    yield made
    made.close()


@pytest.mark.parametrize(("kept", "stay"), [slow(0, False, id="a leak"), slow(2**30, True, id="on purpose")])
def test_a_worker_that_remembers_what_it_may_is_not_taken_for_one_that_leaks(
    kept: int, stay: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(spec: ModelSpec, batch: list[int]) -> int:
        import os
        import sys
        import time

        vars(sys).setdefault("remembered", []).append(b"x" * batch[0])
        time.sleep(1.1)  # loky looks once a second
        return os.getpid()

    monkeypatch.setattr(executors, "answer_in_worker", work)
    executor = JoblibExecutor(spec(trunk_bytes=kept, prefix_bytes=0), 2)
    try:
        workers = set(executor.run([[1], [1], [400_000_000], [400_000_000], [1], [1]]))
        patience = time.monotonic() + 60
        while not stay and len(workers) == 2 and time.monotonic() < patience:  # the new one may be long in starting
            workers |= set(executor.run([[1], [1]]))
    finally:
        executor.close()
    assert (len(workers) == 2) == stay


def test_a_killed_worker_is_replaced_and_results_stay_the_same(
    executor: JoblibExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = str(tmp_path / "died")

    def work(spec: None, batch: list[int]) -> int:
        import os
        import signal

        if batch == [5] and not os.path.exists(mark):
            open(mark, "w", encoding="utf-8").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return batch[0] * 10

    monkeypatch.setattr(executors, "answer_in_worker", work)
    assert list(executor.run(BATCHES)) == [number * 10 for number in range(12)]
    assert os.path.exists(mark)


@pytest.mark.slow
def test_a_batch_that_kills_every_worker_is_given_up_after_three(
    executor: JoblibExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(tmp_path)

    def work(spec: None, batch: list[int]) -> int:
        import os
        import tempfile

        tempfile.mkstemp(dir=folder)
        os._exit(9)

    monkeypatch.setattr(executors, "answer_in_worker", work)
    with pytest.raises(WorkerError, match="a batch of 1 requests: expected an answer, found its worker gone 3 times"):
        list(executor.run(BATCHES[:1]))
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.slow
def test_an_error_inside_a_worker_reaches_the_caller(
    executor: JoblibExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(spec: None, batch: list[int]) -> int:
        raise ZeroDivisionError(f"batch {batch}")

    monkeypatch.setattr(executors, "answer_in_worker", work)
    with pytest.raises(ZeroDivisionError, match="batch"):
        list(executor.run(BATCHES))


def test_a_backend_of_joblib_that_returns_all_at_once_is_refused(executor: JoblibExecutor) -> None:
    with joblib.parallel_config(backend="multiprocessing"), pytest.raises(ConfigError, match="found M.*Backend; for"):
        list(executor.run(BATCHES))


def test_closing_ends_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(spec: None, batch: list[int]) -> int:
        import os

        return os.getpid()

    monkeypatch.setattr(executors, "answer_in_worker", work)
    executor = JoblibExecutor(spec(), 2)
    workers = set(executor.run(BATCHES))
    executor.close()
    assert os.getpid() not in workers
    assert not any(map(psutil.pid_exists, workers))


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_worker_ends_when_its_parent_is_killed(tiny_model: Callable[..., LanguageModel], tmp_path: Path) -> None:
    model = tiny_model()
    own = ModelSpec(model.prepared, "on", model.profile.text)
    request = model.tokenize([LogLikelihood("a", "b", (" spam",))])
    mark = tmp_path / "worker"
    parent = os.fork()
    if not parent:  # the process to be killed
        try:
            me = os.getpid()
            if not os.fork():  # its worker
                start_local_worker(me, 0)
                answer_in_worker(own, request)
                mark.with_suffix(".part").write_text(str(os.getpid()), encoding="utf-8")
                mark.with_suffix(".part").rename(mark)
            time.sleep(300)
        finally:
            os._exit(0)
    try:
        end = time.monotonic() + 60
        while not mark.exists() and time.monotonic() < end:
            time.sleep(0.05)
        worker = psutil.Process(int(mark.read_text(encoding="utf-8")))
        assert alive(worker)
    finally:
        os.kill(parent, signal.SIGKILL)
        os.waitpid(parent, 0)
    end = time.monotonic() + 15
    while alive(worker) and time.monotonic() < end:
        time.sleep(0.1)
    try:
        assert not alive(worker)
    finally:
        if alive(worker):
            worker.kill()


# -- in this process -----------------------------------------------------------------------------------------


def test_the_users_number_of_threads_is_given_back(tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model()
    spec = ModelSpec(model.prepared, "on", model.profile.text)
    requests = model.tokenize([LogLikelihood("a", "b", (" spam",))])
    before = torch.get_num_threads()
    seen = []
    handle = model.forward.trunk.register_forward_pre_hook(lambda *_: seen.append(torch.get_num_threads()))
    try:
        torch.set_num_threads(2)
        list(SerialExecutor(spec, model).run([requests]))
        assert torch.get_num_threads() == 2
        assert set(seen) == {model.profile.threads} == {1}
    finally:
        handle.remove()
        torch.set_num_threads(before)


def test_a_worker_on_another_kind_of_machine_refuses_to_compute(tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model()
    other = replace(model.profile, chip="Zilog Z80")
    spec = ModelSpec(model.prepared, "on", other.text)
    with pytest.raises(
        ModelError, match=r"expected the numeric profile .* with chip 'Zilog Z80', found '.*mixed_hosts"
    ):
        answer_batch(spec, [])


def test_processes_that_start_inherit_a_blocked_interrupt() -> None:
    with interrupts_kept_from_children():
        assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
