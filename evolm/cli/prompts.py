"""Verbs of a saved prompt: ``predict``, ``score`` and ``export``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from evolm.choices import ExportForm
from evolm.cli.errors import one_sentence
from evolm.cli.options import JobsOption, ModelOption, NoHeaderOption, PromptArgument, ReadOption, UseOption
from evolm.cli.parsers import new_record, new_table
from evolm.cli.shared import read_settings
from evolm.terminal import Console
from evolm.wording import counted


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
            predicted = opened.answer(rows, read=read_settings(assignments, no_header))
        write_atomically(out, table_bytes(predicted, out.suffix.lower(), rows))
        written = f"{counted(len(predicted.rows), 'row')} written to {out}"
        for sentence in filter(None, (*opened.notes, predicted.renamed, written, predicted.missing)):
            Console().print(Text(sentence), soft_wrap=True)


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
            found = opened.score(rows, label, read=read_settings(assignments, no_header)).to_record()
            about = {"prompt": str(prompt), "use": use, "genome": opened.digest, "data": rows}
        for sentence in opened.notes:
            Console().print(Text(sentence), soft_wrap=True)
        Console().print(render_score(found))
        if out is not None:
            write_atomically(out, json.dumps({**about, **found}, ensure_ascii=False, indent=2) + "\n")
            Console().print(Text(f"Written to {out}"), soft_wrap=True)


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
