"""The command line: init, tune, run, resume, report, compare, sweep, predict, score, export, schema.

Errors that a user can mend are one sentence and exit code 2; an interrupted campaign exits with 130.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from evolm import __version__
from evolm.errors import ConfigError, EvolmError, Interrupted, RunError

if TYPE_CHECKING:
    from evolm.campaign import Observer

app = typer.Typer(
    name="evolm",
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
PromptArgument = Annotated[
    Path, typer.Argument(metavar="PROMPT", help="Directory of a run, an exported folder or a prompt.json.")
]
TensorboardOption = Annotated[
    Path | None, typer.Option("--tensorboard", help="Folder of TensorBoard's logs; the run's lie below, by its name.")
]
MlflowOption = Annotated[str | None, typer.Option("--mlflow", help="MLflow's server, database or folder to log to.")]
UseOption = Annotated[str, typer.Option("--use", help="Of a run: best, or a baseline: founder, random_search ...")]


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"evolm {__version__}")
        raise typer.Exit


VersionOption = Annotated[
    bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
]


@app.callback()
def evolm(version: VersionOption = False) -> None:
    """Evolve prompts and weights of small local language models."""


@contextmanager
def one_sentence(resume: Path | None = None, advice: str = "") -> Iterator[None]:
    """Turn our errors into one sentence and an exit code.

    Args:
        resume: a run that can be resumed after Ctrl-C, if it exists by then.
        advice: what to say after Ctrl-C where there is none.
    """
    from evolm.storage import RunLayout

    error_console = Console(stderr=True)
    try:
        yield
    except EvolmError as error:
        error_console.print(Text.assemble(("error: ", "bold red"), str(error)), soft_wrap=True)
        raise typer.Exit(2) from None
    except (Interrupted, KeyboardInterrupt):
        # Before a run's directory exists there is nothing to go on with.
        how = f"Go on with: evolm resume {resume}" if resume and RunLayout(resume).journal.exists() else advice
        error_console.print(Text(f"Stopped. {how}".rstrip()), soft_wrap=True)
        raise typer.Exit(130) from None


def _say_loading() -> None:
    """Tell a person at a terminal what the first seconds are spent on."""
    console = Console(stderr=True)
    if console.is_terminal:
        console.print(Text("Loading torch and transformers ...", style="dim"))


@app.command()
def init(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="File of rows (.csv, .tsv, .jsonl, .parquet), or package:DIST/FILE.")
    ],
    out: Annotated[Path | None, typer.Option("--out", help="Folder to write; the data's own by default.")] = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy the data into that folder.")] = False,
    model: Annotated[
        str | None, typer.Option(help="Folder, hub id, .gguf file or package:DIST/FILE; SmolLM2-135M by default.")
    ] = None,
    kind: Annotated[str, typer.Option(help="classification, choice or generation; guessed by default.")] = "",
    label: Annotated[str, typer.Option(help="Column of the right answers.")] = "",
    labels: Annotated[str, typer.Option(help="Words of a classification without such a column: a,b.")] = "",
    no_label: Annotated[bool, typer.Option("--no-label", help="There is no column of right answers.")] = False,
    text: Annotated[list[str], typer.Option(help="Column that the model reads; may be repeated.")] = [],
    options: Annotated[str, typer.Option(help="Column of a choice task's options, or several: A,B,C.")] = "",
    assignments: Annotated[list[str], typer.Option("--set", help="key=value, over any guess.")] = [],
) -> None:
    """Look at a data file and write a commented campaign.toml and first founders that run as they are."""
    from evolm.config import parse_assignments
    from evolm.scaffold import MODEL, Hints, sentences, write_campaign

    with one_sentence():
        wishes = Hints(kind, label, _listed(labels), tuple(text), _listed(options), no_label)
        folder, draft = write_campaign(data, out, wishes, model or MODEL, parse_assignments(assignments), copy)
    for sentence in sentences(draft, folder):
        Console().print(Text(sentence), soft_wrap=True)


@app.command()
def schema() -> None:
    """Print the JSON Schema of campaign.toml."""
    from evolm.schema import campaign_schema

    typer.echo(json.dumps(campaign_schema(), indent=2, ensure_ascii=False))


@app.command()
def tune(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Folder, hub id, .gguf file or package:DIST/FILE.")],
    dtype: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    prompt_tokens: Annotated[int, typer.Option(min=1, help="Length of the prompts that are tried.")] = 200,
    item_tokens: Annotated[int, typer.Option(min=1, help="Length of the items, on average.")] = 25,
    rounds: Annotated[int, typer.Option(min=1, help="Timed passes of each size.")] = 5,
) -> None:
    """Measure which size of forward passes is fastest on this machine, and print the lines for campaign.toml."""
    _say_loading()
    from evolm.evaluation.tuning import Workload
    from evolm.tune import tuned

    with one_sentence():
        for line in tuned(model, dtype, Workload(prompt_tokens=prompt_tokens, item_tokens=item_tokens), rounds):
            Console().print(line)


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
    warm_start: Annotated[
        list[str], typer.Option(help="A run or founding population whose best to start from, beside the others.")
    ] = [],
    allow: AllowOption = [],
    data_root: Annotated[list[Path], typer.Option(help="Folder that data may be read from.")] = [],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, score one batch, estimate.")] = False,
    tensorboard: TensorboardOption = None,
    mlflow: MlflowOption = None,
) -> None:
    """Run a campaign: evolve, compare with its baselines, judge on the test split."""
    from evolm import config as configuration
    from evolm.founders.populations import find_population

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

    _say_loading()
    from evolm.campaign import Permissions, build, start_run
    from evolm.campaign.preview import preview
    from evolm.founders.sources import find_source
    from evolm.progress_view import ProgressView, log_to

    console = Console()
    log_to(console)
    with one_sentence():
        permissions = Permissions(tuple(allow), tuple(data_root), "data" in overrides.get("task", {}))
        warm = [find_source(name, trusted=True) for name in warm_start]
        if dry_run:
            parts = build(config, folder, permissions=permissions, instructions=founder, warm_starts=warm)
            preview(parts, console)
            return
        out = out or Path("runs") / f"{_file_name(config.name)}-{datetime.now():%Y%m%d-%H%M%S}"
    with one_sentence(resume=out):
        trackers = _trackers(out, tensorboard, mlflow)
        view = ProgressView(console)
        try:
            finished = start_run(
                config,
                folder,
                out,
                permissions=permissions,
                observers=[view, *trackers],
                instructions=founder,
                warm_starts=warm,
            )
        finally:
            view.close()
        _conclude(finished.directory, console)


@app.command()
def resume(
    directory: RunArgument,
    add: Annotated[list[str], typer.Option(help="Raise a limit, like evaluations=100.")] = [],
    n_jobs: JobsOption = None,
    allow: AllowOption = [],
    tensorboard: TensorboardOption = None,
    mlflow: MlflowOption = None,
) -> None:
    """Go on with an interrupted run, or add to the budget of a finished one."""
    from evolm.storage.layout import RunLayout

    with one_sentence():
        more = dict(_limit(text) for text in add)
        jobs = None if n_jobs is None else _jobs(n_jobs)
        RunLayout(directory).require_run()

    _say_loading()
    from evolm.campaign import Permissions, continue_run
    from evolm.progress_view import ProgressView, log_to

    console = Console()
    log_to(console)
    with one_sentence(resume=directory):
        trackers = _trackers(directory, tensorboard, mlflow)
        view = ProgressView(console)
        try:
            finished = continue_run(
                directory,
                add=more,
                n_jobs=jobs,
                permissions=Permissions(tuple(allow)),
                observers=[view, *trackers],
            )
        finally:
            view.close()
        _conclude(finished.directory, console)


@app.command()
def report(directory: RunArgument) -> None:
    """Write report.html anew and show the summary."""
    from evolm.storage.layout import RunLayout

    with one_sentence():
        RunLayout(directory).require_journal()  # before pandas and matplotlib are imported
        from evolm.report import write_report

        write_report(directory)
        _conclude(directory, Console())


@app.command()
def compare(
    directories: Annotated[list[Path], typer.Argument(metavar="DIR", help="Directories of runs, or of sweeps.")],
    out: Annotated[Path | None, typer.Option("--out", help="Write the result to a new .csv or .json file.")] = None,
) -> None:
    """Compare finished runs that differ in more than the seed: test scores, differences, intervals, p-values."""
    from evolm.experiments.comparison import compare_runs
    from evolm.report.comparison import difference_frame, render_comparison
    from evolm.storage import write_atomically

    with one_sentence():
        if out is not None:
            _require_new(out)
            if out.suffix not in (".csv", ".json"):
                raise ConfigError(f"--out {out}: expected a name that ends in .csv or .json, found {out.suffix!r}")
        record = compare_runs(directories).to_record()
        Console().print(render_comparison(record))
        if out is not None:
            as_json = json.dumps(record, ensure_ascii=False, indent=2) + "\n"
            write_atomically(out, as_json if out.suffix == ".json" else difference_frame(record).to_csv(index=False))
            Console().print(Text(f"Written to {out}"), soft_wrap=True)


@app.command()
def sweep(
    population: PopulationArgument,
    strategy: Annotated[str, typer.Option(help="Strategies to compare, like genetic,random_search.")],
    seeds: Annotated[int, typer.Option(help="How many seeds each.", min=1)] = 5,
    first_seed: Annotated[int, typer.Option(help="The first of them.")] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", help="The sweep's directory; runs/NAME-sweep by default.")
    ] = None,
    assignments: Annotated[list[str], typer.Option("--set", help="key=value, like budget.evaluations=50.")] = [],
    n_jobs: JobsOption = None,
    allow: AllowOption = [],
    data_root: Annotated[list[Path], typer.Option(help="Folder that data may be read from.")] = [],
) -> None:
    """Run several strategies with several seeds each and compare them; the same command goes on where it stopped."""
    from evolm import config as configuration
    from evolm.founders.populations import find_population

    with one_sentence():
        folder = find_population(population)
        overrides = configuration.parse_assignments(assignments)
        if n_jobs is not None:
            overrides = configuration.overlay(overrides, {"evaluation": {"n_jobs": _jobs(n_jobs)}})
        name = configuration.load(folder / configuration.FILE_NAME, overrides).name or folder.resolve().name

    from evolm.campaign import Permissions
    from evolm.experiments.sweep import plan_sweep, run_sweep, strategy_variants
    from evolm.progress_view import ProgressView, log_to
    from evolm.report.comparison import render_comparison

    console = Console()
    log_to(console)
    with one_sentence(advice="The same command goes on with the sweep."):
        permissions = Permissions(tuple(allow), tuple(data_root), "data" in overrides.get("task", {}))
        out = out or Path("runs") / f"{_file_name(name)}-sweep"
        variants = strategy_variants(_listed(strategy))
        planned = plan_sweep(folder, out, variants, range(first_seed, first_seed + seeds), overrides, permissions)
        comparison = run_sweep(planned, lambda: closing(ProgressView(console)))
        console.print(render_comparison(comparison.to_record()))
        console.print(Text(f"Tables and plot: {out / 'sweep.*'}"), soft_wrap=True)


@app.command()
def predict(
    prompt: PromptArgument,
    rows: Annotated[str, typer.Argument(metavar="INPUT", help="File with the task's columns; no label needed.")],
    out: Annotated[Path, typer.Option("--out", help="CSV to write.")],
    n_jobs: JobsOption = None,
    use: UseOption = "best",
) -> None:
    """Apply a saved prompt to new rows: labels or options with their probabilities, or written texts."""
    from evolm.export.predictor import saved_prompt
    from evolm.storage import write_atomically

    with one_sentence():
        _require_new(out)
        jobs = _jobs(n_jobs or "1")
        with saved_prompt(prompt, jobs, use) as opened:
            frame = opened.predict(rows)
        write_atomically(out, frame.to_csv(index=False))
        Console().print(Text(f"{len(frame)} rows written to {out}"), soft_wrap=True)


@app.command()
def score(
    prompt: PromptArgument,
    rows: Annotated[str, typer.Argument(metavar="INPUT", help="File with the task's columns, the label among them.")],
    use: UseOption = "best",
    label: Annotated[str | None, typer.Option(help="Column of the right answers, if not the campaign's own.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write the result to a new .json file.")] = None,
    n_jobs: JobsOption = None,
) -> None:
    """Score a saved prompt on labelled rows: the task's metric, its interval, and every label's share in it."""
    from evolm.export.predictor import saved_prompt
    from evolm.report.scores import render_score
    from evolm.storage import write_atomically

    with one_sentence():
        if out is not None:
            _require_new(out)
        with saved_prompt(prompt, _jobs(n_jobs or "1"), use) as opened:
            found = opened.score(rows, label).to_record()
            about = {"prompt": str(prompt), "use": use, "genome": opened.genome.digest, "data": rows}
        Console().print(render_score(found))
        if out is not None:
            write_atomically(out, json.dumps({**about, **found}, ensure_ascii=False, indent=2) + "\n")
            Console().print(Text(f"Written to {out}"), soft_wrap=True)


@app.command()
def export(
    place: PromptArgument,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write; a new one.")],
    to: Annotated[
        str,
        typer.Option(
            help="prompt = for predict and score; peft = the delta as an adapter for PEFT; merged = a model with the "
            "delta in its weights; population = the run's best, for evolm run."
        ),
    ] = "prompt",
    use: UseOption = "best",
    base: Annotated[
        str | None,
        typer.Option(
            help="With --to peft: another copy of the run's model, a folder or a hub id, that the adapter is for; "
            "where it is on this machine, the adapter is scored on it."
        ),
    ] = None,
    without_examples: Annotated[
        bool,
        typer.Option(
            "--without-examples",
            help="Leave out demonstrations, which are rows of the data. Hashes of rows stay in a population, so that "
            "it is not tested on what it knows; its README says what they reveal.",
        ),
    ] = False,
    copy: Annotated[bool, typer.Option("--copy", help="Copy the run's rows into the population.")] = False,
) -> None:
    """Take a run's prompt or delta home, or its best as a founding population."""
    from evolm.export import exporting

    with one_sentence():
        said = exporting.export(place, out, to, use=use, without_examples=without_examples, copy=copy, base=base)
    for sentence in said:
        Console().print(Text(sentence), soft_wrap=True)


def _conclude(directory: Path, console: Console) -> None:
    from evolm.report import render_summary
    from evolm.storage import RunLayout

    console.print(render_summary(directory))
    layout = RunLayout(directory)
    if layout.prompt.exists():
        console.print(Text(f"Best prompt: {layout.prompt}"), soft_wrap=True)
    console.print(Text(f"Report: {layout.report}"), soft_wrap=True)


def _require_new(out: Path) -> None:
    if out.exists():
        raise RunError(f"{out}: expected a new file, found an existing one")


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


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


def _trackers(directory: Path, tensorboard: Path | None, mlflow: str | None) -> list[Observer]:
    """Return the callbacks that a command asks for.

    Raises:
        MissingPackage: naming the extra that is needed.
    """
    from evolm import callbacks

    found: list[Observer] = []
    if tensorboard is not None:
        found.append(callbacks.TensorBoard(tensorboard / directory.resolve().name))
    if mlflow is not None:
        found.append(callbacks.MLflow(mlflow))
    return found


def _file_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-") or "campaign"


def main() -> None:
    """Entry point of the ``evolm`` command."""
    app(prog_name="evolm")
