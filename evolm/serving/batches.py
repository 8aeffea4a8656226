"""The queue of requests: those that wait while others are computed are computed together.

No request waits for company: if nothing is computed, a request is answered alone and at once. What a row is answered
does not depend on the others, since equal requests to the model have equal bits in any batch.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from evolm.errors import EvolmError, Interrupted, RequestError
from evolm.export.predictor import Predictor
from evolm.serving.answers import RowAnswer, answer_together
from evolm.serving.limits import Limits
from evolm.tasks import Item

KEPT_ROWS, KEPT_CHARACTERS = 20_000, 64 * 2**20  # answered since answers were forgotten
AGAIN = {"Retry-After": "1"}


@dataclass(frozen=True)
class _Job:
    """One request that waits.

    Attributes:
        items: its rows.
        answers: where its answers go.
    """

    items: Sequence[Item]
    answers: asyncio.Future[list[RowAnswer]]


class Batches:
    """Answers requests with one prompt, in one thread beside the event loop, from which all methods are called.

    Args:
        predictor: the prompt; asked by no other code meanwhile.
        limits: rows of a batch, and requests that may wait.

    Attributes:
        ending: whether requests are refused, since the server ends.
    """

    def __init__(self, predictor: Predictor, limits: Limits) -> None:
        self.ending = False
        self.predictor = predictor
        self._limits = limits
        self._thread = ThreadPoolExecutor(1, "evolm-serve")
        self._waiting: deque[_Job] = deque()
        self._work: asyncio.Task[None] | None = None
        self._rows = self._characters = 0

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return len(self._waiting)

    async def answer(self, items: Sequence[Item]) -> list[RowAnswer]:
        """Return the answers to a request's rows, in order.

        Raises:
            RequestError: if too many requests wait, the server ends, or a row cannot be answered.
            EvolmError: if the model, its server or its workers fail.
        """
        if self.ending:
            raise _ending()
        if self.waiting >= self._limits.waiting:
            raise RequestError(f"expected at most {self._limits.waiting} requests that wait, found more", 503, AGAIN)
        job = _Job(items, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        if self._work is None:
            self._work = asyncio.create_task(self._answer_all())
        return await job.answers

    def end(self) -> None:
        """Refuse the requests that wait and all further ones; the running batch is finished."""
        self.ending = True
        for job in self._waiting:
            _fail(job, _ending())
        self._waiting.clear()

    def stop(self, number: int) -> None:
        """End, and break the running batch off after the pass that is computed.

        Args:
            number: of the signal that asked for it.
        """
        self.end()
        self.predictor.engine.stop_signal = number

    async def close(self) -> None:
        """End, and wait for the running batch."""
        self.end()
        if self._work is not None:
            await self._work
        self._thread.shutdown()

    async def _answer_all(self) -> None:
        while self._waiting:
            await self._answer_batch(self._next())
        self._work = None

    def _next(self) -> list[_Job]:
        """Take the requests that waited longest, as many as fit into one batch, and at least one."""
        jobs = [self._waiting.popleft()]
        rows = len(jobs[0].items)
        while self._waiting and rows + len(self._waiting[0].items) <= self._limits.rows:
            jobs.append(self._waiting.popleft())
            rows += len(jobs[-1].items)
        return jobs

    async def _answer_batch(self, jobs: Sequence[_Job]) -> None:
        requests = [job.items for job in jobs]
        loop = asyncio.get_running_loop()
        try:
            outcomes = await loop.run_in_executor(self._thread, self._compute, requests)
        except Interrupted:
            outcomes = [_ending() for _ in jobs]
        except Exception as error:  # the server goes on
            if isinstance(error, EvolmError) or len(jobs) == 1:
                for job in jobs:
                    _fail(job, error)
            else:  # a defect, which one of the requests met
                for job in jobs:
                    await self._answer_batch([job])
            return
        for job, outcome in zip(jobs, outcomes, strict=True):
            if isinstance(outcome, RequestError):
                _fail(job, outcome)
            elif not job.answers.done():
                job.answers.set_result(outcome)

    def _compute(self, requests: Sequence[Sequence[Item]]) -> list[list[RowAnswer] | RequestError]:
        outcomes = answer_together(self.predictor, requests)
        self._rows += sum(map(len, requests))
        self._characters += sum(len(item.text) for request in requests for item in request)
        if self._rows > KEPT_ROWS or self._characters > KEPT_CHARACTERS:
            self.predictor.forget()
            self._rows = self._characters = 0
        return outcomes


def _ending() -> RequestError:
    return RequestError("expected an answer, found a server that ends; ask again", 503, AGAIN)


def _fail(job: _Job, error: Exception) -> None:
    if not job.answers.done():  # its connection may have been given up
        job.answers.set_exception(error)
