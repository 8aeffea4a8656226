"""The application: every verb in the order of ``evolm --help``, and the entry point of the ``evolm`` command."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from evolm import __version__
from evolm.cli.comparisons import compare, sweep
from evolm.cli.drafts import init, schema, tune
from evolm.cli.errors import OneSentenceGroup, print_error
from evolm.cli.prompts import export, predict, score
from evolm.cli.runs import report, resume, run
from evolm.cli.serving import serve
from evolm.cli.training import distill, pretrain
from evolm.lost_output import lost, tolerate_lost_output
from evolm.signals import end_in_order
from evolm.streams import accept_every_character

VERBS = (init, schema, tune, run, resume, report, compare, sweep, predict, score, serve, export, pretrain, distill)

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
    The demo, about 8 minutes: evolm run sms-spam
    """


for verb in VERBS:
    app.command()(verb)


def main() -> None:
    """Entry point of the ``evolm`` command."""
    os.environ.setdefault("PYTHONSAFEPATH", "1")  # a campaign's folder may be the working directory of a worker
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
