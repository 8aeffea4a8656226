"""Executors answer batches: in this process, or by joblib's workers (local processes, Dask).

An executor yields results in the order of its batches. If a worker dies, its unanswered batches are computed again by
a new worker, each batch at most three times.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import joblib
from joblib._parallel_backends import LokyBackend
from joblib.externals.loky.process_executor import BrokenProcessPool, TerminatedWorkerError
from joblib.parallel import get_active_backend

from evolm.errors import ConfigError, WorkerError
from evolm.evaluation.plan import jobs
from evolm.evaluation.results import BatchResult
from evolm.evaluation.server import ServerExecutor
from evolm.evaluation.worker import Asked, answer_batch, answer_in_worker, start_local_worker
from evolm.models import Tokenized, require_local
from evolm.models.served.model import ServedModel
from evolm.models.specs import ModelSpec
from evolm.signals import ENDING

if TYPE_CHECKING:
    from evolm.evaluation.stream import Stream
    from evolm.models import LanguageModel, Model


ATTEMPTS = 3
SAFE_PATH = "PYTHONSAFEPATH"  # Python's variable: nothing is imported from the working directory by default


class Executor(Protocol):
    """Answers batches of requests.

    ``jobs`` cuts requests into batches: the indices of each. ``run`` yields one result per batch, in their order. It
    may be closed early; batches that run are then finished. ``stream``, if it has one, takes the place of ``run`` for
    what is cached, and can begin with what is only expected.
    """

    n_jobs: int

    @property
    def stream(self) -> Stream | None: ...

    def jobs(self, requests: Sequence[Any]) -> Iterator[list[int]]: ...

    def run(self, batches: Sequence[Sequence[Any]]) -> Iterator[BatchResult]: ...

    def close(self) -> None: ...


class SerialExecutor:
    """Answers in this process, with the campaign's own model."""

    n_jobs = 1
    stream = None

    def __init__(self, spec: ModelSpec, model: LanguageModel) -> None:
        self._spec = spec
        self._model = model

    def jobs(self, requests: Sequence[Tokenized]) -> Iterator[list[int]]:
        """Yield the indices of each batch."""
        return jobs(requests, self.n_jobs)

    def run(self, batches: Sequence[Sequence[Asked]]) -> Iterator[BatchResult]:
        """Yield the result of each batch when it is computed."""
        for batch in batches:
            yield answer_batch(self._spec, batch, self._model)

    def close(self) -> None:
        """Nothing to close."""


class JoblibExecutor:
    """Answers with joblib; ``joblib.parallel_config(backend=...)`` around the campaign moves it to a cluster."""

    stream = None

    def __init__(self, spec: ModelSpec, n_jobs: int) -> None:
        self._spec = spec
        self.n_jobs = n_jobs

    def jobs(self, requests: Sequence[Tokenized]) -> Iterator[list[int]]:
        """Yield the indices of each batch."""
        return jobs(requests, self.n_jobs)

    def run(self, batches: Sequence[Sequence[Asked]]) -> Iterator[BatchResult]:
        """Yield results in order; batches of a dead worker are computed again.

        Raises:
            ConfigError: if the active backend of joblib returns no results before all are computed.
            WorkerError: if the first unanswered batch lost its worker three times.
        """
        done = 0
        attempts = 0
        while done < len(batches):
            try:
                for result in self._dispatch(batches[done:]):
                    yield result
                    done += 1
                    attempts = 0
            except (BrokenProcessPool, TerminatedWorkerError) as error:
                attempts += 1
                if attempts >= ATTEMPTS:
                    raise WorkerError(
                        f"a batch of {len(batches[done])} requests: expected an answer, found its "
                        f"worker gone {attempts} times; "
                        f"memory may be short for {self.n_jobs} workers ({error})"
                    ) from None

    def _dispatch(self, batches: Sequence[Sequence[Asked]]) -> Iterator[BatchResult]:
        # max_nbytes=None: requests are small, and joblib's memory maps would outlive a killed parent.
        backend, _ = get_active_backend()
        if not getattr(backend, "supports_return_generator", False):
            raise ConfigError(
                f"joblib.parallel_config: expected a backend that returns results one by one, found "
                f"{type(backend).__name__}; for Ray, take the cluster 'ray' instead"
            )
        kept = self._spec.passes.trunk_bytes + self._spec.passes.prefix_bytes
        parallel = joblib.Parallel(
            n_jobs=self.n_jobs,
            return_as="generator",
            max_nbytes=None,
            pre_dispatch="2*n_jobs",
            batch_size=1,
            **(_local_workers(backend, kept) if isinstance(backend, LokyBackend) else {}),
        )
        job = joblib.delayed(answer_in_worker)
        with interrupts_kept_from_children(), safe_path_for_children():
            results = parallel(job(self._spec, batch) for batch in batches)
        yield from results

    def close(self) -> None:
        """End the local workers, if any."""
        from joblib.externals.loky import get_reusable_executor

        if self.n_jobs > 1:
            get_reusable_executor(max_workers=self.n_jobs, timeout=None, reuse=True).shutdown(
                wait=True, kill_workers=True
            )


def make_executor(model: Model, n_jobs: int, mixed_hosts: bool = False) -> Executor:
    """Return what answers requests to a model: this process, worker processes, or the model's server.

    Args:
        model: local or served.
        n_jobs: worker processes; 1 = this process.
        mixed_hosts: see :class:`evolm.models.ModelSpec`.
    """
    if isinstance(model, ServedModel):
        return ServerExecutor(model)
    spec, local = worker_spec(model, mixed_hosts), require_local(model, "a worker")
    return SerialExecutor(spec, local) if n_jobs == 1 else JoblibExecutor(spec, n_jobs)


def worker_spec(model: Model, mixed_hosts: bool = False) -> ModelSpec:
    """Return the description from which workers load a model.

    Args:
        model: the campaign's.
        mixed_hosts: see :class:`evolm.models.ModelSpec`.

    Raises:
        ModelError: if the model is behind a server.
    """
    local = require_local(model, "a worker")
    chat = "on" if local.chat else "off"
    return ModelSpec(local.prepared, chat, local.profile.text, local.passes, mixed_hosts)


class SafeLokyBackend(LokyBackend):
    """joblib's local processes, whose interpreters import nothing from the working directory.

    A worker is started as ``python -m``, which puts the working directory before the standard library. A campaign's
    folder may be the working directory, and may hold a ``joblib.py``.
    """

    def _prepare_worker_env(self, n_jobs: int) -> dict[str, str]:
        return {**super()._prepare_worker_env(n_jobs), SAFE_PATH: "1"}


def _local_workers(backend: LokyBackend, kept: int) -> dict[str, Any]:
    """Return the arguments of joblib for workers on this machine; ``kept``: bytes that a model's caches may take."""
    safe = SafeLokyBackend(nesting_level=backend.nesting_level, inner_max_num_threads=backend.inner_max_num_threads)
    return {"backend": safe, "initializer": start_local_worker, "initargs": (os.getpid(), kept)}


@contextmanager
def safe_path_for_children() -> Iterator[None]:
    """Let Python processes that are started meanwhile import nothing from the working directory.

    This is for loky's tracker of resources, which is given no environment of its own.
    """
    before = os.environ.get(SAFE_PATH)
    os.environ[SAFE_PATH] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[SAFE_PATH]
        else:
            os.environ[SAFE_PATH] = before


@contextmanager
def interrupts_kept_from_children() -> Iterator[None]:
    """Block signals that end programs in this thread while it starts processes, which inherit the block."""
    blockable = hasattr(signal, "pthread_sigmask") and threading.current_thread() is threading.main_thread()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING) if blockable else None
    try:
        yield
    finally:
        if before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
