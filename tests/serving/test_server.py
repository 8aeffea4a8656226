"""``evolm serve`` as a real process over the tiny model: its answers are those of ``evolm predict``, to the bit."""

from __future__ import annotations

import json
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pandas as pd
import pytest

from evolm.export.predictor import saved_prompt
from evolm.export.prompt import export_prompt
from evolm.models.served import client
from tests.campaign.test_served_campaign import SMALL
from tests.support import served
from tests.support.command_line import evolm, refused
from tests.support.committees import committee_run
from tests.support.delta_campaigns import changing, write_delta_campaign
from tests.support.kinds_of_campaigns import write_kind
from tests.support.once import SharedFolder
from tests.support.serving import Running, Strike, serving
from tests.support.toy_campaign import write_campaign

pytestmark = pytest.mark.extras
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

TEXTS = ["win a free prize 3", "see you at lunch 8", "claim your cash", "happy birthday"]
ROWS = [{"text": text} for text in TEXTS]
CHOICES = [
    {"q": "who is number 3?", "A": "cat", "B": "dog", "C": "hen"},
    {"q": "who is number 4?", "A": "cow", "B": "pig", "C": "cat"},
]
ENDED, BY_TERM, BY_INT = 0, 143, 130


@pytest.fixture(scope="module")
def run_of(finished_run: Callable[..., Path]) -> Callable[[str], Path]:
    return lambda kind: finished_run(kind, write=write_kind)


@pytest.fixture(scope="module")
def server(run_of: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A classification, at most 3 rows and 4096 bytes a request."""
    folder = tmp_path_factory.mktemp("server")
    with serving(folder, run_of("classification"), "--max-rows", 3, "--max-bytes", 4096) as running:
        yield running


@pytest.fixture(scope="module")
def writer(run_of: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A generation."""
    with serving(tmp_path_factory.mktemp("writer"), run_of("generation")) as running:
        yield running


def predicted(place: Path, rows: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Return what ``evolm predict`` says to rows, in the form of responses."""
    with saved_prompt(place) as prompt:
        frame = pd.DataFrame(prompt.answer(pd.DataFrame(rows)).answers)
    return frame.to_dict("records")


# -- answers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["classification", "chat", "probe readout", "linear readout"])
def test_labels_and_probabilities_are_those_of_predict(
    run_of: Callable[[str], Path], tmp_path: Path, kind: str
) -> None:
    with serving(tmp_path, run_of(kind)) as running:
        answers = running.predict(ROWS)
    expected = predicted(run_of(kind), ROWS)
    assert [answer["label"] for answer in answers] == [row["label"] for row in expected]
    probabilities = [{f"p_{label}": p for label, p in answer["probabilities"].items()} for answer in answers]
    assert probabilities == [{name: p for name, p in row.items() if name != "label"} for row in expected]


@pytest.mark.parametrize("form", ["committee", "hybrid"])
def test_a_committee_and_a_delta_answer_as_predict_does(
    form: str,
    finished_run: Callable[..., Path],
    shared_folder: SharedFolder,
    tiny_model_folder: Path,
    tmp_path: Path,
) -> None:
    if form == "committee":
        run = committee_run(shared_folder, tiny_model_folder) / "run"
    else:
        run = changing(lambda seed: finished_run(form, write=write_delta_campaign, seed=seed))
    with serving(tmp_path, run) as running:
        answers = running.predict(ROWS)
        prompts = running.ask("GET", "/").json()["prompts"]
    assert len(prompts) > 1 if form == "committee" else prompts[0]["delta"]
    expected = predicted(run, ROWS)
    assert [answer["label"] for answer in answers] == [row["label"] for row in expected]
    assert [answer["probabilities"]["ham"] for answer in answers] == [row["p_ham"] for row in expected]


def test_options_are_those_of_predict(run_of: Callable[[str], Path], tmp_path: Path) -> None:
    with serving(tmp_path, run_of("choice")) as running:
        answers = running.predict(CHOICES)
    expected = predicted(run_of("choice"), CHOICES)
    assert [answer["option"] for answer in answers] == [row["label"] for row in expected]
    assert [answer["probabilities"][answer["option"]] for answer in answers] == [row["p"] for row in expected]
    assert [list(answer["probabilities"]) for answer in answers] == [[row[c] for c in "ABC"] for row in CHOICES]


def test_an_exported_prompt_is_served_and_says_that_no_run_is_around_it(
    run_of: Callable[[str], Path], tmp_path: Path
) -> None:
    run = run_of("classification")
    export_prompt(run / "best" / "prompt.json", tmp_path / "exported", without_examples=False)
    with serving(tmp_path, tmp_path / "exported") as running:
        assert [answer["label"] for answer in running.predict(ROWS)] == [row["label"] for row in predicted(run, ROWS)]
        assert running.ask("GET", "/").json()["chosen"] == {"from": "a saved prompt", "use": "best"}


def test_requests_that_wait_are_answered_together_with_the_bits_of_requests_alone(
    run_of: Callable[[str], Path], tmp_path: Path
) -> None:
    with serving(tmp_path, run_of("classification"), strike=Strike(waiting=3)) as running:
        with ThreadPoolExecutor(len(ROWS)) as threads:
            together = list(threads.map(lambda row: running.predict([row]), ROWS))
        alone = [running.predict([row]) for row in ROWS]
        first, second, *others = map(int, re.findall(r"batch of (\d)", running.log()))
        assert (first + second, others) == (len(ROWS), [1] * len(ROWS))
    assert together == alone
    expected = predicted(run_of("classification"), ROWS)
    assert [answer["label"] for (answer,) in together] == [row["label"] for row in expected]


def test_a_row_that_cannot_be_answered_refuses_its_own_request_alone(
    run_of: Callable[[str], Path], tmp_path: Path
) -> None:
    long = [{"text": "win " * 600}]
    with serving(tmp_path, run_of("classification"), strike=Strike(waiting=3)) as running:
        requests = [[ROWS[0]], [ROWS[1]], long, [ROWS[2], *long]]
        with ThreadPoolExecutor(len(requests)) as threads:
            bodies = [{"rows": rows} for rows in requests]
            responses = list(threads.map(lambda body: running.ask("POST", "/predict", body), bodies))
    assert [response.status_code for response in responses] == [200, 200, 422, 422]
    message = "rows: expected rows that the model can be asked about, found longer than the model's context in row 2"
    assert responses[3].json()["error"]["message"] == message


# -- what is served ------------------------------------------------------------------------------------------


def test_a_description_says_what_is_served_and_how_it_was_chosen(
    server: Running, run_of: Callable[[str], Path]
) -> None:
    told = server.ask("GET", "/").json()
    run = run_of("classification")
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    assert told["task"]["columns"] == ["text"]
    assert set(told["task"]["labels"]) == {"ham", "spam"}
    assert told["chosen"]["verdict"] == result["claim"]
    assert told["chosen"]["test"] == result["test"]["best"]
    assert told["prompts"][0]["instruction"]
    assert server.predict([{"text": "..."}]) and told["requests"]["POST /predict"] == {"rows": [{"text": "..."}]}
    assert server.ask("GET", "/health").json() == {"status": "ok", "waiting": 0}
    assert f"Serving {told['name']!r} (classification of text: a prompt with the readout words) at" in server.log()


def test_another_prompt_of_the_run_is_served_if_it_is_named(finished: Path, tmp_path: Path) -> None:
    with serving(tmp_path, finished, "--use", "founder") as running:
        told = running.ask("GET", "/").json()
        answers = running.predict(ROWS)
    assert told["chosen"]["use"] == "founder"
    with saved_prompt(finished, use="founder") as prompt:
        assert told["digest"] == prompt.digest
        assert [answer["label"] for answer in answers] == prompt.predict(pd.DataFrame(ROWS))["label"].tolist()


# -- refusals ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("POST", "/predict", b"{", 400, "expected JSON, found something else"),
        ("POST", "/predict", b"\xff\xfe", 400, "expected JSON in UTF-8"),
        ("POST", "/predict", b'{"rows": [{"text": "\\ud800"}]}', 400, "half of a surrogate pair"),
        ("POST", "/predict", b"[" * 4000, 400, "nested too deeply"),
        ("POST", "/predict", b"[]", 400, "expected a JSON object, found an empty list"),
        ("POST", "/predict", b"", 400, "expected JSON"),
        (
            "POST",
            "/predict",
            b'{"row": []}',
            422,
            "expected an object with the key \"rows\" alone, found the keys 'row'",
        ),
        ("POST", "/predict", b'{"rows": []}', 422, "expected a list of at least one object, found an empty list"),
        ("POST", "/predict", b'{"rows": ["a"]}', 422, "expected an object with the columns in row 1"),
        ("POST", "/predict", b'{"rows": [{"txt": "a"}]}', 422, "expected one column 'text'"),
        ("POST", "/predict", b'{"rows": [{"text": {}}]}', 422, "column 'text', row 1: expected text or a number"),
        ("POST", "/predict", b'{"rows": [{"text": "a"}, {"text": " "}]}', 422, "an empty cell in row 2"),
        ("POST", "/predict", b'{"rows": [{"text": "a"}, {}]}', 422, "an empty cell in row 2"),
        ("POST", "/predict", b'{"rows": [{"text": "a", "text": "b"}]}', 400, "the key 'text' occurs twice"),
        ("POST", "/predict", json.dumps({"rows": ROWS}).encode(), 413, "expected at most 3 rows, found 4"),
        ("POST", "/predict", b" " * 4097, 413, "expected a body of at most 4096 bytes"),
        ("GET", "/predict", None, 405, "expected a method among 'POST' for /predict, found GET"),
        ("POST", "/", b"{}", 405, "expected a method among 'GET', 'HEAD' for /, found POST"),
        ("GET", "/predictions", None, 404, "expected one of the paths '/', '/health', '/predict'"),
        ("POST", "/v1/chat/completions", b"{}", 404, "expected a task of kind 'generation'"),
    ],
)
def test_a_wrong_request_gets_one_sentence_and_its_status(
    server: Running, method: str, path: str, body: bytes | None, status: int, message: str
) -> None:
    response = server.ask(method, path, content=body)
    error = response.json()["error"]
    assert (response.status_code, message in error["message"]) == (status, True), response.text
    assert "Traceback" not in response.text and "\n" not in error["message"]
    assert server.ask("GET", "/health").status_code == 200


def test_a_body_without_a_declared_size_is_bounded_too(server: Running) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(9):
            yield b" " * 1000

    assert server.ask("POST", "/predict", content=chunks()).status_code == 413


def test_a_compressed_body_is_refused(server: Running) -> None:
    response = server.ask("POST", "/predict", content=b"{}", headers={"Content-Encoding": "gzip"})
    assert response.status_code == 415


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example:8000"}, 421),
        ({"Host": "localhost:1"}, 200),
        ({"Host": "[::1]:8000"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "localhost:8000", "Origin": "http://localhost:8001"}, 403),
        ({"Host": "localhost:8000", "Origin": "http://localhost:8000"}, 200),
    ],
)
def test_pages_of_other_sites_cannot_ask(server: Running, headers: dict[str, str], status: int) -> None:
    for method, path, body in (("GET", "/", None), ("POST", "/predict", {"rows": ROWS[:1]})):
        assert server.ask(method, path, body, headers=headers).status_code == status


def test_the_log_has_a_line_for_each_request_and_no_text_of_rows(server: Running) -> None:
    server.predict([{"text": "a secret text"}])
    server.ask("GET", "/%1b[31m%0aforged")
    server.wait_for("/%1B%5B31m%0Aforged: 404")
    assert "POST /predict: 200, 1 row, " in server.log()
    assert "secret" not in server.log() and "\x1b" not in server.log()


def test_too_many_requests_that_wait_are_told_to_come_again(run_of: Callable[[str], Path], tmp_path: Path) -> None:
    never = Strike(waiting=2)
    with serving(tmp_path, run_of("classification"), "--max-waiting", 1, strike=never) as running:
        with ThreadPoolExecutor(2) as threads:
            held = threads.submit(running.ask, "POST", "/predict", {"rows": ROWS})
            running.wait_for("batch of 1")
            waiting = threads.submit(running.ask, "POST", "/predict", {"rows": ROWS})
            while running.ask("GET", "/health").json()["waiting"] < 1:
                pass
            response = running.ask("POST", "/predict", {"rows": ROWS})
            running.process.kill()
        assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
        assert "expected at most 1 requests that wait" in response.json()["error"]["message"]
        for lost in (held, waiting):
            assert isinstance(lost.exception(), httpx2.TransportError)


# -- the end -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_an_idle_server_in_order(run_of: Callable[[str], Path], tmp_path: Path, number: int) -> None:
    with serving(tmp_path, run_of("classification")) as running:
        running.predict(ROWS)
        assert running.end(number) == ENDED
        assert "Traceback" not in running.log()


def test_a_signal_finishes_the_running_request_and_refuses_those_that_wait(
    run_of: Callable[[str], Path], tmp_path: Path
) -> None:
    strike = Strike(waiting=1, signals=[signal.SIGTERM])
    with serving(tmp_path, run_of("classification"), strike=strike) as running:
        with ThreadPoolExecutor(2) as threads:
            first = threads.submit(running.ask, "POST", "/predict", {"rows": ROWS})
            running.wait_for("batch of 1")
            second = threads.submit(running.ask, "POST", "/predict", {"rows": ROWS})
        assert first.result().status_code == 200
        assert second.result().status_code == 503
        running.process.join()
        assert running.process.exitcode == ENDED
    expected = predicted(run_of("classification"), ROWS)
    assert [answer["label"] for answer in first.result().json()["predictions"]] == [row["label"] for row in expected]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, BY_INT), (signal.SIGTERM, BY_TERM)])
def test_a_second_signal_breaks_the_running_request_off(
    run_of: Callable[[str], Path], tmp_path: Path, number: int, code: int
) -> None:
    strike = Strike(signals=[number, number])
    with serving(tmp_path, run_of("classification"), strike=strike) as running:
        assert running.ask("POST", "/predict", {"rows": ROWS}).status_code == 503
        running.process.join()
        assert running.process.exitcode == code
        assert "Stopped." in running.log() and "Traceback" not in running.log()


# -- starting ------------------------------------------------------------------------------------------------


def test_a_place_that_is_taken_or_unknown_is_refused_before_the_model_is_loaded(finished: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused(evolm("serve", finished, "--port", port), f"--port {port}: expected a free port .* try --port 0")
    refused(evolm("serve", finished, "--host", "no.such.host.invalid"), "expected a host and a port of this machine")
    refused(evolm("serve", finished, "--max-rows", 0), "--max-rows: expected a number of at least 1, found 0")
    refused(evolm("serve", finished / "data"), "expected a run, a folder with prompt.json")


def test_the_server_of_a_served_model_is_named_when_it_fails(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "FIRST_PAUSE", 0.001)
    with served.serving(served.Served(tiny_model_folder)) as (name, behaviour):
        run = write_campaign(tmp_path / "toy", name, **SMALL).run(tmp_path / "run").directory
        with serving(tmp_path, run) as running:
            assert [row["label"] for row in running.predict(ROWS)] == [row["label"] for row in predicted(run, ROWS)]
            behaviour.always = 500
            response = running.ask("POST", "/predict", {"rows": [{"text": "never asked before"}]})
            behaviour.always = None
            assert running.predict([{"text": "never asked before"}])
    assert response.status_code == 502
    assert "expected an answer to POST" in response.json()["error"]["message"]


# -- OpenAI's protocol ---------------------------------------------------------------------------------------


def chat(running: Running, content: Any, **more: Any) -> httpx2.Response:
    (model,) = running.ask("GET", "/v1/models").json()["data"]
    body = {"model": model["id"], "messages": [{"role": "user", "content": content}], **more}
    return running.ask("POST", "/v1/chat/completions", body)


def test_a_message_is_a_row_and_the_reply_is_its_text(writer: Running, run_of: Callable[[str], Path]) -> None:
    (expected,) = predicted(run_of("generation"), [{"text": "a cat and 3 more"}])
    (answer,) = writer.predict([{"text": "a cat and 3 more"}])
    assert answer == {"text": expected["output"]}
    for content in ("a cat and 3 more", [{"type": "text", "text": "a cat and 3 more"}]):
        reply = chat(writer, content).json()
        (choice,) = reply["choices"]
        assert choice["message"] == {"role": "assistant", "content": expected["output"], "refusal": None}
        usage = reply["usage"]
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
        assert 0 < usage["completion_tokens"] <= 6 < usage["prompt_tokens"]
        assert choice["finish_reason"] == ("length" if usage["completion_tokens"] == 6 else "stop")


def test_a_reply_can_be_streamed(writer: Running) -> None:
    whole = chat(writer, "a dog and 4 more").json()
    response = chat(writer, "a dog and 4 more", stream=True, stream_options={"include_usage": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    *events, done = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    pieces = [json.loads(event) for event in events]
    assert done == "[DONE]"
    assert pieces[0]["choices"][0]["delta"]["content"] == whole["choices"][0]["message"]["content"]
    assert pieces[1]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert pieces[-1]["usage"] == whole["usage"]


def test_openai_s_own_client_is_answered_and_told_errors(writer: Running) -> None:
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=f"{writer.url}/v1", api_key="none", max_retries=0) as client:
        (model,) = client.models.list().data
        message = {"role": "user", "content": "a hen and 5 more"}
        reply = client.chat.completions.create(model=model.id, messages=[message], temperature=0)
        (expected,) = writer.predict([{"text": "a hen and 5 more"}])
        assert reply.choices[0].message.content == expected["text"]
        events = list(client.chat.completions.create(model=model.id, messages=[message], stream=True))
        assert "".join(e.choices[0].delta.content or "" for e in events) == expected["text"]
        with pytest.raises(openai.BadRequestError, match="temperature: expected 0.0 or none"):
            client.chat.completions.create(model=model.id, messages=[message], temperature=0.5)
        with pytest.raises(openai.NotFoundError, match="model: expected"):
            client.chat.completions.create(model="another", messages=[message])


def test_the_extra_that_is_missing_is_named(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "uvicorn" or "serving.server" in name]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    refused(evolm("serve", finished), r"uvicorn is not installed; try: pip install 'evolm\[serve\]'")
