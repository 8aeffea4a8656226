"""Executors on clusters: Dask's and Ray's own futures.

A worker gets the model's identity, not its weights: it loads the model from its own host, see
:func:`evolm.models.hosts.on_this_host`. To a host that lacks it, the model is sent, once, see
:mod:`evolm.models.transfer`. Results come in the order of the batches, so that journals do not depend on the cluster.
Both engines compute the batches of a lost worker again.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import Any, Final

from evolm.errors import ConfigError, EvolmError, ModelError, WorkerError
from evolm.evaluation.executors import ATTEMPTS, Executor, worker_spec
from evolm.evaluation.plan import jobs
from evolm.evaluation.results import BatchResult, ModelMissing
from evolm.evaluation.stream import Stream
from evolm.evaluation.worker import Asked, answer_on_cluster
from evolm.extras import extra
from evolm.models import Model, Tokenized
from evolm.models.specs import ModelSpec
from evolm.models.transfer import ReceiverLost, send_model

PATIENCE: Final = 30.0  # seconds in which a scheduler must answer
_LOCAL, _RAY = "local", "ray"


class ClusterExecutor:
    """Hands batches to a cluster, a few ahead of the results.

    Args:
        spec: the model's description.

    Attributes:
        n_jobs: workers when the cluster was reached; more may join later.
        stream: of the batches whose answers are cached, and of those that are only expected.
    """

    n_jobs: int = 1

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec
        self.stream = Stream(self)

    def jobs(self, requests: Sequence[Tokenized], share: float = 1.0) -> Iterator[list[int]]:
        """Yield the indices of each batch; ``share``: of the workers that these requests are for."""
        return jobs(requests, math.ceil(share * self.n_jobs), uneven=True)

    def run(self, batches: Sequence[Sequence[Asked]]) -> Iterator[BatchResult]:
        """Yield results in order.

        Raises:
            EvolmError: of a worker.
            ModelError: if a host lacks the model and cannot be given it.
            WorkerError: if a batch loses its worker three times, or the cluster is gone.
        """
        stream = Stream(self)
        stream.append([dict(enumerate(batch)) for batch in batches])
        try:
            for _ in batches:
                yield stream.take()[1]
        finally:
            stream.cancel()

    def answered(self, batch: Sequence[Asked], future: Any) -> BatchResult:
        """Return a batch's result; if its worker's host lacks the model, send it and compute the batch again."""
        given: set[str] = set()
        while isinstance(result := self._result(future), ModelMissing):
            if result.place in given:
                raise _lacking(self._spec, result, "it was sent and is not found")
            given.add(result.place)
            self._send_model(result)
            future = self.submitted(batch)
        return result

    def _send_model(self, missing: ModelMissing) -> None:
        def call(function: Callable[..., Any], *arguments: Any) -> Any:
            return self._called(missing.place, function, *arguments)

        try:
            send_model(self._spec.prepared, call, missing.host)
        except ReceiverLost:
            return  # another worker computes the batch
        except (ModelError, OSError) as error:
            raise _lacking(self._spec, missing, str(error)) from None

    def submitted(self, batch: Sequence[Asked]) -> Any:
        """Hand out a batch; return the engine's future of its result."""
        raise NotImplementedError

    def _result(self, future: Any) -> BatchResult | ModelMissing:
        raise NotImplementedError

    def _called(self, place: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function on the worker, or the node, at a place.

        Raises:
            ReceiverLost: if it has gone.
        """
        raise NotImplementedError

    def cancel(self, futures: list[Any]) -> None:
        """Let workers drop batches that they have not begun."""
        raise NotImplementedError

    def close(self) -> None:
        """Leave the cluster; it goes on."""
        self.stream.cancel()


class DaskExecutor(ClusterExecutor):
    """Answers on the workers of a Dask scheduler.

    Args:
        spec: the model's description.
        address: ``dask://HOST:PORT``.

    Raises:
        WorkerError: if no scheduler answers, or it has no worker.
        MissingPackage: if Dask is not installed.
    """

    def __init__(self, spec: ModelSpec, address: str) -> None:
        with extra("dask"):
            distributed: Any = import_module("distributed")
        super().__init__(spec)
        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what ends a campaign is said in one sentence
        self._address = address
        try:
            self._client = distributed.Client(address.replace("dask://", "tcp://"), timeout=PATIENCE)
            self._client.wait_for_workers(1, timeout=PATIENCE)
        except (OSError, TimeoutError) as error:
            raise WorkerError(
                f"cluster {address}: expected a Dask scheduler with workers, found none ({error})"
            ) from None
        self.n_jobs = len(self._client.scheduler_info(n_workers=-1)["workers"])
        self._killed: type[Exception] = distributed.KilledWorker

    def submitted(self, batch: Sequence[Asked]) -> Any:
        return self._client.submit(_answer_on_dask, self._spec, batch, pure=False)

    def _called(self, place: str, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return self._client.run(function, *arguments, workers=[place])[place]
        except (KeyError, OSError, TimeoutError, ValueError) as error:
            raise ReceiverLost(str(error)) from None

    def _result(self, future: Any) -> BatchResult | ModelMissing:
        from concurrent.futures import CancelledError

        try:
            result: BatchResult | ModelMissing = future.result()
        except EvolmError:
            raise
        except self._killed as error:
            raise WorkerError(
                f"cluster {self._address}: expected an answer, found a batch whose workers die ({error})"
            ) from None
        except (CancelledError, OSError, TimeoutError) as error:
            raise _gone(self._address, error) from None
        return result

    def cancel(self, futures: list[Any]) -> None:
        if futures and self._client.status == "running":
            self._client.cancel(futures, force=True)

    def close(self) -> None:
        """Leave the cluster; it goes on."""
        super().close()
        self._client.close(timeout=PATIENCE)


class RayExecutor(ClusterExecutor):
    """Answers on the nodes of a Ray cluster.

    Args:
        spec: the model's description.
        address: ``ray://HOST:PORT``, or ``ray`` for the cluster of this machine, which is started if there is none.

    Raises:
        WorkerError: if no cluster answers.
        MissingPackage: if Ray is not installed.
    """

    def __init__(self, spec: ModelSpec, address: str) -> None:
        with extra("ray"):
            ray: Any = import_module("ray")
        super().__init__(spec)
        self._ray, self._address = ray, address
        self._ours = not ray.is_initialized()
        if self._ours:
            named = {} if address == _RAY else {"address": address}
            try:
                ray.init(**named, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
            except Exception as error:  # Ray has no class for a node that does not start in time
                raise WorkerError(f"cluster {address}: expected a Ray cluster, found none ({error})") from None
        self.n_jobs = max(int(ray.cluster_resources().get("CPU", 1)), 1)
        self._put_spec = ray.put(spec)
        self._answer = ray.remote(_answer_on_ray).options(num_cpus=1, max_retries=ATTEMPTS - 1)

    def submitted(self, batch: Sequence[Asked]) -> Any:
        return self._answer.remote(self._put_spec, batch)

    def _called(self, place: str, function: Callable[..., Any], *arguments: Any) -> Any:
        errors = self._ray.exceptions
        strategies: Any = import_module("ray.util.scheduling_strategies")
        there = strategies.NodeAffinitySchedulingStrategy(place, soft=False)
        remote = self._ray.remote(function).options(num_cpus=0, max_retries=0, scheduling_strategy=there)
        try:
            return self._ray.get(remote.remote(*arguments))
        except errors.RayTaskError as error:
            raise error.cause from None
        except errors.RayError as error:
            raise ReceiverLost(str(error)) from None

    def _result(self, future: Any) -> BatchResult | ModelMissing:
        errors = self._ray.exceptions
        try:
            result: BatchResult | ModelMissing = self._ray.get(future)
        except errors.RayTaskError as error:
            if isinstance(error.cause, EvolmError):
                raise error.cause from None
            raise
        except (errors.WorkerCrashedError, errors.OutOfMemoryError) as error:
            raise WorkerError(
                f"cluster {self._address}: expected an answer, found a batch whose workers die ({error})"
            ) from None
        except (errors.RayError, ConnectionError) as error:
            raise _gone(self._address, error) from None
        return result

    def cancel(self, futures: list[Any]) -> None:
        for future in futures:
            self._ray.cancel(future, force=False)

    def close(self) -> None:
        """Leave the cluster; one that was started for this process ends."""
        super().close()
        if self._ours:
            self._ray.shutdown()


def _answer_on_dask(spec: ModelSpec, batch: Sequence[Asked]) -> BatchResult | ModelMissing:
    """Entry point of Dask's workers."""
    distributed: Any = import_module("distributed")
    return answer_on_cluster(spec, batch, distributed.get_worker().address)


def _answer_on_ray(spec: ModelSpec, batch: Sequence[Asked]) -> BatchResult | ModelMissing:
    """Entry point of Ray's workers."""
    ray: Any = import_module("ray")
    return answer_on_cluster(spec, batch, ray.get_runtime_context().get_node_id())


def _lacking(spec: ModelSpec, missing: ModelMissing, why: str) -> ModelError:
    return ModelError(f"{missing.reason}; the model {spec.prepared.name!r} could not be sent there: {why}")


def _gone(address: str, error: BaseException) -> WorkerError:
    return WorkerError(
        f"cluster {address}: expected answers, found the cluster gone ({type(error).__name__}); the run is saved "
        "and can be resumed on this cluster, another one, or without one"
    )


def executor_of(address: str, model: Model, mixed_hosts: bool = False) -> Executor | None:
    """Return the executor of ``--cluster``; None for ``local``, this machine's own workers.

    Args:
        address: ``local``, ``ray``, ``ray://HOST:PORT`` or ``dask://HOST:PORT``.
        model: the campaign's.
        mixed_hosts: see :class:`evolm.models.ModelSpec`.

    Raises:
        ConfigError: for another address.
        ModelError: if the model is behind a server.
        WorkerError: if nothing answers there.
        MissingPackage: if the cluster's package is not installed.
    """
    kind, _, place = address.partition("://")
    if address == _LOCAL:
        return None
    if address == _RAY or (kind == _RAY and place):
        return RayExecutor(worker_spec(model, mixed_hosts), address)
    if kind == "dask" and place:
        return DaskExecutor(worker_spec(model, mixed_hosts), address)
    raise ConfigError(f"cluster: expected local, ray, ray://HOST:PORT or dask://HOST:PORT, found {address!r}")


__all__ = ["ClusterExecutor", "DaskExecutor", "RayExecutor", "executor_of"]
