"""``--dry-run``: everything is checked, one small batch is scored, and what the campaign will take is estimated."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from evolm import evaluation, models
from evolm.campaign.budget import Ledger
from evolm.campaign.build import Components
from evolm.campaign.checks import told_about_texts
from evolm.campaign.pass_estimate import PassEstimate, PhaseRow, guard_tokens
from evolm.campaign.stages import racing_rules
from evolm.evaluation.racing import looks
from evolm.genomes import Genome
from evolm.models import Cost, Decoding, Model, Request, require_local
from evolm.models.served.model import ServedModel
from evolm.operators.language import MOST_TOKENS
from evolm.operators.patterns import REWORD, one_line
from evolm.storage import AnswerStore
from evolm.tasks.outlook import outlook
from evolm.wording import counted, listed

if TYPE_CHECKING:
    from evolm.evaluation.engine import Engine

BATCH_ITEMS, SERVED_ITEMS = 32, 8  # that are scored; a server may be paid for them
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
    if isinstance(model, ServedModel):
        console.print(Text(_about_server(model)))
    else:
        console.print(
            Text(
                f"Model {model.prepared.name}: {model.prepared.dtype}, chat template "
                f"{'on' if model.chat else 'off'}, {parts.engine.executor.n_jobs} worker(s) of "
                f"{model.profile.threads} thread"
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


def _about_server(model: ServedModel) -> str:
    """Return sentences about what the self-test of a server has found."""
    sent = "messages" if model.chat else "text"
    return (
        f"Model {model.abilities.served!r} of {model.prepared.name}: prompts are sent as {sent}, "
        f"{model.section.concurrency} at a time; {model.told}. {model.told_of_repetition}"
    )


def _about_writer(writer: Engine, founder: Genome) -> str:
    """Return a sentence about the writer and the tokens of a line that rewords a founder's instruction."""
    prepared = writer.model.prepared
    request = REWORD.request([one_line(founder.prompt.instruction)], Decoding(MOST_TOKENS))
    ready: Any = writer.tokenize([request])[0]
    tokens = writer.model.count_tokens(ready.context) if isinstance(writer.model, ServedModel) else ready.tokens
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


def described(model: Model, request: Request) -> list[tuple[str, bool]]:
    """Return the pieces of a prompt, and whether they are scored: tokens, or texts if a server has the tokenizer."""
    if not isinstance(model, ServedModel):
        return models.describe_tokens(require_local(model, "a prompt's tokens"), request)
    prefix, item, answers = model.render(request)
    pieces = [(answer, True) for answer in answers[:MOST_SHOWN]]
    return [(prefix + item, False), *(pair for piece in pieces for pair in ((" | ", False), piece))]


def _shortened(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MOST_SHOWN])
    return shown if len(names) <= MOST_SHOWN else f"{shown} and {len(names) - MOST_SHOWN} more"


def _print_prompt(parts: Components, request: Request, console: Console) -> None:
    """Print one rendered prompt, its scored tokens marked."""
    text = Text()
    for piece, scored in described(parts.model, request):
        text.append(piece, style="bold reverse" if scored else "")
        if scored and not console.is_terminal:
            text.append("⟵scored ")
    console.print(Text("One prompt, as the model reads it (scored tokens marked):", style="bold"))
    console.print(text)


def _print_joins(parts: Components, requests: Sequence[Request], console: Console) -> None:
    """Say if a token spans the border of item and answer, unless a server has the tokenizer."""
    if isinstance(parts.model, ServedModel):
        return
    joins: list[Any] = [tokens for tokens in parts.engine.tokenize(requests) if getattr(tokens, "joined", 0)]
    if joins:
        first = require_local(parts.model, "its tokens").tokenizer.decode(joins[0].continuations[0])
        console.print(
            Text(
                f"In {len(joins)} of {counted(len(requests), 'prompt')} one token holds the end of the item and the "
                f"beginning of an answer: answers are scored from the last token before it, here as {first!r}"
            )
        )


def _requests(parts: Components) -> list[Request]:
    """What the task's own scorer asks first about the longest founder."""
    longest = max(parts.founders.genomes, key=parts.space.tokens)
    items = parts.task.dev[: SERVED_ITEMS if isinstance(parts.model, ServedModel) else BATCH_ITEMS]
    return list(next(parts.evaluator.task_scorer.dialogue(parts.space.express(longest), items)))


def _estimate(parts: Components, asked: Sequence[Request]) -> Table:
    """Score a batch and extrapolate."""
    engine = evaluation.Engine(parts.model, AnswerStore(":memory:"))  # one worker, this process; or the server
    requests: Sequence[Any] = engine.tokenize(asked)
    engine.answer_tokenized(requests[:1])  # loads the model outside the measurement
    before = engine.usage.tokens_padded
    began = time.perf_counter()
    answers = engine.answer_tokenized(requests)
    rate = (engine.usage.tokens_padded - before) / (time.perf_counter() - began)
    if isinstance(parts.model, ServedModel):
        cost = reduce(add, map(lambda request, answer: request.cost(answer), requests, answers))
        return _served_estimate(parts, cost, len(requests), rate)
    per_item = float(np.mean([request.own_tokens for request in requests]))
    prefix = float(np.mean([parts.space.tokens(founder) for founder in parts.founders.genomes]))
    workers = parts.engine.executor.n_jobs
    table = Table("phase", "evaluations", "tokens through the model", "minutes")
    for name, evaluations, tokens in _with_sum(PassEstimate(parts, prefix, per_item).phases()):
        table.add_row(name, f"{evaluations}", f"{tokens:,.0f}", f"{tokens / rate / workers / 60:.1f}")
    return table


def _with_sum(phases: Sequence[PhaseRow]) -> list[PhaseRow]:
    return [*phases, ("all", sum(phase[1] for phase in phases), sum(phase[2] for phase in phases))]


def _served_estimate(parts: Components, cost: Cost, items: int, rate: float) -> Table:
    """Extrapolate from some items, with the longest founder, to what a server is asked and paid.

    Args:
        parts: the campaign's objects.
        cost: of the items.
        items: how many they are.
        rate: tokens per second.
    """
    table = Table("phase", "evaluations", "requests", "tokens", "minutes", "price")
    # Every request is charged in full: no tokens of a prompt are shared between items.
    for name, evaluations, tokens in _with_sum(PassEstimate(parts, 0.0, cost.tokens / items).phases()):
        share = tokens / max(cost.tokens, 1)
        paid = Ledger(tokens=cost.tokens, generated=cost.generated).price(parts.config.model.price_per_million)
        table.add_row(
            name,
            f"{evaluations}",
            f"{share * cost.requests:,.0f}",
            f"{tokens:,.0f}",
            f"{tokens / rate / 60:.1f}" if rate else "",
            f"{share * paid:,.2f}" if paid else "",
        )
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
