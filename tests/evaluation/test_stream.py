"""Batches on their way to workers: what is handed out when, and in which order results are taken."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from evolm.errors import WorkerError
from evolm.evaluation.results import BatchResult
from evolm.evaluation.stream import Stream


class Recorded:
    """An executor that hands out one request a batch, and writes down what it is told."""

    n_jobs = 2

    def __init__(self) -> None:
        self.handed: list[str] = []
        self.cancelled: list[str] = []
        self.lost = ""
        self.shares: list[float] = []

    def jobs(self, requests: Sequence[Any], share: float = 1.0) -> Iterator[list[int]]:
        self.shares.append(share)
        yield from ([place] for place in range(len(requests)))

    def submitted(self, batch: Sequence[Any]) -> str:
        self.handed += batch
        return batch[0]

    def answered(self, batch: Sequence[Any], future: str) -> BatchResult:
        if future == self.lost:
            raise WorkerError("lost")
        return BatchResult([np.zeros(1)], 1, 1)

    def cancel(self, futures: list[str]) -> None:
        self.cancelled += futures


@pytest.fixture
def executor() -> Recorded:
    return Recorded()


def requests(letters: str) -> dict[bytes, Any]:
    return {letter.encode(): letter for letter in letters}


def answered(results: Iterator[Any]) -> str:
    """Return the requests whose results are yielded, in order."""
    return "".join(letter for batch, _ in results for letter in batch.values())


def taken(stream: Stream, letters: str) -> str:
    """Return what is yielded until all letters are answered."""
    return answered(stream.results(requests(letters)))


def test_results_come_in_the_order_asked_a_few_handed_out_ahead(executor: Recorded) -> None:
    stream = Stream(executor)
    results = stream.results(requests("abcdefg"))
    next(results)
    assert executor.handed == list("abcde")  # two for each worker beside the one that is done
    assert answered(results) == "bcdefg"
    assert executor.shares == [1.0]


def test_what_is_asked_for_now_goes_before_what_is_only_expected(executor: Recorded) -> None:
    stream = Stream(executor)
    stream.expect(requests("abcdef"), 0.5)
    assert executor.handed == list("abcd")
    assert taken(stream, "xy") == "abcdxy"
    assert executor.handed == list("abcdxyef")
    assert executor.shares == [0.5, 1.0]


def test_what_is_expected_is_handed_out_once(executor: Recorded) -> None:
    stream = Stream(executor)
    stream.expect(requests("abcdef"), 1.0)
    assert b"f" in stream
    assert taken(stream, "cf") == "abcdef"
    assert b"f" not in stream
    assert executor.handed == list("abcdef")
    assert taken(stream, "f") == "f"  # an answer that the caller did not keep is computed again


def test_a_batch_that_is_lost_may_be_asked_for_again(executor: Recorded) -> None:
    stream, executor.lost = Stream(executor), "b"
    with pytest.raises(WorkerError):
        taken(stream, "abc")
    executor.lost = ""
    assert set(taken(stream, "bc")) == {"b", "c"}


def test_a_stream_that_is_cancelled_knows_nothing(executor: Recorded) -> None:
    stream = Stream(executor)
    stream.expect(requests("abcdef"), 1.0)
    stream.cancel()
    assert executor.cancelled == list("abcd")
    assert b"a" not in stream
    assert taken(stream, "f") == "f"
