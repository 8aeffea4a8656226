"""What options' texts are read as, and what a shell completes them to.

A parser raises ``typer.BadParameter``; together with all other wrong usage it becomes one sentence and exit code 2.
"""

from __future__ import annotations

from pathlib import Path

import typer

from evolm.choices import TABLE_ENDINGS
from evolm.errors import RunError


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
