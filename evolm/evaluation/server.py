"""Answers requests to a served model: several at a time, handed on in the order asked."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from evolm.evaluation.results import BatchResult
from evolm.models.served.model import ServedModel

AHEAD = 2  # requests under way or done for each of those that are sent at a time


class ServerExecutor:
    """Sends requests to a server.

    Every request is a batch of its own, so that its answer is stored as soon as those before it are there.
    """

    stream = None

    def __init__(self, model: ServedModel) -> None:
        self._model = model
        self.n_jobs = model.section.concurrency

    def jobs(self, requests: Sequence[Any]) -> Iterator[list[int]]:
        """Yield the indices of each batch: one request each."""
        yield from ([index] for index in range(len(requests)))

    def run(self, batches: Sequence[Sequence[Any]]) -> Iterator[BatchResult]:
        """Yield results in order; after an early end, requests under way are waited for.

        Raises:
            ModelError: if a request cannot be answered.
        """
        under_way: deque[Future[BatchResult]] = deque()
        with ThreadPoolExecutor(self.n_jobs, thread_name_prefix="evolm-server") as pool:
            try:
                for (request,) in batches:
                    under_way.append(pool.submit(self._answer, request))
                    if len(under_way) == AHEAD * self.n_jobs:
                        yield under_way.popleft().result()
                while under_way:
                    yield under_way.popleft().result()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _answer(self, request: Any) -> BatchResult:
        stored, cost = self._model.ask(request)
        return BatchResult([np.frombuffer(stored, dtype=np.uint8)], cost.tokens, cost.tokens)

    def close(self) -> None:
        """Nothing to close: the connections belong to the model, which other engines may ask."""
