"""Dialogues: rounds in one call, failures that stay alone, charges, and several dialogues joined into one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from evolm.errors import ContextExceeded, DataError
from evolm.evaluation import Engine
from evolm.evaluation.dialogue import hold, joined
from evolm.models import Generate, LanguageModel, LogLikelihood, Request
from evolm.models.deltas import Delta, Gain
from evolm.storage import AnswerStore

ASKS = [LogLikelihood("", f"{number}", (" a", " b")) for number in range(5)]
TOO_LONG = Generate("", "x" * 5000)


@pytest.fixture
def engine(tiny_model: Callable[..., LanguageModel]) -> Iterator[Engine]:
    made = Engine(tiny_model("float32", "off"), AnswerStore(":memory:"))
    yield made
    made.close()


def echo(*rounds: Sequence[Request]) -> Any:
    """A dialogue that asks these requests, round by round, and returns all answers."""
    answers: list[Any] = []
    for requests in rounds:
        answers += yield requests
    return answers


def equal(ours: Any, theirs: Any) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_a_round_of_all_dialogues_is_one_call_and_answers_keep_their_order(engine: Engine) -> None:
    batches: list[int] = []
    engine.progress = lambda done, total: batches.append(total) if not done else None
    outcomes = hold([echo(ASKS[:1], ASKS[1:2]), echo(), echo(ASKS[2:4], [], ASKS[4:])], engine)
    assert batches == [3, 1, 1]
    found = [answers for outcome in outcomes for answers in outcome.result or ()]
    assert [len(outcome.result or ()) for outcome in outcomes] == [2, 0, 3]
    assert all(map(equal, found, engine.answer(ASKS)))


def test_tokens_are_charged_to_the_dialogue_that_asked(engine: Engine) -> None:
    outcomes = hold([echo(ASKS[:1], ASKS[:1]), echo(ASKS[1:3])], engine)
    asked = engine.tokenize(ASKS)
    costs = [each.cost(answer).tokens for each, answer in zip(asked, engine.answer(ASKS), strict=True)]
    assert [outcome.tokens for outcome in outcomes] == [2 * costs[0], costs[1] + costs[2]]


def test_a_dialogue_that_fails_ends_with_its_error_and_disturbs_no_other(engine: Engine) -> None:
    def failing() -> Any:
        yield ASKS[:1]
        raise DataError("the template fails")

    closed: list[str] = []

    def asking_too_much() -> Any:
        try:
            yield [TOO_LONG]
        finally:
            closed.append("closed")

    first, second, third = hold([asking_too_much(), echo(ASKS[:1]), failing()], engine)
    assert isinstance(first.error, ContextExceeded) and first.result is None and first.tokens == 0
    assert closed == ["closed"]
    assert second.error is None and len(second.result or ()) == 1
    assert isinstance(third.error, DataError) and third.tokens == second.tokens > 0


def test_each_dialogue_may_be_held_with_a_model_changed_by_a_delta(engine: Engine) -> None:
    gain = Gain(np.full(32, 0.5, np.float32), "output")
    delta = Delta({"model.layers.0.self_attn.q_proj": gain}, 0)
    plain, changed = hold([echo(ASKS[:1]), echo(ASKS[:1])], engine, [None, delta])
    assert plain.result and changed.result
    assert not equal(plain.result[0], changed.result[0])
    assert plain.tokens == changed.tokens


def test_joined_dialogues_ask_and_are_charged_equal_requests_once(engine: Engine) -> None:
    known: dict[Any, Any] = {}
    dialogues = {"a": echo(ASKS[:2], ASKS[2:3]), "b": echo(ASKS[1:3]), "c": echo()}
    [outcome] = hold([joined(dialogues, known)], engine)
    expected = engine.answer(ASKS)
    assert outcome.result is not None and set(outcome.result) == {"a", "b", "c"}
    assert all(map(equal, outcome.result["a"], expected[:3]))
    assert all(map(equal, outcome.result["b"], expected[1:3]))
    assert outcome.result["c"] == []
    assert list(known) == ASKS[:3]
    [again] = hold([joined({"a": echo(ASKS[:4])}, known)], engine)  # only the fourth is new
    [alone] = hold([echo(ASKS[3:4])], engine)
    assert again.tokens == alone.tokens
    assert again.result is not None and all(map(equal, again.result["a"], expected[:4]))
