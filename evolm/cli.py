"""The command line: init, tune, run, resume, report, compare, sweep, predict, score, export, pretrain, schema.

Errors that a user can cause are one sentence and exit code 2; a stopped campaign exits with 130 (Ctrl-C),
143 (SIGTERM) or 129 (SIGHUP).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from evolm import __version__
from evolm.choices import Dtype, ExportForm, Size
from evolm.cli_options import (
    AllowOption,
    ClusterOption,
    DataRootOption,
    GraceOption,
    JobsOption,
    MlflowOption,
    ModelArgument,
    ModelOption,
    NoHeaderOption,
    OneSentenceGroup,
    OutOption,
    PopulationArgument,
    PromptArgument,
    ReadOption,
    RunArgument,
    SetOption,
    TensorboardOption,
    TimeLimitOption,
    UseOption,
    limit,
    names,
    new_comparison,
    new_record,
    new_table,
    one_sentence,
    print_error,
    strategies,
    task_kinds,
)
from evolm.lost_output import lost, tolerate_lost_output
from evolm.signals import end_in_order
from evolm.streams import accept_every_character
from evolm.terminal import Console
from evolm.wording import counted

if TYPE_CHECKING:
    from evolm.campaign import Observer
    from evolm.config import CampaignConfig

app = typer.Typer(
    name="evolm",
    cls=OneSentenceGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"evolm {__version__}")
        raise typer.Exit


VersionOption = Annotated[
    bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
]


@app.callback()
def evolm(version: VersionOption = False) -> None:
    """Evolve prompts and weights of small local language models.

    \b
    Start with three commands:
      evolm init messages.csv        draft a campaign for your rows
      evolm run . --out runs/first   search, and compare the best with baselines
      evolm predict runs/first new.csv --out labelled.csv
    The demo, about 5 minutes: evolm run sms-spam
    """


def _say_loading() -> None:
    """Say at a terminal what takes the first seconds."""
    console = Console(stderr=True)
    if console.is_terminal:
        console.print(Text("Loading torch and transformers ...", style="dim"))


@app.command()
def init(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="File of rows (.csv, .tsv, .jsonl, .parquet), or package:DIST/FILE.")
    ],
    out: Annotated[Path | None, typer.Option("--out", help="Folder to write; default: the data's folder.")] = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy the data into that folder.")] = False,
    model: Annotated[
        str | None, typer.Option(help="Folder, hub id, .gguf file or package:DIST/FILE; default: SmolLM2-135M.")
    ] = None,
    kind: Annotated[
        str,
        typer.Option(
            autocompletion=task_kinds, help="classification, choice or generation; default: guessed from the columns."
        ),
    ] = "",
    label: Annotated[str, typer.Option(help="Column with the right answers.")] = "",
    labels: Annotated[
        Any, typer.Option(parser=names, metavar="A,B", help="Labels of a classification if no column holds them.")
    ] = "",
    no_label: Annotated[bool, typer.Option("--no-label", help="No column holds right answers.")] = False,
    text: Annotated[list[str], typer.Option(help="Column that the model reads; may be repeated.")] = [],
    options: Annotated[
        Any, typer.Option(parser=names, metavar="A,B", help="Column, or columns, with the options of a choice task.")
    ] = "",
    no_header: NoHeaderOption = False,
    budget: Annotated[Size, typer.Option(help="How long to search: individuals that are scored.")] = "medium",
    assignments: SetOption = [],
) -> None:
    """Draft a campaign from a data file. Writes a commented campaign.toml and founders.jsonl that run as they are."""
    from evolm.config import overlay, parse_assignments
    from evolm.data_access import require_data

    with one_sentence():
        require_data(data, Path(), trusted=True)  # before pandas is imported
        from evolm.scaffold import MODEL, Hints, sentences, write_campaign

        hints = Hints(kind, label, labels, tuple(text), options, no_label)
        changes = parse_assignments(assignments)
        if no_header:
            overlay(changes, {"task": {"read": {"header": False}}})
        folder, draft = write_campaign(data, out, hints, model or MODEL, changes, copy, budget)
    for sentence in sentences(draft, folder):
        Console().print(Text(sentence), soft_wrap=True)


@app.command()
def schema() -> None:
    """Print the JSON Schema of campaign.toml. Editors complete and check the file with it."""
    from evolm.schema import campaign_schema

    typer.echo(json.dumps(campaign_schema(), indent=2))  # in ASCII, so that it is valid in every encoding


@app.command()
def tune(
    model: ModelArgument,
    dtype: Annotated[Dtype, typer.Option(help="auto = bfloat16 if the hardware multiplies it.")] = "auto",
    prompt_tokens: Annotated[int, typer.Option(min=1, help="Tokens of a prompt.")] = 200,
    item_tokens: Annotated[int, typer.Option(min=1, help="Tokens of an item, on average.")] = 25,
    rounds: Annotated[int, typer.Option(min=1, help="Timed passes of each size.")] = 5,
) -> None:
    """Find the fastest size of forward passes on this machine. Prints the lines for campaign.toml."""
    _say_loading()
    from evolm.evaluation.tuning import Workload
    from evolm.tune import tuned

    with one_sentence():
        for line in tuned(model, dtype, Workload(prompt_tokens=prompt_tokens, item_tokens=item_tokens), rounds):
            Console().print(line)


@app.command()
def run(
    population: PopulationArgument,
    out: OutOption = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the search.")] = None,
    n_jobs: JobsOption = None,
    assignments: SetOption = [],
    founder: Annotated[list[str], typer.Option(help="Instruction to start from, besides the founders.")] = [],
    warm_start: Annotated[
        list[str], typer.Option(help="Run or population whose best to start from, besides the founders.")
    ] = [],
    allow: AllowOption = [],
    data_root: DataRootOption = [],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check, score a batch and estimate; write nothing.")
    ] = False,
    resume_or_start: Annotated[
        bool, typer.Option("--resume-or-start", help="Continue the run in --out if there is one, else start it.")
    ] = False,
    time_limit: TimeLimitOption = None,
    grace: GraceOption = None,
    cluster: ClusterOption = "",
    tensorboard: TensorboardOption = None,
    mlflow: MlflowOption = None,
) -> None:
    """Run a campaign. Searches, compares the best with baselines, and scores them on the test split."""
    from evolm import config as configuration
    from evolm.early import check_early
    from evolm.founders.populations import find_population

    with one_sentence():
        folder = find_population(population)
        overrides = configuration.parse_assignments(assignments)
        if seed is not None:
            overrides["seed"] = seed
        if n_jobs is not None:
            overrides = configuration.overlay(overrides, {"evaluation": {"n_jobs": n_jobs}})
        config = configuration.load(folder / configuration.FILE_NAME, overrides)
        if not config.name:
            config = config.model_copy(update={"name": folder.resolve().name})
        trusted = "data" in overrides.get("task", {})
        continued = resume_or_start and _begun(out, config)
        if not continued:
            check_early(config, folder, data_root, trusted)

    if continued and out is not None:
        return resume(out, [], n_jobs, None, allow, tensorboard, mlflow, time_limit, grace, cluster)
    _say_loading()
    from evolm.campaign import Permissions, build, start_run
    from evolm.campaign.preview import preview
    from evolm.campaign.runs import refuse_external
    from evolm.campaign.schedule import Schedule
    from evolm.founders.sources import find_source
    from evolm.progress_view import ProgressView, log_to

    console = Console()
    log_to(console)
    permissions = Permissions(tuple(allow), tuple(data_root), trusted)
    with one_sentence():
        warm = [find_source(name, trusted=True) for name in warm_start]
        if dry_run:
            refuse_external(config)
            parts = build(config, folder, permissions=permissions, instructions=founder, warm_starts=warm)
            preview(parts, console)
            return
        schedule = Schedule.of(time_limit, grace)
    with one_sentence(), _run_folder(out, config.name) as place, one_sentence(resume=place):
        trackers = _trackers(place, tensorboard, mlflow)
        view = ProgressView(console)
        try:
            finished = start_run(
                config,
                folder,
                place,
                permissions=permissions,
                observers=[view, *trackers],
                instructions=founder,
                warm_starts=warm,
                schedule=schedule,
                cluster=cluster,
            )
        finally:
            view.close()
        _conclude(finished.directory, console)


@app.command()
def resume(
    directory: RunArgument,
    add: Annotated[
        list[Any], typer.Option(parser=limit, metavar="LIMIT=N", help="Raise a limit, like evaluations=100.")
    ] = [],
    n_jobs: JobsOption = None,
    model: ModelOption = None,
    allow: AllowOption = [],
    tensorboard: TensorboardOption = None,
    mlflow: MlflowOption = None,
    time_limit: TimeLimitOption = None,
    grace: GraceOption = None,
    cluster: ClusterOption = "",
) -> None:
    """Continue an interrupted run, or add to a finished one's budget."""
    from evolm.storage.layout import RunLayout

    with one_sentence():
        RunLayout(directory).require_run()

    _say_loading()
    from evolm.campaign import Permissions, continue_run
    from evolm.campaign.schedule import Schedule
    from evolm.progress_view import ProgressView, log_to

    console = Console()
    log_to(console)
    with one_sentence():
        schedule = Schedule.of(time_limit, grace)
    with one_sentence(resume=directory):
        trackers = _trackers(directory, tensorboard, mlflow)
        view = ProgressView(console)
        try:
            finished = continue_run(
                directory,
                add=dict(add),
                n_jobs=n_jobs,
                permissions=Permissions(tuple(allow)),
                observers=[view, *trackers],
                model=model,
                schedule=schedule,
                cluster=cluster,
            )
        finally:
            view.close()
        _conclude(finished.directory, console)


@app.command()
def report(
    directory: RunArgument,
    show: Annotated[bool, typer.Option("--open", help="Open the report in the browser.")] = False,
) -> None:
    """Write report.html again and print the run's summary."""
    from evolm.storage.layout import RunLayout

    with one_sentence():
        RunLayout(directory).require_journal()  # before pandas and matplotlib are imported
        from evolm.report import write_report

        write_report(directory)
        _conclude(directory, Console())
        if show:
            _open(RunLayout(directory).report)


@app.command()
def compare(
    directories: Annotated[list[Path], typer.Argument(metavar="DIR", help="Directories of runs or sweeps.")],
    out: Annotated[
        Any,
        typer.Option("--out", parser=new_comparison, metavar="FILE", help="New .csv or .json file to write."),
    ] = None,
) -> None:
    """Compare finished runs on the test split. Prints scores, differences, intervals and p-values."""
    from evolm.storage import write_atomically
    from evolm.storage.layout import find_runs

    with one_sentence():
        runs = find_runs(directories)  # before pandas and scipy are imported
        from evolm.experiments.comparison import compare_runs
        from evolm.report.comparison import difference_frame, render_comparison

        record = compare_runs(runs).to_record()
        Console().print(render_comparison(record))
        if out is not None:
            as_json = json.dumps(record, ensure_ascii=False, indent=2) + "\n"
            write_atomically(out, as_json if out.suffix == ".json" else difference_frame(record).to_csv(index=False))
            Console().print(Text(f"Written to {out}"), soft_wrap=True)


@app.command()
def sweep(
    population: PopulationArgument,
    strategy: Annotated[
        Any,
        typer.Option(
            parser=names,
            metavar="A,B",
            autocompletion=strategies,
            help="Strategies to compare, like genetic,random_search.",
        ),
    ],
    seeds: Annotated[int, typer.Option(help="Number of seeds for each strategy.", min=1)] = 5,
    first_seed: Annotated[int, typer.Option(help="First seed.")] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", help="Directory of the sweep; default: runs/NAME-sweep.")
    ] = None,
    assignments: SetOption = [],
    n_jobs: JobsOption = None,
    allow: AllowOption = [],
    data_root: DataRootOption = [],
) -> None:
    """Run several strategies with several seeds and compare them. The same command continues a stopped sweep."""
    from evolm import config as configuration
    from evolm.early import check_early
    from evolm.founders.populations import find_population

    with one_sentence():
        folder = find_population(population)
        overrides = configuration.parse_assignments(assignments)
        if n_jobs is not None:
            overrides = configuration.overlay(overrides, {"evaluation": {"n_jobs": n_jobs}})
        config = configuration.load(folder / configuration.FILE_NAME, overrides)
        name = config.name or folder.resolve().name
        trusted = "data" in overrides.get("task", {})
        for each in strategy or [configuration.DEFAULT_STRATEGY]:
            check_early(config.model_copy(update={"strategy": {"name": each}}), folder, data_root, trusted)

    from evolm.campaign import Permissions
    from evolm.experiments.sweep import plan_sweep, run_sweep, strategy_variants
    from evolm.progress_view import ProgressView, log_to
    from evolm.report.comparison import render_comparison

    console = Console()
    log_to(console)
    permissions = Permissions(tuple(allow), tuple(data_root), trusted)
    with one_sentence(advice="The same command goes on with the sweep."):
        out = out or Path("runs") / f"{_file_name(name)}-sweep"
        variants = strategy_variants(strategy)
        planned = plan_sweep(folder, out, variants, range(first_seed, first_seed + seeds), overrides, permissions)
        comparison = run_sweep(planned, lambda: closing(ProgressView(console)))
        console.print(render_comparison(comparison.to_record()))
        console.print(Text(f"Tables and plot: {out / 'sweep.*'}"), soft_wrap=True)


@app.command()
def predict(
    prompt: PromptArgument,
    rows: Annotated[str, typer.Argument(metavar="INPUT", help="File with the task's columns; no label needed.")],
    out: Annotated[
        Any, typer.Option("--out", parser=new_table, metavar="FILE", help="New .csv, .tsv, .jsonl or .parquet file.")
    ],
    n_jobs: JobsOption = "1",
    use: UseOption = "best",
    model: ModelOption = None,
    no_header: NoHeaderOption = False,
    assignments: ReadOption = [],
) -> None:
    """Apply a saved prompt to new rows. Writes labels or options with probabilities, or generated texts.

    Every row comes back, in order, with its own columns as they are. If one of these has a prediction's name, such as
    label, all predictions are named predicted_label and so on.
    """
    from evolm.data_access import require_data
    from evolm.export.predictor import saved_prompt
    from evolm.export.tables import table_bytes
    from evolm.storage import write_atomically

    with one_sentence():
        require_data(rows, Path(), trusted=True)  # before the model is loaded
        with saved_prompt(prompt, n_jobs, use, model) as opened:
            predicted = opened.answer(rows, read=_own_read(assignments, no_header))
        write_atomically(out, table_bytes(predicted, out.suffix.lower(), rows))
        written = f"{counted(len(predicted.rows), 'row')} written to {out}"
        for sentence in filter(None, (*opened.notes, predicted.renamed, written, predicted.missing)):
            Console().print(Text(sentence), soft_wrap=True)


@app.command()
def score(
    prompt: PromptArgument,
    rows: Annotated[str, typer.Argument(metavar="INPUT", help="File with the task's columns, the label among them.")],
    use: UseOption = "best",
    label: Annotated[str | None, typer.Option(help="Column with the right answers; default: the campaign's.")] = None,
    out: Annotated[
        Any, typer.Option("--out", parser=new_record, metavar="FILE", help="New .json file for the result.")
    ] = None,
    n_jobs: JobsOption = "1",
    model: ModelOption = None,
    no_header: NoHeaderOption = False,
    assignments: ReadOption = [],
) -> None:
    """Score a saved prompt on labelled rows. Prints the task's metric with an interval, and each label's share."""
    from evolm.data_access import require_data
    from evolm.export.predictor import saved_prompt
    from evolm.report.scores import render_score
    from evolm.storage import write_atomically

    with one_sentence():
        require_data(rows, Path(), trusted=True)  # before the model is loaded
        with saved_prompt(prompt, n_jobs, use, model) as opened:
            found = opened.score(rows, label, read=_own_read(assignments, no_header)).to_record()
            about = {"prompt": str(prompt), "use": use, "genome": opened.digest, "data": rows}
        for sentence in opened.notes:
            Console().print(Text(sentence), soft_wrap=True)
        Console().print(render_score(found))
        if out is not None:
            write_atomically(out, json.dumps({**about, **found}, ensure_ascii=False, indent=2) + "\n")
            Console().print(Text(f"Written to {out}"), soft_wrap=True)


@app.command()
def export(
    place: PromptArgument,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="New folder to write.")],
    to: Annotated[
        ExportForm,
        typer.Option(
            help="prompt = for predict and score; peft = the delta as an adapter for PEFT; merged = a model with the "
            "delta in its weights; population = the run's best, for evolm run."
        ),
    ] = "prompt",
    use: UseOption = "best",
    base: Annotated[
        str | None,
        typer.Option(
            help="With --to peft: another copy of the run's model (folder or hub id) that the adapter is for. If it "
            "is on this machine, the adapter is scored on it."
        ),
    ] = None,
    without_examples: Annotated[
        bool,
        typer.Option(
            "--without-examples",
            help="Leave out demonstrations, which are rows of the data. A population keeps hashes of rows, so that "
            "it is never tested on rows it has seen; its README says what they reveal.",
        ),
    ] = False,
    copy: Annotated[bool, typer.Option("--copy", help="Copy the run's rows into the population.")] = False,
    model: ModelOption = None,
) -> None:
    """Export a prompt, adapter, merged model or founding population. Writes a new folder."""
    from evolm.export.export import export as write_export

    with one_sentence():
        said = write_export(
            place,
            out,
            to,
            use=use,
            without_examples=without_examples,
            copy=copy,
            base=base,
            model=model,
        )
    for sentence in said:
        Console().print(Text(sentence), soft_wrap=True)


@app.command()
def pretrain(
    corpus: Annotated[
        list[str],
        typer.Argument(metavar="CORPUS", help="Text files, folders of them, tables, or package:DIST/FILE."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the model; new, or to be continued.")],
    column: Annotated[str, typer.Option(help="Column of a table with the texts; default: text.")] = "",
    layers: Annotated[int, typer.Option(help="Layers of the transformer.")] = 3,
    width: Annotated[int, typer.Option(help="Channels of a hidden state.")] = 96,
    heads: Annotated[int, typer.Option(help="Heads of attention.")] = 3,
    vocabulary: Annotated[int, typer.Option(help="Tokens of the byte-pair tokenizer.")] = 1024,
    tokens: Annotated[int, typer.Option(help="Tokens to learn from; 0 = as many as fit into the minutes.")] = 0,
    minutes: Annotated[float, typer.Option(help="Minutes that the number of tokens is planned for.")] = 5.0,
    seed: Annotated[int, typer.Option(help="Seed of the weights and of the order of the texts.")] = 0,
    no_header: NoHeaderOption = False,
    assignments: Annotated[
        list[str],
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Another setting, like learning_rate=0.001 or task.read.separator=;."
        ),
    ] = [],
) -> None:
    """Train a tokenizer and a small transformer from scratch. Writes a folder for model.name.

    Ctrl-C saves; the same command goes on. The perplexity of held-out texts is compared with that of bigrams.
    """
    from evolm.config import parse_assignments, validate
    from evolm.pretraining.settings import PretrainSettings

    with one_sentence():
        changes = parse_assignments(assignments)
        read = changes.pop("task", {}).get("read", {}) | ({"header": False} if no_header else {})
        shape = {"layers": layers, "width": width, "heads": heads, "vocabulary": vocabulary}
        given = {**shape, "tokens": tokens, "minutes": minutes, "seed": seed, **changes}
        settings = validate(PretrainSettings, given, "pretrain")
    _say_loading()
    from evolm.pretraining.run import conclusion
    from evolm.pretraining.run import pretrain as train
    from evolm.pretraining.view import PretrainView
    from evolm.progress_view import log_to

    console = Console()
    log_to(console)
    view = PretrainView(console)
    with closing(view), one_sentence(advice="The same command goes on."):
        record = train(corpus, out, settings, column, read, view.say, view.show)
        for sentence in conclusion(record, out):
            view.say(sentence)


@app.command()
def distill(
    run: PromptArgument,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="New folder to write, for predict and score.")],
    rows: Annotated[
        str | None, typer.Option(metavar="FILE", help="Further rows to learn from; their labels are not read.")
    ] = None,
    use: UseOption = "best",
    keep_instruction: Annotated[
        bool, typer.Option("--keep-instruction", help="Leave out the demonstrations alone.")
    ] = False,
    n_jobs: JobsOption = "1",
    model: ModelOption = None,
    no_header: NoHeaderOption = False,
    assignments: ReadOption = [],
) -> None:
    """Teach a delta what a run's prompt answers, so that the model does without the prompt. Writes a new folder."""
    from evolm.data_access import require_data
    from evolm.export.distill import distill as teach
    from evolm.progress_view import log_to

    console = Console()
    log_to(console)
    with one_sentence():
        if rows is not None:
            require_data(rows, Path(), trusted=True)  # before the model is loaded
        own = _own_read(assignments, no_header)
        said = teach(
            run, out, rows=rows, use=use, keep_instruction=keep_instruction, n_jobs=n_jobs, model=model, read=own
        )
    for sentence in said:
        console.print(Text(sentence), soft_wrap=True)


def _begun(out: Path | None, config: CampaignConfig) -> bool:
    """Return whether a run of this campaign has begun in a directory.

    Raises:
        ConfigError: if no directory is given, or another campaign's run is in it.
    """
    from evolm import config as configuration
    from evolm.errors import ConfigError
    from evolm.storage.layout import RunLayout

    if out is None:
        raise ConfigError("--resume-or-start: expected the run's directory as --out DIR, found none")
    layout = RunLayout(out)
    if not layout.campaign.is_file():
        return False
    known = configuration.load(layout.campaign)
    for key, mine, found in (("name", config.name, known.name), ("seed", config.seed, known.seed)):
        if found not in (mine, ""):  # a campaign that was begun from Python has no name
            raise ConfigError(
                f"{out}: expected a run of this campaign, with {key} {mine!r}, found one with {found!r}; choose "
                "another --out"
            )
    return True


def _own_read(assignments: Sequence[str], no_header: bool) -> dict[str, Any]:
    """Return the keys of ``[task.read]`` that options give for one file.

    Raises:
        ConfigError: for another key.
    """
    from evolm.config import own_read

    return own_read(assignments) | ({"header": False} if no_header else {})


def _conclude(directory: Path, console: Console) -> None:
    from evolm.report import advice, render_summary
    from evolm.storage import RunLayout

    console.print(render_summary(directory))
    if command := advice(directory):
        console.print(Text(f"Apply it: {command}"), soft_wrap=True)
    layout = RunLayout(directory)
    if layout.prompt.exists():
        console.print(Text(f"Best prompt: {layout.prompt}"), soft_wrap=True)
    elif layout.member_prompts:
        console.print(Text(f"Committee: {layout.best}"), soft_wrap=True)
    console.print(Text(f"Report: {layout.report}"), soft_wrap=True)


def _open(page: Path) -> None:
    """Open a page in the browser.

    Raises:
        RunError: if no browser can be started; the page is written.
    """
    import webbrowser

    from evolm.errors import RunError

    if not webbrowser.open(page.resolve().as_uri()):
        raise RunError(f"{page}: expected a browser to open the report in, found none; open the file by hand")


def _trackers(directory: Path, tensorboard: Path | None, mlflow: str | None) -> list[Observer]:
    """Return the observers for the given options.

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


@contextmanager
def _run_folder(out: Path | None, name: str) -> Iterator[Path]:
    """Yield a run's directory: ``out``, or a new one named after the campaign and the time, removed if unused."""
    from evolm.storage.files import free_folder

    if out is not None:
        yield out
        return
    with free_folder(Path("runs") / f"{_file_name(name)}-{datetime.now():%Y%m%d-%H%M%S}") as folder:
        yield folder


def _file_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-") or "campaign"


def main() -> None:
    """Entry point of the ``evolm`` command."""
    accept_every_character()
    end_in_order()
    output = tolerate_lost_output()
    try:
        app(prog_name="evolm")
    except SystemExit as end:
        code, sentence = lost(output)
        if sentence:
            print_error(sentence)
        raise SystemExit(end.code or code) from None
