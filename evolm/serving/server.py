"""The server of ``evolm serve``: its socket, its life and its end.

The first signal refuses requests that wait, finishes the running batch and ends; the second one breaks that batch off
after the current pass of the model; the third one does not wait for responses that are sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from evolm.artifacts.locations import find_prompt
from evolm.errors import ConfigError, Interrupted
from evolm.export.predictor import saved_prompt
from evolm.extras import extra
from evolm.serving.about import about, summary
from evolm.serving.application import Service, application
from evolm.serving.batches import Batches
from evolm.serving.entrance import is_loopback
from evolm.serving.limits import Limits
from evolm.signals import ENDING, is_ours

with extra("serve"):
    import uvicorn

logger = logging.getLogger("evolm")

HEADERS = [("X-Content-Type-Options", "nosniff")]


@dataclass(frozen=True)
class Place:
    """Where a server listens.

    Attributes:
        host: a name or an address.
        port: 0 = any free one.
    """

    host: str = "127.0.0.1"
    port: int = 8000


def serve(
    prompt: Path,
    place: Place,
    say: Callable[[str], None],
    *,
    n_jobs: int | str = 1,
    use: str = "best",
    model: str | None = None,
    limits: Limits = Limits(),
) -> None:
    """Serve a saved prompt until a signal ends it.

    Args:
        prompt: see :func:`evolm.artifacts.find_prompt`.
        place: where to listen.
        say: called with the sentence that says where, once requests are answered.
        n_jobs, use, model: see :class:`evolm.export.predictor.Predictor`.
        limits: of requests.

    Raises:
        ConfigError: if the place cannot be listened at.
        RunError, ModelError: as for :class:`evolm.export.predictor.Predictor`.
        Interrupted: after a second signal.
    """
    find_prompt(prompt, use)
    with contextlib.closing(bound(place)) as listener, saved_prompt(prompt, n_jobs, use, model) as predictor:
        loopback = is_loopback(listener.getsockname()[0])
        description = about(predictor, use, limits)
        url = _url(place.host, listener.getsockname()[1])

        def listening() -> None:
            say(f"Serving {description['name']!r} ({summary(description)}) at {url}; Ctrl-C ends it.")
            if not loopback:
                say("Every host that reaches this address may ask: there is no password.")

        async def run() -> None:
            service = Service(Batches(predictor, limits), description, limits, loopback)
            await _Server(service, listening).serve(sockets=[listener])

        asyncio.run(run())


def bound(place: Place) -> socket.socket:
    """Return a socket at a place; nothing connects to it before it listens.

    Raises:
        ConfigError: if the host is unknown, or the port is taken.
    """
    where = f"--host {place.host} --port {place.port}"
    try:
        (family, kind, protocol, _, address), *_ = socket.getaddrinfo(
            place.host, place.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        found = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError, OverflowError) as error:
        raise ConfigError(f"{where}: expected a host and a port of this machine: {_reason(error)}") from None
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
    except (OSError, OverflowError) as error:
        found.close()
        raise ConfigError(f"{where}: expected a free port of this machine: {_reason(error)}; try --port 0") from None
    return found


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


class _Server(uvicorn.Server):
    """uvicorn over one service, with evolm's signals.

    Args:
        service: what is served.
        listening: called once requests are answered.
    """

    should_exit: bool  # of uvicorn.Server
    force_exit: bool

    def __init__(self, service: Service, listening: Callable[[], None]) -> None:
        config = uvicorn.Config(
            application(service),
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            headers=HEADERS,
            limit_concurrency=service.limits.connections,
        )
        super().__init__(config)
        self._service, self._listening = service, listening
        self._stopped_by: int | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal; the running batch is finished then.

        Raises:
            Interrupted: after a second signal.
        """
        with self._signals():
            try:
                await super().serve(sockets)
            finally:
                await self._service.batches.close()
        if self._stopped_by is not None:
            raise Interrupted(number=self._stopped_by)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        self._listening()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to :meth:`serve`: uvicorn would end with the signal instead of exit code 0."""
        yield

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Handle signals in the event loop, where nothing else runs meanwhile."""
        loop = asyncio.get_running_loop()
        before = {number: signal.getsignal(number) for number in ENDING if is_ours(number)}
        for number in before:
            loop.add_signal_handler(number, self._end, number)
        try:
            yield
        finally:
            for number, handler in before.items():
                loop.remove_signal_handler(number)
                signal.signal(number, handler)

    def _end(self, number: int) -> None:
        batches = self._service.batches
        if self.should_exit:
            self.force_exit = self._stopped_by is not None
            self._stopped_by = number
            batches.stop(number)
            return
        again = "press Ctrl-C again" if number == signal.SIGINT else "send the signal again"
        logger.warning("Ending after the running requests; %s to end at once.", again)
        self.should_exit = True
        batches.end()
