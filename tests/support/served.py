"""A real HTTP server that serves the tiny model with OpenAI's protocol, and misbehaves if it is told to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

Json = dict[str, Any]


@dataclass
class Behaviour:
    """What the server can do, and how it fails.

    Attributes:
        routes: that it answers.
        echo: whether a completion gives log-probabilities of the prompt; ``"alike"`` = the same for every token.
        prompt_logprobs: whether it knows vLLM's parameter.
        top_logprobs: whether a chat lists the most likely first tokens.
        listed: most first tokens that it lists, if it lists more than it is asked for.
        key: that it asks for; empty = none.
        failures: of the next requests, one each: a status, ``"drop"``, ``"garbage"`` or ``"slow"``.
        always: a failure of every request.
        noise: nats that are added to a request's log-probabilities, times the number of requests before it.
    """

    routes: tuple[str, ...] = ("models", "completions", "chat/completions")
    echo: bool | str = True
    prompt_logprobs: bool = False
    top_logprobs: bool = True
    listed: int = 0
    key: str = ""
    failures: list[int | str] = field(default_factory=list)
    always: int | str | None = None
    noise: float = 0.0
    requests: list[tuple[str, Json]] = field(default_factory=list)


class Served:
    """The tiny model, asked through plain transformers.

    Args:
        folder: of the model.
    """

    name = "tiny"

    def __init__(self, folder: Path) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.lock = threading.Lock()
        self.known: dict[tuple[int, ...], torch.Tensor] = {}

    def logprobs(self, ids: list[int]) -> torch.Tensor:
        """Return ``(n, vocabulary)`` log-probabilities of the token behind each of ``ids``."""
        with self.lock, torch.inference_mode():
            if tuple(ids) not in self.known:
                logits = self.model(torch.tensor([ids])).logits[0]
                self.known[tuple(ids)] = torch.log_softmax(logits.double(), -1)
            return self.known[tuple(ids)]

    def write(self, ids: list[int], body: Json) -> tuple[list[int], str, str]:
        """Return the tokens, the text and the finish reason of a greedy answer."""
        written: list[int] = []
        for _ in range(body.get("max_tokens", 16)):
            token = int(self.logprobs([*ids, *written])[-1].argmax())
            if token == self.tokenizer.eos_token_id:
                return written, self.tokenizer.decode(written), "stop"
            written.append(token)
            text = self.tokenizer.decode(written)
            cuts = [at for stop in body.get("stop", ()) if (at := text.find(stop)) >= 0]
            if cuts:
                return written, text[: min(cuts)], "stop"
        return written, self.tokenizer.decode(written), "length"

    def completion(self, body: Json, behaviour: Behaviour) -> Json:
        ids = self.tokenizer(body["prompt"]).input_ids
        written, text, reason = self.write(ids, body)
        choice: Json = {"text": text, "finish_reason": reason}
        shift = behaviour.noise * len(behaviour.requests)
        prompt = [float(row[token]) + shift for row, token in zip(self.logprobs(ids), ids[1:], strict=False)]
        if body.get("echo") and behaviour.echo:
            values = prompt if behaviour.echo is True else [-1.5] * len(prompt)
            texts = [self.tokenizer.decode([token]) for token in ids + written]
            given = [None, *values, *(-0.5 for _ in written)]
            choice |= {"text": body["prompt"] + text, "logprobs": {"tokens": texts, "token_logprobs": given}}
        if "prompt_logprobs" in body and behaviour.prompt_logprobs:
            choice["prompt_logprobs"] = [None] + [
                {str(token): {"logprob": value, "rank": 1, "decoded_token": self.tokenizer.decode([token])}}
                for token, value in zip(ids[1:], prompt, strict=True)
            ]
        return self.reply(choice, ids, written)

    def chat(self, body: Json, behaviour: Behaviour) -> Json:
        rendered = self.tokenizer.apply_chat_template(body["messages"], add_generation_prompt=True, tokenize=False)
        ids = self.tokenizer(rendered, add_special_tokens=False).input_ids
        written, text, reason = self.write(ids, body)
        choice: Json = {"message": {"role": "assistant", "content": text}, "finish_reason": reason}
        if body.get("logprobs") and behaviour.top_logprobs:
            values, tokens = self.logprobs(ids)[-1].topk(max(body["top_logprobs"], behaviour.listed))
            top = [
                {"token": self.tokenizer.decode([token]), "logprob": value}
                for token, value in zip(tokens.tolist(), values.tolist(), strict=True)
            ]
            choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
        return self.reply(choice, ids, written)

    def reply(self, choice: Json, ids: list[int], written: list[int]) -> Json:
        usage = {"prompt_tokens": len(ids), "completion_tokens": len(written)}
        return {"model": self.name, "created": int(time.time()), "choices": [choice], "usage": usage}


class Handler(BaseHTTPRequestHandler):
    """Answers one connection; ``server.served`` and ``server.behaviour`` say how."""

    protocol_version = "HTTP/1.1"
    server: Any

    def do_GET(self) -> None:
        self.answer({})

    def do_POST(self) -> None:
        self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def answer(self, body: Json) -> None:
        served, behaviour = self.server.served, self.server.behaviour
        route = self.path.removeprefix("/v1/")
        behaviour.requests.append((route, body))
        failure = behaviour.failures.pop(0) if behaviour.failures else behaviour.always
        if failure == "slow":
            time.sleep(0.3)
        if failure == "drop":
            self.connection.close()
            self.close_connection = True
        elif failure == "garbage":
            self.send(200, b"<html>not JSON</html>")
        elif isinstance(failure, int) and failure != 200:
            self.send(failure, json.dumps({"error": f"told to fail; {self.headers.get('Authorization')}"}).encode())
        elif behaviour.key and self.headers.get("Authorization") != f"Bearer {behaviour.key}":
            self.send(401, json.dumps({"error": f"wrong key: {self.headers.get('Authorization')}"}).encode())
        elif route not in behaviour.routes:
            self.send(404, b'{"error": "no such route"}')
        elif route == "models":
            one = {"id": served.name, "created": int(time.time()), "max_model_len": 512}
            self.send(200, json.dumps({"data": [one]}).encode())
        else:
            answer = served.completion if route == "completions" else served.chat
            self.send(200, json.dumps(answer(body, behaviour)).encode())

    def send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        if status == 429:
            self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *arguments: Any) -> None:
        """Say nothing of connections that a test closed."""


@contextmanager
def serving(served: Served, **behaviour: Any) -> Iterator[tuple[str, Behaviour]]:
    """Yield the model's name in a campaign, and the behaviour, which may be changed."""
    server: Any = _QuietServer(("127.0.0.1", 0), Handler)
    server.served, server.behaviour = served, Behaviour(**behaviour)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"openai:http://127.0.0.1:{server.server_port}/v1", server.behaviour
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
