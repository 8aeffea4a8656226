"""``--dry-run``: everything is checked, one small batch is scored, and what the campaign will take is estimated."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from evolm import evaluation, models
from evolm.campaign.build import Components
from evolm.campaign.checks import told_about_texts
from evolm.campaign.pass_estimate import PassEstimate, guard_tokens
from evolm.campaign.stages import racing_rules
from evolm.evaluation.racing import looks
from evolm.genomes import Genome
from evolm.models import Decoding, Request
from evolm.operators.language import MOST_TOKENS
from evolm.operators.patterns import REWORD, one_line
from evolm.storage import AnswerStore
from evolm.tasks.outlook import outlook
from evolm.wording import counted, listed

if TYPE_CHECKING:
    from evolm.evaluation.engine import Engine

BATCH_ITEMS = 32
MOST_SHOWN = 12  # labels


def preview(parts: Components, console: Console) -> None:
    """Print what a campaign would do.

    Raises:
        EvolmError: for everything that would stop the campaign itself.
    """
    try:
        task = parts.task
        labels = f", labels {_shortened(task.labels)}" if task.labels else ""
        console.print(Text(f"Task {task.name}: {task.kind}, metric {task.metric}{labels}"))
        for sentence in outlook(task, parts.config.space):
            console.print(Text(sentence))
        for note in (*task.notes, *told_about_texts(parts.evaluator, parts.founders)):
            console.print(Text(f"  {note}"))
        _print_model(parts, console)
        _print_guard(parts, console)
        requests = _requests(parts)
        _print_prompt(parts, requests[0], console)
        _print_joins(parts, requests, console)
        console.print(_estimate(parts, requests))
        _print_racing(parts, console)
    finally:
        parts.engine.close()


def _print_model(parts: Components, console: Console) -> None:
    model = parts.model
    console.print(
        Text(
            f"Model {model.prepared.name}: {model.prepared.dtype}, chat template {'on' if model.chat else 'off'}, "
            f"{parts.engine.executor.n_jobs} worker(s) of {model.profile.threads} thread"
        )
    )
    if parts.writer is not None:
        console.print(Text(_about_writer(parts.writer, parts.founders.genomes[0])))
    labels = parts.scoring.labels
    if labels is None:
        decoding = parts.scoring.decoding
        stops = listed(decoding.stop_strings)
        console.print(Text(f"Answers of at most {decoding.max_new_tokens} tokens, which end before {stops}"))
        return
    counts = [f"{word!r} {count}" for word, count in labels.word_tokens.items()]
    lengths = _shortened(counts) or "each option its own"
    console.print(Text(f"Normalization of log-probabilities: {labels.normalization!r}; tokens: {lengths}"))


def _about_writer(writer: Engine, founder: Genome) -> str:
    """Return a sentence about the writer and the tokens of a line that rewords a founder's instruction."""
    prepared = writer.model.prepared
    request = REWORD.request([one_line(founder.prompt.instruction)], Decoding(MOST_TOKENS))
    tokens = writer.tokenize([request])[0].tokens
    return (
        f"Writer {prepared.name}: {prepared.dtype}; a line that it writes costs {tokens} tokens and its own,"
        f" at most {MOST_TOKENS}; they are charged apart"
    )


def _print_guard(parts: Components, console: Console) -> None:
    """Say what the guard of general ability asks."""
    section, guard = parts.config.guard, parts.evaluator.guard
    if section is None:
        return
    if guard is None:
        console.print(Text("Guard: free, since prompts and readouts leave the model as it is"))
        return
    what = f"limit +{100 * section.max_rise:g} %" if guard.constrains else "an objective"
    console.print(
        Text(
            f"Guard: perplexity of {counted(len(guard.passages), 'passage')} of general text "
            f"({guard_tokens(parts):,} tokens for each delta), {what}"
        )
    )


def _shortened(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MOST_SHOWN])
    return shown if len(names) <= MOST_SHOWN else f"{shown} and {len(names) - MOST_SHOWN} more"


def _print_prompt(parts: Components, request: Request, console: Console) -> None:
    """Print one rendered prompt, its scored tokens marked."""
    text = Text()
    for piece, scored in models.describe_tokens(parts.model, request):
        text.append(piece, style="bold reverse" if scored else "")
        if scored and not console.is_terminal:
            text.append("⟵scored ")
    console.print(Text("One prompt, as the model reads it (scored tokens marked):", style="bold"))
    console.print(text)


def _print_joins(parts: Components, requests: Sequence[Request], console: Console) -> None:
    """Say if a token spans the border of item and answer."""
    joins: list[Any] = [tokens for tokens in parts.engine.tokenize(requests) if getattr(tokens, "joined", 0)]
    if joins:
        first = parts.model.tokenizer.decode(joins[0].continuations[0])
        console.print(
            Text(
                f"In {len(joins)} of {counted(len(requests), 'prompt')} one token holds the end of the item and the "
                f"beginning of an answer: answers are scored from the last token before it, here as {first!r}"
            )
        )


def _requests(parts: Components) -> list[Request]:
    """What the task's own scorer asks first about the longest founder."""
    longest = max(parts.founders.genomes, key=parts.space.tokens)
    return list(
        next(parts.evaluator.task_scorer.dialogue(parts.space.express(longest), parts.task.dev[:BATCH_ITEMS]))
    )


def _estimate(parts: Components, asked: Sequence[Request]) -> Table:
    """Score a batch and extrapolate."""
    engine = evaluation.Engine(parts.model, AnswerStore(":memory:"))  # one worker, this process
    requests = engine.tokenize(asked)
    engine.answer_tokenized(requests[:1])  # loads the model outside the measurement
    before = engine.usage.tokens_padded
    began = time.perf_counter()
    engine.answer_tokenized(requests)
    rate = (engine.usage.tokens_padded - before) / (time.perf_counter() - began)
    per_item = float(np.mean([request.own_tokens for request in requests]))
    prefix = float(np.mean([parts.space.tokens(founder) for founder in parts.founders.genomes]))
    workers = parts.engine.executor.n_jobs
    table = Table("phase", "evaluations", "tokens through the model", "minutes")
    phases = PassEstimate(parts, prefix, per_item).phases()
    for name, evaluations, tokens in [*phases, ("all", sum(p[1] for p in phases), sum(p[2] for p in phases))]:
        table.add_row(name, f"{evaluations}", f"{tokens:,.0f}", f"{tokens / rate / workers / 60:.1f}")
    return table


def _print_racing(parts: Components, console: Console) -> None:
    rules = racing_rules(parts.stages)
    if rules is None:
        return
    n = len(parts.task.dev)
    known = ", ".join(map(str, looks(rules.block, n)))
    what = "racing" if rules.mode == "race" else "successive halving"
    console.print(
        Text(f"With {what}, candidates may be dropped after {known} of {n} items: it will be fewer than estimated")
    )
