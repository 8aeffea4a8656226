"""Options, parsers and errors that the verbs of :mod:`evolm.cli` share.

A parser raises ``typer.BadParameter``; together with all other wrong usage it becomes one sentence and exit code 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text
from typer.core import TyperGroup

from evolm.choices import TABLE_ENDINGS
from evolm.errors import EvolmError, Interrupted, RunError
from evolm.signals import exit_code
from evolm.terminal import Console
from evolm.typed import at_home

# -- errors ----------------------------------------------------------------------------------------------------


def print_error(message: str) -> None:
    """Print a sentence to standard error."""
    Console(stderr=True).print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True)


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
        print_error(str(error))
        raise typer.Exit(2) from None
    except OSError as error:  # of a path on the command line, or of a disk that fails
        if error.filename is None:
            raise
        print_error(f"{error.filename}: {error.strerror}")
        raise typer.Exit(2) from None
    except (Interrupted, KeyboardInterrupt) as error:
        # Before a run's directory exists, there is nothing to resume.
        how = f"Go on with: evolm resume {resume}" if resume and RunLayout(resume).journal.exists() else advice
        Console(stderr=True).print(Text(f"Stopped. {how}".rstrip()), soft_wrap=True)
        raise typer.Exit(exit_code(error)) from None


# -- parsers ---------------------------------------------------------------------------------------------------


def names(text: str) -> tuple[str, ...]:
    """Return ``"a, b"`` as ``("a", "b")``."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def jobs(text: str) -> int | str:
    """Return a number of workers, or ``"auto"``."""
    if text == "auto":
        return text
    if not text.isdecimal() or int(text) < 1:
        raise typer.BadParameter(f"expected a number of at least 1 or 'auto', found {text!r}")
    return int(text)


def limit(text: str) -> tuple[str, float]:
    """Return ``"evaluations=100"`` as ``("evaluations", 100.0)``."""
    name, _, value = text.partition("=")
    try:
        return name.strip(), float(value)
    except ValueError:
        raise typer.BadParameter(f"expected limit=number, like evaluations=100, found {text!r}") from None


def new_file(text: str, *endings: str) -> Path:
    """Return the path of a file that does not exist yet, and whose name has one of ``endings``."""
    from evolm.storage.files import require_new

    path = Path(text)
    try:
        require_new(path)
    except RunError as error:
        raise typer.BadParameter(str(error)) from None
    if path.suffix.lower() not in endings:
        known = " or ".join(endings)
        raise typer.BadParameter(f"{text}: expected a name that ends in {known}, found {path.suffix!r}")
    return path


def new_table(text: str) -> Path:
    """Return the path of a table that does not exist yet."""
    return new_file(text, *TABLE_ENDINGS)


def new_comparison(text: str) -> Path:
    """Return the path of a .csv or .json file that does not exist yet."""
    return new_file(text, ".csv", ".json")


def new_record(text: str) -> Path:
    """Return the path of a .json file that does not exist yet."""
    return new_file(text, ".json")


def task_kinds(incomplete: str) -> list[str]:
    """Return the kinds of tasks that a shell may complete ``incomplete`` to."""
    from evolm.tasks import KINDS

    return [name for name in KINDS if name.startswith(incomplete)]


def strategies(incomplete: str) -> list[str]:
    """Return the lists of strategies that a shell may complete ``incomplete`` to."""
    from evolm.strategies import STRATEGIES

    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in STRATEGIES if name.startswith(last)]


# -- options ---------------------------------------------------------------------------------------------------

OutOption = Annotated[Path | None, typer.Option("--out", help="Directory of the run; default: runs/NAME-TIME.")]
JobsOption = Annotated[
    Any, typer.Option("--n-jobs", parser=jobs, metavar="N|auto", help="Worker processes; no result depends on it.")
]
AllowOption = Annotated[
    list[str], typer.Option("--allow", metavar="PACKAGE", help="Package whose code the campaign may use.")
]
SetOption = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change a key, like budget.evaluations=50.")
]
DataRootOption = Annotated[
    list[Path],
    typer.Option(
        "--data-root",
        exists=True,
        file_okay=False,
        help="Folder that data may be read from, beside the campaign's own.",
    ),
]
PopulationArgument = Annotated[
    str, typer.Argument(metavar="POPULATION", help="Folder with a campaign.toml, or the name of a shipped one.")
]
ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="Folder, hub id, .gguf file or package:DIST/FILE.")
]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", help="New place of the model, if it has moved since the run; another model is refused."),
]
ClusterOption = Annotated[
    str,
    typer.Option(
        "--cluster",
        metavar="ADDRESS",
        help="Where answers are computed: dask://HOST:PORT, ray://HOST:PORT, ray or local; no result depends on it.",
    ),
]
TimeLimitOption = Annotated[
    float | None,
    typer.Option(
        "--time-limit",
        metavar="MINUTES",
        help="End the search so early that the verdict is reached in this time; default: to the end of the Slurm "
        "job; 0 = no limit.",
    ),
]
GraceOption = Annotated[
    float | None,
    typer.Option(
        "--grace",
        metavar="SECONDS",
        help="End at once so many seconds after a first signal, although a batch is not finished.",
    ),
]
RunArgument = Annotated[Path, typer.Argument(metavar="DIR", help="Directory of a run.")]
PromptArgument = Annotated[
    Path, typer.Argument(metavar="PROMPT", help="Directory of a run, an exported folder or a prompt.json.")
]
TensorboardOption = Annotated[
    Path | None, typer.Option("--tensorboard", help="Folder for TensorBoard logs; the run gets a subfolder.")
]
MlflowOption = Annotated[str | None, typer.Option("--mlflow", help="MLflow server, database or folder to log to.")]
ReadOption = Annotated[
    list[str],
    typer.Option("--set", metavar="KEY=VALUE", help="How this file is read, like task.read.encoding=cp1252."),
]
NoHeaderOption = Annotated[
    bool, typer.Option("--no-header", help="The first row of the file is a row, and holds no names of columns.")
]
UseOption = Annotated[
    str,
    typer.Option(
        "--use",
        help="Which prompt of a run: best, a baseline like founder or random_search, or, if a committee, a "
        "soup or what learnt once more won, single for the best individual.",
    ),
]
