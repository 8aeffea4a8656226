"""The command line in this process."""

from __future__ import annotations

import logging
import re

from click.testing import Result
from typer.testing import CliRunner

from evolm.cli import app
from evolm.cli.faq import PAGE

HINT = f"see the documentation: {PAGE}#"


def evolm(*arguments: object) -> Result:
    """Run a command; an exception that is not an exit is a bug and fails the test."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    logging.getLogger("evolm").handlers.clear()  # they write to the runner's streams, which are closed
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def refused(result: Result, message: str) -> str:
    """Check that a command refused with one sentence, beside a pointer to the FAQ if it has one, and return it."""
    assert result.exit_code == 2, result.output
    lines = [line for line in result.stderr.splitlines() if line and not line.startswith(HINT)]
    assert len(lines) == 1 and lines[0].startswith("error: "), result.output
    assert re.search(message, lines[0]), lines[0]
    return lines[0]
