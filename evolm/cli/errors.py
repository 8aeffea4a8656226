"""Errors of the command line: each is one sentence and an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.text import Text
from typer.core import TyperGroup

from evolm.cli.faq import hint
from evolm.errors import EvolmError, Interrupted
from evolm.signals import exit_code
from evolm.terminal import Console
from evolm.typed import at_home
from evolm.wording import shell_word


def print_error(message: str, hint: str = "") -> None:
    """Print a sentence to standard error and, on a line of its own, where to read more."""
    console = Console(stderr=True)
    console.print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True)
    if hint:
        console.print(Text(hint), soft_wrap=True)


class OneSentenceGroup(TyperGroup):
    """Commands whose wrong usage is one sentence, like every other error that a user can cause."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Read the arguments; ``~`` at the beginning of one is the home folder, also after ``--out=``.

        Raises:
            typer.Exit: with code 2 after a wrong option before the command's name.
        """
        expanded = list(map(_at_home, args))
        try:
            return super().make_context(info_name, list(expanded), parent, **extra)
        except typer.TyperException as error:
            if not expanded:  # the help is printed
                raise
            print_error(f"{error.format_message().rstrip('.')}; see evolm --help")
            raise typer.Exit(2) from None

    def invoke(self, ctx: Any) -> Any:
        """Run a command; print wrong usage as one sentence.

        Raises:
            typer.Exit: with code 2 after wrong usage.
        """
        try:
            return super().invoke(ctx)
        except typer.TyperException as error:  # wrong usage; typer's own form takes three lines
            message = error.format_message().replace("Value error, ", "").rstrip(".")
            known = ctx.invoked_subcommand in self.commands
            print_error(f"{message}; see {' '.join(['evolm', *([ctx.invoked_subcommand] if known else [])])} --help")
            raise typer.Exit(2) from None
        except KeyboardInterrupt as error:  # while the command's modules were imported
            raise typer.Exit(exit_code(error)) from None


def _at_home(argument: str) -> str:
    option, equals, value = argument.partition("=")
    return f"{option}={at_home(value)}" if option.startswith("--") and equals else at_home(argument)


@contextmanager
def one_sentence(resume: Path | None = None, advice: str = "") -> Iterator[None]:
    """Print evolm's errors as one sentence and exit with code 2; after a signal, with 128 and its number.

    Args:
        resume: the run that can be resumed after a signal, if it exists by then.
        advice: printed after a signal if there is no such run.
    """
    from evolm.storage import RunLayout

    try:
        yield
    except EvolmError as error:
        print_error(str(error), hint(error))
        raise typer.Exit(2) from None
    except OSError as error:  # of a path on the command line, or of a disk that fails
        if error.filename is None:
            raise
        print_error(f"{error.filename}: {error.strerror}")
        raise typer.Exit(2) from None
    except (Interrupted, KeyboardInterrupt) as error:
        # Before a run's directory exists, there is nothing to resume.
        begun = resume and RunLayout(resume).journal.exists()
        how = f"Go on with: evolm resume {shell_word(resume)}" if begun else advice
        Console(stderr=True).print(Text(f"Stopped. {how}".rstrip()), soft_wrap=True)
        raise typer.Exit(exit_code(error)) from None
