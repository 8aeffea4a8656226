"""Verbs before a campaign runs: ``init``, ``schema`` and ``tune``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from evolm.choices import Dtype, Size
from evolm.cli.errors import one_sentence
from evolm.cli.options import ModelArgument, NoHeaderOption, SetOption
from evolm.cli.parsers import names, task_kinds
from evolm.cli.shared import say_loading
from evolm.terminal import Console


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


def schema() -> None:
    """Print the JSON Schema of campaign.toml. Editors complete and check the file with it."""
    from evolm.schema import campaign_schema

    typer.echo(json.dumps(campaign_schema(), indent=2))  # in ASCII, so that it is valid in every encoding


def tune(
    model: ModelArgument,
    dtype: Annotated[Dtype, typer.Option(help="auto = compare those that the hardware multiplies.")] = "auto",
    prompt_tokens: Annotated[int, typer.Option(min=1, help="Tokens of a prompt.")] = 200,
    item_tokens: Annotated[int, typer.Option(min=1, help="Tokens of an item, on average.")] = 25,
    rounds: Annotated[int, typer.Option(min=1, help="Timed passes of each size.")] = 5,
) -> None:
    """Find the fastest dtype and size of forward passes on this machine. Prints the lines for campaign.toml."""
    say_loading()
    from evolm.evaluation.tuning import Workload
    from evolm.tune import tuned

    with one_sentence():
        for line in tuned(model, dtype, Workload(prompt_tokens=prompt_tokens, item_tokens=item_tokens), rounds):
            Console().print(line)
