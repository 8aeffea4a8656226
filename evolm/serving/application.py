"""The routes of ``evolm serve``. Every response is JSON; an error is ``{"error": {"message": ..., "type": ...}}``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evolm.errors import EvolmError, RequestError, ServerError
from evolm.extras import extra
from evolm.models.text_notes import text_notes
from evolm.serving import chat
from evolm.serving.batches import Batches
from evolm.serving.bodies import items_of, object_of, rows_of
from evolm.serving.entrance import ROWS, Logged, check_source
from evolm.serving.limits import Limits
from evolm.wording import listed

with extra("serve"):
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import JSONResponse, Response, StreamingResponse
    from starlette.routing import Route

logger = logging.getLogger("evolm")

CLOSE = {"Connection": "close"}  # what is left of a body is not read


@dataclass(frozen=True)
class Service:
    """What the routes answer with.

    Attributes:
        batches: the queue in front of the prompt.
        description: what is served (:func:`evolm.serving.about.about`).
        limits: of requests.
        loopback: whether it is reached by the loopback alone.
    """

    batches: Batches
    description: Mapping[str, Any]
    limits: Limits
    loopback: bool

    async def describe(self, request: Request) -> Response:
        """``GET /``: what is served."""
        return JSONResponse(self.description)

    async def health(self, request: Request) -> Response:
        """``GET /health``: whether requests are answered."""
        if self.batches.ending:
            return JSONResponse({"status": "ending", "waiting": 0}, 503)
        return JSONResponse({"status": "ok", "waiting": self.batches.waiting})

    async def models(self, request: Request) -> Response:
        """``GET /v1/models``: the served prompt as OpenAI's clients list it."""
        return JSONResponse(chat.models(self.description["name"]))

    async def predict(self, request: Request) -> Response:
        """``POST /predict``: an answer to each row."""
        predictor = self.batches.predictor
        rows = rows_of(object_of(await self._body(request)), self.limits)
        request.scope[ROWS] = len(rows)
        items = items_of(rows, predictor.config.task)
        answers = await self.batches.answer(items)
        notes = text_notes(predictor.model, (item.text for item in items))
        return JSONResponse({"predictions": [answer.record for answer in answers], "notes": list(notes)})

    async def complete(self, request: Request) -> Response:
        """``POST /v1/chat/completions``: the text for the row in the only message."""
        config, name = self.batches.predictor.config, self.description["name"]
        asked = chat.read_chat(object_of(await self._body(request)), config, name)
        request.scope[ROWS] = 1
        (answer,) = await self.batches.answer(items_of([asked.row], config.task))
        if not asked.stream:
            return JSONResponse(chat.completion(answer, name))
        return StreamingResponse(chat.events(answer, name, asked.usage), media_type="text/event-stream")

    async def _body(self, request: Request) -> bytes:
        """Return the body of a request.

        Raises:
            RequestError: if it is too large, compressed, or not sent in time.
        """
        coding = request.headers.get("content-encoding", "identity")
        if coding != "identity":
            raise RequestError(f"Content-Encoding: expected none, found {coding!r}", 415, CLOSE)
        declared = request.headers.get("content-length", "0")
        body = b""
        try:
            async with asyncio.timeout(self.limits.patience):
                if declared.isdecimal() and int(declared) <= self.limits.body:
                    chunks = request.stream()
                    while len(body) <= self.limits.body and (chunk := await anext(chunks, b"")):
                        body += chunk
                    if len(body) <= self.limits.body:
                        return body
        except TimeoutError:
            raise RequestError(
                f"expected the request within {self.limits.patience:g} seconds, found a part of it", 408, CLOSE
            ) from None
        raise RequestError(f"expected a body of at most {self.limits.body} bytes, found a larger one", 413, CLOSE)


class Guarded:
    """Refuses requests of foreign pages before any route sees them."""

    def __init__(self, app: Any, loopback: bool) -> None:
        self.app, self.loopback = app, loopback

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] == "http":
            headers = Request(scope).headers
            try:
                check_source(headers.get("host"), headers.get("origin"), self.loopback)
            except RequestError as error:
                return await _refused(error)(scope, receive, send)
        await self.app(scope, receive, send)
        return None


def application(service: Service) -> Starlette:
    """Return the application of a service."""
    routes = [
        Route("/", service.describe, methods=["GET"]),
        Route("/health", service.health, methods=["GET"]),
        Route("/predict", service.predict, methods=["POST"]),
        Route("/v1/models", service.models, methods=["GET"]),
        Route("/v1/chat/completions", service.complete, methods=["POST"]),
    ]
    paths = [route.path for route in routes]

    async def unknown(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        headers = dict(error.headers or {})
        if error.status_code == 405:
            methods = sorted(headers.get("Allow", "").split(", "))  # starlette keeps a set
            message = f"expected a method among {listed(methods)} for {request.url.path}, found {request.method}"
        else:
            message = f"expected one of the paths {listed(paths)}, found {request.url.path[:80]!r}"
        return _refused(RequestError(message, error.status_code, headers))

    return Starlette(
        routes=routes,
        middleware=[Middleware(Logged), Middleware(Guarded, loopback=service.loopback)],
        exception_handlers={
            HTTPException: unknown,
            EvolmError: _failed,
            ClientDisconnect: _gone,
            Exception: _broken,
        },
    )


async def _failed(request: Request, error: Exception) -> Response:
    """Answer with an error's own sentence."""
    if isinstance(error, RequestError):
        return _refused(error)
    logger.error("%s: %s", type(error).__name__, error)
    return _refused(RequestError(str(error), 502 if isinstance(error, ServerError) else 500))


async def _gone(request: Request, error: Exception) -> Response:
    """Answer a client that gave up while it sent its request; it does not get the answer."""
    return _refused(RequestError("expected the whole request, found a part of it", 400, CLOSE))


async def _broken(request: Request, error: Exception) -> Response:
    """Answer for a defect of evolm; the log has the traceback."""
    return _refused(RequestError("expected an answer, found a defect of the server; its log has the traceback", 500))


def _refused(error: RequestError) -> Response:
    kind = "invalid_request_error" if error.status < 500 else "server_error"
    record = {"message": str(error), "type": kind, "param": None, "code": None}
    return JSONResponse({"error": record}, error.status, error.headers)
