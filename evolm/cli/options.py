"""Options and arguments that several verbs have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from evolm.cli.parsers import jobs

OutOption = Annotated[Path | None, typer.Option("--out", help="Directory of the run; default: runs/NAME-TIME.")]
JobsOption = Annotated[
    Any, typer.Option("--n-jobs", parser=jobs, metavar="N|auto", help="Worker processes; no result depends on it.")
]
AllowOption = Annotated[
    list[str],
    typer.Option(
        "--allow",
        metavar="PACKAGE|HOST",
        help="Package whose code, or host whose served model, the campaign may use.",
    ),
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
