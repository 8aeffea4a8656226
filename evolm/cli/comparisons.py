"""Verbs of several runs: ``compare`` and ``sweep``."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from evolm.cli.errors import one_sentence
from evolm.cli.options import AllowOption, DataRootOption, JobsOption, PopulationArgument, SetOption
from evolm.cli.parsers import names, new_comparison, strategies
from evolm.cli.shared import file_name, named_models
from evolm.terminal import Console


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
        trusted, named = "data" in overrides.get("task", {}), named_models(overrides)
        for each in strategy or [configuration.DEFAULT_STRATEGY]:
            check_early(config.model_copy(update={"strategy": {"name": each}}), folder, data_root, trusted)

    from evolm.campaign import Permissions
    from evolm.experiments.sweep import plan_sweep, run_sweep, strategy_variants
    from evolm.progress_view import ProgressView, log_to
    from evolm.report.comparison import render_comparison

    console = Console()
    log_to(console)
    permissions = Permissions(tuple(allow), tuple(data_root), trusted, named)
    with one_sentence(advice="The same command goes on with the sweep."):
        out = out or Path("runs") / f"{file_name(name)}-sweep"
        variants = strategy_variants(strategy)
        planned = plan_sweep(folder, out, variants, range(first_seed, first_seed + seeds), overrides, permissions)
        comparison = run_sweep(planned, lambda: closing(ProgressView(console)))
        console.print(render_comparison(comparison.to_record()))
        console.print(Text(f"Tables and plot: {out / 'sweep.*'}"), soft_wrap=True)
