"""A real ``evolm serve`` in a process of its own, forked so that what is loaded need not be loaded again."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import httpx2

import evolm.cli
from tests.support.processes import FORK

PAUSE = 0.01  # seconds between two looks


@dataclass
class Strike:
    """What happens when the server computes its first batch.

    Attributes:
        waiting: the batch is not computed before so many other requests are in it or wait.
        signals: then sent to the server, one after the other; the batch is computed once all were handled.
    """

    waiting: int = 0
    signals: Sequence[int] = ()


@dataclass
class Running:
    """A server that answers.

    Attributes:
        url: its address.
        process: its process.
        output: file of its standard output and error.
    """

    url: str
    process: BaseProcess
    output: Path

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> httpx2.Response:
        """Send a request over a connection of its own; ``body`` is JSON."""
        with httpx2.Client(base_url=self.url, timeout=None) as client:
            return client.request(method, path, **({} if body is None else {"json": body}), **more)

    def predict(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the answers to rows."""
        response = self.ask("POST", "/predict", {"rows": list(rows)})
        assert response.status_code == 200, response.text
        predictions: list[dict[str, Any]] = response.json()["predictions"]
        return predictions

    def log(self) -> str:
        """Return what it printed so far."""
        return self.output.read_text(encoding="utf-8")

    def wait_for(self, text: str, times: int = 1) -> None:
        """Wait until it has printed a text so often."""
        while self.log().count(text) < times:
            assert self.process.is_alive(), self.log()
            time.sleep(PAUSE)

    def end(self, number: int = signal.SIGTERM) -> int | None:
        """Send a signal, and return the exit code."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)
        self.process.join()
        return self.process.exitcode


@contextmanager
def serving(folder: Path, *arguments: object, strike: Strike | None = None) -> Iterator[Running]:
    """Run ``evolm serve ARGUMENTS --port 0`` until the end of the context.

    Args:
        folder: for the log.
        arguments: a run's directory, and options.
        strike: what happens when the first batch is computed.
    """
    output = folder / "serve.log"
    output.touch()
    given = ["serve", *map(str, arguments), "--port", "0"]
    process = FORK.Process(target=_serve, args=(given, output, strike))
    process.start()
    try:
        while not (found := re.search(r"at (http://\S+);", output.read_text(encoding="utf-8"))):
            assert process.is_alive(), output.read_text(encoding="utf-8")
            time.sleep(PAUSE)
        yield Running(found[1], process, output)
    finally:
        process.kill()
        process.join()


def _serve(arguments: list[str], output: Path, strike: Strike | None) -> None:
    """Be ``evolm serve`` until the end of this process."""
    log = os.open(output, os.O_WRONLY | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.stdout = open(1, "w", buffering=1, closefd=False, encoding="utf-8")  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False, encoding="utf-8")  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    sys.argv = ["evolm", *arguments]
    if strike is not None:
        _prepare(strike)
    code: Any = 0
    try:
        evolm.cli.main()
    except SystemExit as end:
        code = end.code or 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)


def _prepare(strike: Strike) -> None:
    """Let the first batch wait for company and send signals; print the number of requests in every batch."""
    from evolm.serving.batches import Batches

    compute = Batches._compute
    batches: list[int] = []

    def struck(self: Batches, requests: Any) -> Any:
        batches.append(len(requests))
        print(f"batch of {len(requests)}", flush=True)
        if len(batches) == 1:
            while len(requests) - 1 + self.waiting < strike.waiting:
                time.sleep(PAUSE)
            for number in strike.signals:
                os.kill(os.getpid(), number)
                while not self.ending:
                    time.sleep(PAUSE)
            while len(strike.signals) > 1 and self.predictor.engine.stop_signal is None:
                time.sleep(PAUSE)
        return compute(self, requests)

    Batches._compute = struck  # type: ignore[method-assign]
