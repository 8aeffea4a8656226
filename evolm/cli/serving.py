"""The verb ``serve``."""

from __future__ import annotations

import logging
from typing import Annotated

import typer
from rich.text import Text

from evolm.cli.errors import one_sentence
from evolm.cli.options import JobsOption, ModelOption, PromptArgument, UseOption
from evolm.terminal import Console, without_controls


class _LineFormatter(logging.Formatter):
    """Shows the time, and control characters as escapes, also in what is no terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return without_controls(super().format(record))


def serve(
    prompt: PromptArgument,
    host: Annotated[
        str, typer.Option(help="Name or address to listen at; another one than the loopback is open to the network.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at; 0 = any free one.")] = 8000,
    use: UseOption = "best",
    n_jobs: JobsOption = "1",
    model: ModelOption = None,
    max_rows: Annotated[int, typer.Option("--max-rows", help="Most rows of a request.")] = 256,
    max_bytes: Annotated[int, typer.Option("--max-bytes", help="Largest request.")] = 2**20,
    max_waiting: Annotated[
        int, typer.Option("--max-waiting", help="Requests that wait; further ones get status 503.")
    ] = 64,
) -> None:
    """Serve a saved prompt over HTTP. Answers POST /predict, and OpenAI's chat completions for generated texts.

    GET / says what is served. Ctrl-C ends it after the running requests; it needs the extra: serve.
    """
    from evolm.progress_view import log_to
    from evolm.serving.limits import Limits

    console = Console(stderr=True)
    with one_sentence():
        limits = Limits(max_rows, max_bytes, max_waiting)
        from evolm.serving.server import Place
        from evolm.serving.server import serve as run

        log_to(console)
        _log_as_a_server()
        run(
            prompt,
            Place(host, port),
            lambda sentence: Console().print(Text(sentence), soft_wrap=True),
            n_jobs=n_jobs,
            use=use,
            model=model,
            limits=limits,
        )


def _log_as_a_server() -> None:
    """Give every line of the log its time, and let uvicorn's errors be told there."""
    handlers = logging.getLogger("evolm").handlers
    for handler in handlers:
        handler.setFormatter(_LineFormatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    errors = logging.getLogger("uvicorn.error")
    errors.handlers[:], errors.propagate = handlers, False
    errors.setLevel(logging.WARNING)
