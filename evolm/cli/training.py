"""Verbs that train a model outside of a search: ``pretrain`` and ``distill``."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from evolm.cli.errors import one_sentence
from evolm.cli.options import JobsOption, ModelOption, NoHeaderOption, PromptArgument, ReadOption, UseOption
from evolm.cli.shared import read_settings, say_loading
from evolm.terminal import Console


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
    say_loading()
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
        own = read_settings(assignments, no_header)
        said = teach(
            run, out, rows=rows, use=use, keep_instruction=keep_instruction, n_jobs=n_jobs, model=model, read=own
        )
    for sentence in said:
        console.print(Text(sentence), soft_wrap=True)
