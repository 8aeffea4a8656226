"""What every request passes: foreign pages are refused, and one line is logged.

A page of the web may let the browser of a user send requests to this machine. Its requests carry the page's origin; a
page whose name was pointed to the loopback address after it was loaded (DNS rebinding) carries the name as the host.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import quote, urlsplit

from evolm.errors import RequestError
from evolm.wording import counted

logger = logging.getLogger("evolm")

SHOWN = 80  # characters of a path in the log
ROWS = "evolm.rows"  # key of a request's scope: its number of rows

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine's loopback: ``localhost``, or an address such as ``127.0.0.1``."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_source(host: str | None, origin: str | None, loopback: bool) -> None:
    """Refuse a request of a foreign page.

    Args:
        host, origin: headers of the request.
        loopback: whether the server is reached by the loopback alone.

    Raises:
        RequestError: if the host is no name of the loopback, or the origin is not this server's own.
    """
    name = _host(f"//{host}") if host else None
    if loopback and not (name and is_loopback(name)):
        raise RequestError(f"Host: expected a name of this machine's loopback, found {host!r}", 421)
    if origin is not None and (name is None or _netloc(origin) != host):
        raise RequestError(f"Origin: expected no page or one of this server, found {origin!r}", 403)


def _netloc(url: str) -> str | None:
    """Return host and port of an address; None if it is none."""
    try:
        return urlsplit(url).netloc
    except ValueError:
        return None


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


class Logged:
    """Logs a line for each request: method, path, status, rows and milliseconds; no text of a row."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        began, status = time.perf_counter(), 500

        async def noted(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noted)
        finally:
            path = quote(scope["path"], safe="/")[:SHOWN]
            rows = f", {counted(scope[ROWS], 'row')}" if ROWS in scope else ""
            milliseconds = 1000 * (time.perf_counter() - began)
            logger.info("%s %s: %d%s, %.0f ms", scope["method"], path, status, rows, milliseconds)
        return None
