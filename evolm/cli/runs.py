"""Verbs of one run: ``run``, ``resume`` and ``report``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evolm.cli.errors import one_sentence
from evolm.cli.options import (
    AllowOption,
    ClusterOption,
    DataRootOption,
    GraceOption,
    JobsOption,
    MlflowOption,
    ModelOption,
    OutOption,
    PopulationArgument,
    RunArgument,
    SetOption,
    TensorboardOption,
    TimeLimitOption,
)
from evolm.cli.parsers import limit
from evolm.cli.shared import conclude, file_name, named_models, say_loading
from evolm.terminal import Console

if TYPE_CHECKING:
    from evolm.campaign import Observer
    from evolm.config import CampaignConfig


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
        named = named_models(overrides)
        continued = resume_or_start and not dry_run and _begun(out, config)
        if not continued:
            check_early(config, folder, data_root, trusted)

    if continued and out is not None:
        return resume(
            out,
            n_jobs=n_jobs,
            allow=allow,
            tensorboard=tensorboard,
            mlflow=mlflow,
            time_limit=time_limit,
            grace=grace,
            cluster=cluster,
        )
    say_loading()
    from evolm.campaign import Permissions, build, start_run
    from evolm.campaign.preview import preview
    from evolm.campaign.runs import refuse_external
    from evolm.campaign.schedule import Schedule
    from evolm.founders.sources import find_source
    from evolm.progress_view import ProgressView, log_to

    console = Console()
    log_to(console)
    permissions = Permissions(tuple(allow), tuple(data_root), trusted, named)
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
        with closing(ProgressView(console)) as view:
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
        conclude(finished.directory, console)


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

    say_loading()
    from evolm.campaign import Permissions, continue_run
    from evolm.campaign.schedule import Schedule
    from evolm.progress_view import ProgressView, log_to

    console = Console()
    log_to(console)
    with one_sentence():
        schedule = Schedule.of(time_limit, grace)
    with one_sentence(resume=directory):
        trackers = _trackers(directory, tensorboard, mlflow)
        with closing(ProgressView(console)) as view:
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
        conclude(finished.directory, console)


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
        conclude(directory, Console())
        if show:
            _open(RunLayout(directory).report)


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
    with free_folder(Path("runs") / f"{file_name(name)}-{datetime.now():%Y%m%d-%H%M%S}") as folder:
        yield folder


def _open(page: Path) -> None:
    """Open a page in the browser.

    Raises:
        RunError: if no browser can be started; the page is written.
    """
    import webbrowser

    from evolm.errors import RunError

    if not webbrowser.open(page.resolve().as_uri()):
        raise RunError(f"{page}: expected a browser to open the report in, found none; open the file by hand")
