"""Models behind a real HTTP server: what the self-test finds, what is asked, what fails and how."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evolm.config import ModelSection
from evolm.errors import ConfigError, ModelError, ServerError, Unanswerable
from evolm.evaluation import Engine
from evolm.models import Cost, Decoding, Generate, LanguageModel, LogLikelihood, States
from evolm.models.served import client
from evolm.models.served.alignment import placed, scored_behind
from evolm.models.served.model import ServedModel, open_served
from evolm.models.served.ways import first_tokens
from evolm.storage import AnswerStore
from tests.support.served import Behaviour, Served, serving

ASKED = [
    LogLikelihood("Is it spam?\n\n", f"Text: {text}\nLabel:", (" spam", " ham"), system="Say one word.")
    for text in ("win a prize", "see you at lunch")
]


@pytest.fixture(scope="module")
def served(tiny_model_folder: Path) -> Served:
    return Served(tiny_model_folder)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_PAUSE", 0.001)


@pytest.fixture
def start(served: Served) -> Iterator[Callable[..., tuple[str, Behaviour]]]:
    """Return ``start(**behaviour)``: a running server's name and behaviour."""
    running: list[Any] = []

    def begin(**behaviour: Any) -> tuple[str, Behaviour]:
        running.append(serving(served, **behaviour))
        return running[-1].__enter__()

    yield begin
    for each in running:
        each.__exit__(None, None, None)


def opened(name: str, generates: bool = False, **settings: Any) -> ServedModel:
    return open_served(ModelSection(name=name, **settings), generates)


def answers(model: Any, requests: list[Any]) -> list[Any]:
    engine = Engine(model, AnswerStore(":memory:"))
    try:
        return engine.answer(requests)
    finally:
        engine.close()


@pytest.mark.parametrize("behaviour", [{}, {"echo": False, "prompt_logprobs": True}], ids=["echo", "prompt_logprobs"])
def test_a_served_model_scores_like_the_local_one(
    start: Callable[..., tuple[str, Behaviour]], tiny_model: Callable[..., LanguageModel], behaviour: dict[str, Any]
) -> None:
    name, _ = start(**behaviour)
    model = opened(name)
    assert model.abilities.way == ("prompt_logprobs" if behaviour else "echo")
    local = answers(tiny_model("float32", "off"), ASKED)
    for here, there in zip(answers(model, ASKED), local, strict=True):
        for ours, theirs in zip(here, there, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-3)
    assert model.answer_lengths(ASKED[0]) == [1, 4]


def test_a_server_that_scores_every_prompt_alike_is_found_out(start: Callable[..., tuple[str, Behaviour]]) -> None:
    name, _ = start(echo="alike", top_logprobs=False)
    model = opened(name)
    assert model.abilities.way == ""
    with pytest.raises(ModelError, match=r"gives log-probabilities; .*only texts; echo: .*nothing for the prompt"):
        answers(model, ASKED)


def test_first_tokens_of_a_chat_take_the_place_of_a_missing_echo(start: Callable[..., tuple[str, Behaviour]]) -> None:
    name, _ = start(echo=False)
    model = opened(name)
    assert (model.abilities.way, model.chat) == ("top_logprobs", True)
    assert "echo" in model.abilities.rejected


def test_labels_are_told_apart_by_their_first_tokens() -> None:
    listed = [("sp", -0.5), ("h", -1.0), (" spam", -2.0), ("x", -4.0)]
    spam, ham, other = first_tokens(["spam", "ham", "none"], listed)
    assert spam == pytest.approx(np.logaddexp(-0.5, -2.0))
    assert (ham, other) == (-1.0, -4.0)
    assert np.isnan(first_tokens(["spam", "spare"], [("spa", -0.1), ("x", -1.0)])).all()


def test_an_answer_that_begins_another_has_no_first_token_of_its_own(
    start: Callable[..., tuple[str, Behaviour]],
) -> None:
    name, _ = start(echo=False)
    with pytest.raises(Unanswerable, match=r"'no' and 'none': expected answers that differ in their first tokens"):
        opened(name).tokenize([LogLikelihood("a", "b", (" yes", " no", " none"))])


def test_generated_text_is_that_of_the_local_model(
    start: Callable[..., tuple[str, Behaviour]], tiny_model: Callable[..., LanguageModel]
) -> None:
    name, behaviour = start()
    requests = [
        Generate("Reply.\n\n", "Text: hello\nAnswer:", Decoding(8, ("e",)), system="Be short.", chat=chat)
        for chat in (False, True)
    ]
    ours = answers(opened(name, generates=True), requests)
    theirs = answers(tiny_model("float32", "on"), requests)
    assert [answer.text for answer in ours] == [answer.text for answer in theirs]
    assert {route for route, body in behaviour.requests if body.get("max_tokens") == 8} == {
        "completions",
        "chat/completions",
    }


def test_answers_cost_what_the_server_says(start: Callable[..., tuple[str, Behaviour]]) -> None:
    name, behaviour = start()
    model = opened(name)
    engine = Engine(model, AnswerStore(":memory:"))
    ready = engine.tokenize(ASKED[:1])
    behaviour.requests.clear()
    (answer,) = engine.answer_tokenized(ready)
    sent = [len(body["prompt"]) for _, body in behaviour.requests]
    cost = ready[0].cost(answer)
    assert (cost.requests, cost.generated) == (2, 2)
    assert 0 < cost.tokens <= sum(sent) + 2 + 2  # a token is at most a letter here; two begin the texts
    assert engine.answer_tokenized(ready)[0].cost == cost
    assert len(behaviour.requests) == 2  # the second time from the cache
    engine.close()


@pytest.mark.parametrize("failure", [429, 503, "drop", "garbage", "slow"])
def test_a_request_is_repeated_until_it_is_answered(
    start: Callable[..., tuple[str, Behaviour]], failure: int | str
) -> None:
    name, behaviour = start()
    model = opened(name, timeout_seconds=0.2 if failure == "slow" else 60.0)
    expected = answers(model, ASKED[:1])
    behaviour.failures[:] = [failure, failure]
    assert np.array_equal(np.concatenate(answers(model, ASKED[:1])[0]), np.concatenate(expected[0]))
    assert not behaviour.failures


def test_a_server_that_never_answers_ends_with_one_sentence(start: Callable[..., tuple[str, Behaviour]]) -> None:
    name, behaviour = start()
    model = opened(name, retries=2)
    behaviour.always = 500
    with pytest.raises(ServerError, match=r"expected an answer to POST /completions, found status 500 .*3 attempts"):
        answers(model, ASKED[:1])


def test_a_refused_request_is_not_repeated(start: Callable[..., tuple[str, Behaviour]]) -> None:
    name, behaviour = start()
    model = opened(name)
    behaviour.always = 400
    behaviour.requests.clear()
    with pytest.raises(ServerError, match=r"found status 400"):
        answers(model, ASKED[:1])
    assert len(behaviour.requests) == 1


def test_the_key_comes_from_the_environment_and_is_in_no_message(
    start: Callable[..., tuple[str, Behaviour]], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, behaviour = start(key="sk-secret-1")
    monkeypatch.delenv("SOME_API_KEY", raising=False)
    with pytest.raises(ServerError, match="SOME_API_KEY is not set"):
        opened(name, key_variable="SOME_API_KEY")
    monkeypatch.setenv("SOME_API_KEY", "sk-secret-2")
    with pytest.raises(ServerError, match="holds a key that the server refuses") as raised:
        opened(name, key_variable="SOME_API_KEY")
    assert "sk-secret" not in str(raised.value)
    monkeypatch.setenv("SOME_API_KEY", "sk-secret-1")
    model = opened(name, key_variable="SOME_API_KEY", retries=0)
    behaviour.always = 500  # quotes the header
    with pytest.raises(ServerError) as raised:
        answers(model, ASKED[:1])
    assert "sk-secret" not in str(raised.value)
    assert "***" in str(raised.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("openai:localhost:8000", "expected openai:http://HOST:PORT/v1"),
        ("openai:http://me:sk-secret@localhost/v1", "without user, password and query"),
        ("openai:http://localhost/v1?key=sk-secret", "without user, password and query"),
    ],
)
def test_an_address_is_checked_and_a_password_in_it_not_repeated(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        opened(name)
    assert "sk-secret" not in str(raised.value)


def test_an_unknown_model_is_refused_with_those_that_there_are(start: Callable[..., tuple[str, Behaviour]]) -> None:
    name, _ = start()
    with pytest.raises(
        ModelError, match=r"model.served: expected one of the server's models \('tiny'\), found 'big'"
    ):
        opened(name, served="big")


def test_a_server_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(ServerError, match=r"expected an answer to GET /models, found ConnectError"):
        opened("openai:http://127.0.0.1:9/v1")


def test_answers_that_change_are_measured_and_told(start: Callable[..., tuple[str, Behaviour]]) -> None:
    name, _ = start()
    assert opened(name).abilities.difference == 0
    noisy, _ = start(noise=-1e-4)
    model = opened(noisy)
    assert 1e-4 <= model.abilities.difference < 0.1
    assert "is asked for anew" in model.told_of_repetition
    silent, behaviour = start(echo=False, top_logprobs=False)
    assert opened(silent).told_of_repetition.endswith("was the same.")
    assert sum(body.get("max_tokens") == 8 for _, body in behaviour.requests) == 10


def test_states_are_refused(start: Callable[..., tuple[str, Behaviour]]) -> None:
    name, _ = start()
    with pytest.raises(ModelError, match="needs the weights of a local model"):
        opened(name).tokenize([States("a", "b", (1,))])


def test_places_of_tokens_are_found_behind_what_the_server_puts_before_the_text() -> None:
    for tokens in (["<s>", "ab", " c"], [" ab", " c"], [None, " c"], ["ab", " c"]):
        found = placed(tokens, [None] + [-1.0] * (len(tokens) - 1), (), "ab c")
        assert found[-1].start == 2
        assert found[0].start == 0
    with pytest.raises(ValueError, match="not those of the text"):
        placed(["ab", " d"], [None, -1.0], (), "ab c")
    assert [token.start for token in placed(["a", "?", "?"], [None, -1.0, -2.0], (0, 1, 1), "aé")] == [0, 1, 1]


def test_a_token_over_the_border_is_scored_with_every_answer() -> None:
    joined = placed(["a", " b", ":x", "y"], [None, -1.0, -2.0, -3.0], (), "a b:xy")
    apart = placed(["a", " b", ":", "z"], [None, -1.0, -0.5, -4.0], (), "a b:z")
    logprobs, characters = scored_behind(4, ("xy", "z"), [joined, apart])
    assert logprobs == [[-2.0, -3.0], [-0.5, -4.0]]
    assert characters == 1


def test_costs_add_up() -> None:
    assert Cost(3, 1, 1) + Cost(2, 2, 1) - Cost(1, 0, 1) == Cost(4, 3, 1)
