"""The HTTP client: sends a request, and sends it again if the server is busy, broken or gone for a moment.

The key comes from the environment and leaves this module in no other way than in the request's header: it is replaced
in every text of the server that a message quotes.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import httpx2

from evolm.config import ModelSection
from evolm.errors import ServerError
from evolm.models.served.names import address

Read = TypeVar("Read")

BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504})  # statuses after which a request is sent again
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds; each pause is twice the one before
PROBES = 1  # repetitions of a request that only finds out whether the server knows it
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class Client:
    """Asks one server about one model.

    Args:
        section: ``[model]``: name, key variable, timeout, retries, concurrency.

    Raises:
        ConfigError: if its name holds no address, or a password.
    """

    def __init__(self, section: ModelSection) -> None:
        self.name = section.name
        self.retries = section.retries
        self._variable = section.key_variable
        self._secret = os.environ.get(section.key_variable, "").strip()
        self._jitter = random.Random()  # apart from the campaign's own randomness
        self._http = httpx2.Client(
            base_url=address(section.name),
            headers={"Authorization": f"Bearer {self._secret}"} if self._secret else {},
            timeout=section.timeout_seconds,
            limits=httpx2.Limits(max_connections=section.concurrency),
        )

    def get(self, path: str, read: Callable[[Any], Read], retries: int | None = None) -> Read:
        """Return what ``read`` makes of the JSON at a path; see :meth:`post`."""
        return self._send("GET", path, None, read, retries)

    def post(
        self, path: str, body: Mapping[str, Any], read: Callable[[Any], Read], retries: int | None = None
    ) -> Read:
        """Send a request until it is answered.

        Args:
            path: behind the server's address.
            body: JSON.
            read: turns the answer's JSON into what is wanted; raises ValueError, TypeError or LookupError if the
                answer does not follow the protocol.
            retries: how often a request is repeated; None = as the campaign says.

        Raises:
            ServerError: if the server refuses the request, or all repetitions failed.
        """
        return self._send("POST", path, body, read, retries)

    def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None, read: Callable[[Any], Read], retries: int | None
    ) -> Read:
        tries = 1 + (self.retries if retries is None else retries)
        problem, status, asked_pause = "", None, 0.0
        for attempt in range(tries):
            if attempt:
                time.sleep(max(asked_pause, self._pause(attempt)))
            status, asked_pause = None, 0.0
            try:
                response = self._http.request(method, path, json=body)
            except httpx2.TransportError as error:
                problem = f"{type(error).__name__} ({self._shown(str(error)) or 'no reason given'})"
                continue
            status = response.status_code
            if status != 200:
                problem = f"status {status} ({self._shown(response.text) or 'no reason given'})"
                if status not in BUSY:
                    break
                asked_pause = _seconds(response.headers.get("Retry-After", ""))
                continue
            try:
                return read(response.json())
            except (ValueError, TypeError, LookupError):
                problem = f"an answer that does not follow the protocol ({self._shown(response.text)})"
        times = (
            f" after {tries} attempts" if tries > 1 and (status is None or status == 200 or status in BUSY) else ""
        )
        raise ServerError(
            f"model {self.name!r}: expected an answer to {method} {path}, found {problem}{times}{self._hint(status)}",
            status,
            problem,
        )

    def _pause(self, attempt: int) -> float:
        """Return seconds to wait before a repetition, between half and all of a time that doubles."""
        longest = min(FIRST_PAUSE * 2 ** (attempt - 1), LONGEST_PAUSE)
        return longest * self._jitter.uniform(0.5, 1.0)

    def _hint(self, status: int | None) -> str:
        if status in (401, 403):
            held = "holds a key that the server refuses" if self._secret else "is not set"
            return f"; the environment variable {self._variable} {held}"
        return ""

    def _shown(self, text: str) -> str:
        """Return the beginning of a server's text for a message: without the key and control characters."""
        text = text.replace(self._secret, "***") if self._secret else text
        return " ".join(_CONTROL.sub(" ", text).split())[:200]


def _seconds(header: str) -> float:
    """Return the seconds of a ``Retry-After`` header, bounded; 0 for a date or nothing."""
    try:
        return min(max(float(header), 0.0), LONGEST_PAUSE)
    except ValueError:
        return 0.0
