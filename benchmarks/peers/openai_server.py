"""An OpenAI-compatible server over :class:`benchmarks.peers.chat.LocalChat`, on this machine's loopback address."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from benchmarks.peers.chat import LocalChat

NAME = "local"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def do_GET(self) -> None:
        self._send({"object": "list", "data": [{"id": NAME, "object": "model"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        stop = body.get("stop") or ()
        reply = self.server.chat.answer(
            [{"role": each["role"], "content": _plain(each["content"])} for each in body["messages"]],
            body.get("max_completion_tokens") or body.get("max_tokens") or 64,
            body.get("temperature") or 0.0,
            [stop] if isinstance(stop, str) else stop,
        )
        message = {"role": "assistant", "content": reply.text}
        usage = {"prompt_tokens": reply.read, "completion_tokens": reply.written}
        self._send(
            {
                "id": "answer",
                "object": "chat.completion",
                "created": 0,
                "model": NAME,
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {**usage, "total_tokens": sum(usage.values())},
            }
        )

    def _send(self, record: dict[str, Any]) -> None:
        content = json.dumps(record).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        """Log nothing."""


def _plain(content: Any) -> str:
    """Return a message's text, which may come in parts."""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


@contextmanager
def serving(chat: LocalChat) -> Iterator[str]:
    """Serve a model while the context lasts; yields the address of the API."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.chat = chat
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
