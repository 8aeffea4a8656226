"""The queue in front of a real prompt: batches, bounds, failures and forgetting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evolm.errors import DataError, RequestError
from evolm.export.predictor import Predictor, saved_prompt
from evolm.serving import batches
from evolm.serving.batches import Batches
from evolm.serving.bodies import items_of
from evolm.serving.limits import Limits
from evolm.tasks import Item
from tests.support.kinds_of_campaigns import write_kind


@pytest.fixture(scope="module")
def opened(finished_run: Callable[..., Path]) -> Iterator[Predictor]:
    with saved_prompt(finished_run("classification", write=write_kind)) as prompt:
        yield prompt


def items(prompt: Predictor, *texts: str) -> list[Item]:
    return items_of([{"text": text} for text in texts], prompt.config.task)


def test_requests_of_one_moment_share_batches_of_bounded_rows(
    opened: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    compute = Batches._compute

    def noted(self: Batches, requests: list[list[Item]]) -> object:
        sizes.append(sum(map(len, requests)))
        return compute(self, requests)

    monkeypatch.setattr(Batches, "_compute", noted)

    async def ask() -> list[list[str]]:
        queue = Batches(opened, Limits(rows=3))
        asked = [items(opened, *texts) for texts in (["a"], ["b", "c"], ["d"], ["e", "f"])]
        answers = await asyncio.gather(*map(queue.answer, asked))
        await queue.close()
        return [[answer.record["label"] for answer in each] for each in answers]

    labels = asyncio.run(ask())
    assert sizes == [3, 3]
    alone = opened.answered(items(opened, *"abcdef"))
    outcomes = [alone.task.labels[place] for place in alone.evaluation.outcomes]  # type: ignore[union-attr]
    assert [label for each in labels for label in each] == outcomes


@pytest.mark.parametrize(
    ("error", "met", "status"),
    [
        (DataError("template.item: fails on the row"), RequestError, 422),
        (ZeroDivisionError(), ZeroDivisionError, None),
    ],
)
def test_an_error_that_one_request_meets_fails_that_one_alone(
    error: Exception, met: type[Exception], status: int | None, opened: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A template that fails on its row, or a defect."""
    answered = Predictor.answered

    def failing(self: Predictor, rows: list[Item], rounds: object = None) -> object:
        if any(item.fields["text"] == "b" for item in rows):
            raise error
        return answered(self, rows)

    monkeypatch.setattr(Predictor, "answered", failing)

    async def ask() -> list[object]:
        queue = Batches(opened, Limits())
        found = await asyncio.gather(*(queue.answer(items(opened, text)) for text in "abc"), return_exceptions=True)
        await queue.close()
        return list(found)

    found = asyncio.run(ask())
    assert [type(each) for each in found] == [list, met, list]
    assert getattr(found[1], "status", None) == status


def test_a_queue_that_ends_refuses_what_waits_and_what_comes(opened: Predictor) -> None:
    async def ask() -> list[BaseException | object]:
        queue = Batches(opened, Limits(rows=1))
        asked = [asyncio.create_task(queue.answer(items(opened, text))) for text in "ab"]
        await asyncio.sleep(0)  # both wait; none is computed yet
        queue.end()
        found = await asyncio.gather(*asked, queue.answer(items(opened, "c")), return_exceptions=True)
        await queue.close()
        return list(found)

    assert [getattr(error, "status", None) for error in asyncio.run(ask())] == [503, 503, 503]


def test_rows_and_answers_are_forgotten_after_a_while(opened: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "KEPT_ROWS", 3)

    async def ask() -> list[int]:
        queue = Batches(opened, Limits())
        opened.forget()
        kept = []
        for texts in (["a", "b"], ["c"], ["d"], ["e"]):
            await queue.answer(items(opened, *texts))
            kept.append(len(opened.engine.answers))
        await queue.close()
        return kept

    first, second, third, fourth = asyncio.run(ask())
    assert 0 < first < second
    assert third == 0 < fourth
