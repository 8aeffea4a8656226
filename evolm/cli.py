"""The command line: run, resume, report, predict.

Errors that a user can mend are one sentence and exit code 2; an interrupted campaign exits with 130.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from evolm.errors import ConfigError, EvolmError, Interrupted, RunError

app = typer.Typer(
    name="evolm",
    help="Evolve prompts and weights of small local language models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

OutOption = Annotated[Path | None, typer.Option("--out", help="Directory of the run; runs/NAME-TIME by default.")]
JobsOption = Annotated[str | None, typer.Option("--n-jobs", help="Worker processes; no result depends on it.")]
AllowOption = Annotated[list[str], typer.Option("--allow", help="Package whose code the campaign may name.")]
PopulationArgument = Annotated[
    str, typer.Argument(metavar="POPULATION", help="Folder with a campaign.toml, or the name of a shipped one.")
]
RunArgument = Annotated[Path, typer.Argument(metavar="DIR", help="Directory of a run.")]


@contextmanager
def one_sentence(resume: Path | None = None) -> Iterator[None]:
    """Turn our errors into one sentence and an exit code."""
    error_console = Console(stderr=True)
    try:
        yield
    except EvolmError as error:
        error_console.print(Text.assemble(("error: ", "bold red"), str(error)), soft_wrap=True)
        raise typer.Exit(2) from None
    except (Interrupted, KeyboardInterrupt):
        # Before a run's directory exists there is nothing to go on with.
        how = f"Go on with: evolm resume {resume}" if resume and (resume / "journal.jsonl").exists() else ""
        error_console.print(Text(f"Stopped. {how}".rstrip()), soft_wrap=True)
        raise typer.Exit(130) from None


@app.command()
def run(
    population: Annotated[
        str, typer.Argument(metavar="POPULATION", help="Folder with a campaign.toml, or the name of a shipped one.")
    ],
    out: OutOption = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the search.")] = None,
    n_jobs: JobsOption = None,
    assignments: Annotated[list[str], typer.Option("--set", help="key=value, like budget.evaluations=50.")] = [],
    founder: Annotated[list[str], typer.Option(help="An instruction to start from, beside the others.")] = [],
    allow: AllowOption = [],
    data_root: Annotated[list[Path], typer.Option(help="Folder that data may be read from.")] = [],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, score one batch, estimate.")] = False,
) -> None:
    """Run a campaign: evolve, compare with its baselines, judge on the test split."""
    from evolm import config as configuration
    from evolm.campaign import Permissions, build, start_run
    from evolm.campaign.preview import preview
    from evolm.live import LiveView, log_to
    from evolm.populations import find_population

    console = Console()
    log_to(console)
    with one_sentence():
        folder = find_population(population)
        overrides = configuration.parse_assignments(assignments)
        if seed is not None:
            overrides["seed"] = seed
        if n_jobs is not None:
            overrides = configuration.overlay(overrides, {"evaluation": {"n_jobs": _jobs(n_jobs)}})
        config = configuration.load(folder / configuration.FILE_NAME, overrides)
        if not config.name:
            config = config.model_copy(update={"name": folder.resolve().name})
        permissions = Permissions(tuple(allow), tuple(data_root), "data" in overrides.get("task", {}))
        if dry_run:
            preview(build(config, folder, permissions=permissions, instructions=founder), console)
            return
        out = out or Path("runs") / f"{_file_name(config.name)}-{datetime.now():%Y%m%d-%H%M%S}"
    with one_sentence(resume=out):
        view = LiveView(console)
        try:
            finished = start_run(config, folder, out, permissions=permissions, observers=[view], instructions=founder)
        finally:
            view.close()
        _conclude(finished.directory, console)


@app.command()
def resume(
    directory: RunArgument,
    add: Annotated[list[str], typer.Option(help="Raise a limit, like evaluations=100.")] = [],
    n_jobs: JobsOption = None,
    allow: AllowOption = [],
) -> None:
    """Go on with an interrupted run, or add to the budget of a finished one."""
    from evolm.campaign import Permissions, continue_run
    from evolm.live import LiveView, log_to

    console = Console()
    log_to(console)
    with one_sentence(resume=directory):
        more = dict(_limit(text) for text in add)
        jobs = None if n_jobs is None else _jobs(n_jobs)
        view = LiveView(console)
        try:
            finished = continue_run(
                directory, add=more, n_jobs=jobs, permissions=Permissions(tuple(allow)), observers=[view]
            )
        finally:
            view.close()
        _conclude(finished.directory, console)


@app.command()
def report(directory: RunArgument) -> None:
    """Write report.html anew and show the summary."""
    from evolm.report import write_report

    with one_sentence():
        write_report(directory)
        _conclude(directory, Console())


@app.command()
def predict(
    directory: RunArgument,
    rows: Annotated[str, typer.Argument(metavar="INPUT", help="File with the task's columns; no label needed.")],
    out: Annotated[Path, typer.Option("--out", help="CSV to write.")],
    n_jobs: JobsOption = None,
    use: Annotated[str, typer.Option("--use", help="best, or a baseline: founder, random_search ...")] = "best",
) -> None:
    """Apply a run's best prompt to new rows: their labels, with probabilities."""
    from evolm.campaign.runs import predictor
    from evolm.storage import write_atomically

    with one_sentence():
        if out.exists():
            raise RunError(f"{out}: expected a new file, found an existing one")
        jobs = _jobs(n_jobs or "1")
        with predictor(directory, jobs, use) as opened:
            frame = opened.predict(rows)
        write_atomically(out, frame.to_csv(index=False))
        Console().print(Text(f"{len(frame)} rows written to {out}"), soft_wrap=True)


def _conclude(directory: Path, console: Console) -> None:
    from evolm.report import render_summary

    console.print(render_summary(directory))
    best = directory / "best" / "prompt.txt"
    if best.exists():
        console.print(Text(f"Best prompt: {best}"), soft_wrap=True)
    console.print(Text(f"Report: {directory / 'report.html'}"), soft_wrap=True)


def _limit(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name.strip(), float(value)
    except ValueError:
        raise ConfigError(f"--add {text!r}: expected limit=number, like evaluations=100") from None


def _jobs(text: str) -> int | str:
    if text == "auto":
        return text
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"--n-jobs: expected a number of at least 1 or 'auto', found {text!r}")
    return int(text)


def _file_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-") or "campaign"


def main() -> None:
    """Entry point of the ``evolm`` command."""
    app(prog_name="evolm")


if __name__ == "__main__":
    main()
