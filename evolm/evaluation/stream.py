"""Batches on their way through a cluster: what is asked for now goes before what is only expected."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from evolm.evaluation.plan import AHEAD
from evolm.evaluation.results import BatchResult
from evolm.models import ReadyRequest

Batch: TypeAlias = dict[Any, Any]  # key of a request -> request


class HandsOut(Protocol):
    """The part of an executor that a stream needs; see :class:`evolm.evaluation.clusters.ClusterExecutor`."""

    n_jobs: int

    def jobs(self, requests: Sequence[Any], share: float = 1.0) -> Iterator[list[int]]: ...

    def submitted(self, batch: Sequence[Any]) -> Any: ...

    def answered(self, batch: Sequence[Any], future: Any) -> BatchResult: ...

    def cancel(self, futures: list[Any]) -> None: ...


class Stream:
    """The batches of an executor, a few of them handed out to workers, in the order in which results are taken.

    Args:
        executor: hands them out.
    """

    def __init__(self, executor: HandsOut) -> None:
        self._executor = executor
        self._waiting: deque[Batch] = deque()
        self._flying: deque[tuple[Batch, Any]] = deque()
        self._keys: set[Any] = set()

    def __contains__(self, key: bytes) -> bool:
        """Return whether a request with this key waits or is handed out."""
        return key in self._keys

    def expect(self, requests: Mapping[bytes, ReadyRequest], share: float) -> None:
        """Hand requests out behind all others.

        Args:
            requests: key -> request; none is in the stream.
            share: of all that is expected at a time; the smaller, the fewer batches these requests are cut into.
        """
        self.append(self._cut(requests, share))
        self._hand_out()

    def append(self, batches: Sequence[Batch]) -> None:
        """Put batches behind all others; they are handed out when something is taken."""
        self._waiting.extend(batches)
        self._keys.update(*batches)

    def results(self, requests: Mapping[bytes, ReadyRequest]) -> Iterator[tuple[Batch, BatchResult]]:
        """Yield batches and their results, in order, until all of some requests are answered.

        Requests that are not in the stream are handed out before those that wait. Batches that hold other requests
        only may be among those that are yielded.

        Args:
            requests: key -> request.
        """
        new = {key: request for key, request in requests.items() if key not in self._keys}
        self._waiting.extendleft(reversed(self._cut(new)))
        self._keys.update(new)
        left = set(requests)
        while left:
            batch, result = self.take()
            left.difference_update(batch)
            yield batch, result

    def take(self) -> tuple[Batch, BatchResult]:
        """Return the next batch and its result; a few of those behind it are handed out."""
        self._hand_out()
        batch, future = self._flying.popleft()
        self._keys.difference_update(batch)
        result = self._executor.answered(list(batch.values()), future)
        self._hand_out()
        return batch, result

    def cancel(self) -> None:
        """Forget all requests."""
        flying, self._flying = self._flying, deque()
        self._waiting.clear()
        self._keys.clear()
        self._executor.cancel([future for _, future in flying])

    def _hand_out(self) -> None:
        while self._waiting and len(self._flying) < AHEAD * self._executor.n_jobs:
            batch = self._waiting.popleft()
            self._flying.append((batch, self._executor.submitted(list(batch.values()))))

    def _cut(self, requests: Mapping[bytes, ReadyRequest], share: float = 1.0) -> list[Batch]:
        return cut(requests, self._executor.jobs(list(requests.values()), share))


def cut(requests: Mapping[bytes, ReadyRequest], jobs: Iterator[list[int]]) -> list[Batch]:
    """Return requests in batches, the places of each one's requests given."""
    pairs = list(requests.items())
    return [dict(pairs[place] for place in job) for job in jobs]
