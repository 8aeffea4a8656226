"""The README of a founding population: origin, result, what it reveals and what it needs."""

from __future__ import annotations

import textwrap

from evolm.report.reading import RunRecord
from evolm.report.tables import score_rows
from evolm.wording import as_code, counted, in_markdown

README = "README.md"
WIDTH = 118

SEEN = """
**What they have seen.** The first line of `founders.jsonl` holds {keys}, one for each item that these prompts or
their ancestors were selected on or learned from. With the keys evolm refuses to test the prompts on these items: keep
`[task.split]`, or test on other rows. A key is a hash of the item's text. No row can be read from it, but a reader
who has a row, or guesses it, can tell that it was seen. If that must not be known, delete the line; evolm can then no
longer refuse a test split with these items.
"""
CHANGED = """
**What they change.** {founders} the model's weights: `deltas.safetensors` has a vector of {genes} genes for each, in
the `[space.delta]` of `campaign.toml` (encoding {encoding}, modules {modules}). They fit this model only; evolm
compares fingerprints.
"""
LEFT_OUT = """
**What they show.** Demonstrations were left out, so these are not the prompts that were scored. Instructions are as
evolved: an instruction written by a model may repeat a row, so read them before you publish them.
"""


def population_readme(
    run: RunRecord, *, founders: int, shown: int, changed: int, keys: int, left_out: bool, surroundings: str
) -> str:
    """Return the README of a founding population: its origin, its result, what it reveals.

    Args:
        run: the run that it was exported from.
        founders: how many there are.
        shown: how many of them show demonstrations.
        changed: how many of them change the model's weights.
        keys: how many content keys of seen items it holds.
        left_out: whether demonstrations were left out.
        surroundings: sentences on the campaign's rows and model.
    """
    claim = (run.result or {}).get("claim")
    parts = [
        f"# {in_markdown(run.run.get('name') or run.directory.name)}",
        f"Founding population, exported from a run of evolm: {counted(founders, 'founder')} to start from.",
        _origin(run),
        f"**Result.** {in_markdown(claim) if claim else 'The run was exported before it was finished.'}",
        _scores(run),
        LEFT_OUT if left_out else f"**What they show.** {_examples(shown)}",
        _changes(run, changed),
        SEEN.format(keys=counted(keys, "content key")),
        f"**What they need.** {surroundings}",
    ]
    return "\n\n".join(_wrapped(part) for part in parts if part) + "\n"


def _origin(run: RunRecord) -> str:
    head, spent = run.run, (run.result or {}).get("budget") or {}
    model, task, strategy = head.get("model") or {}, run.task, head.get("strategy") or {}
    evaluations = f" and {counted(spent['evaluations'], 'evaluation')}" if spent else ""
    fingerprint = as_code(str(model.get("fingerprint"))[:16])
    return (
        f"**Origin.** The run {as_code(run.directory.resolve().name)}: strategy {as_code(strategy.get('name'))} with "
        f"seed {in_markdown(head.get('seed'))}{evaluations}; task {as_code(task.get('name'))} "
        f"({in_markdown(task.get('kind'))}, measured by {in_markdown(run.metric)}); "
        f"model {as_code(model.get('name'))} in {in_markdown(model.get('dtype'))}, fingerprint {fingerprint}."
    )


def _scores(run: RunRecord) -> str:
    rows = score_rows(run)
    items = (run.test or {}).get("items")
    lines = [f"| {in_markdown(run.metric)}, {in_markdown(items)} test items | score |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| {in_markdown(row.name)} | {row.score:.3f} |" for row in rows)]) if rows else ""


def _examples(shown: int) -> str:
    if not shown:
        return "None of them shows demonstrations."
    return f"{shown} of them show demonstrations: rows of the data, word for word."


def _changes(run: RunRecord, changed: int) -> str:
    if not changed:
        return ""
    space = run.run["space"]["delta"]
    modules = ", ".join(map(as_code, space["target_modules"]))
    founders = f"{changed} of them {'changes' if changed == 1 else 'change'}"
    return CHANGED.format(
        founders=founders, genes=space["genes"], encoding=as_code(space["encoding"]), modules=modules
    )


def _wrapped(part: str) -> str:
    """Fill a paragraph's lines; tables stay as they are."""
    if part.startswith("|"):
        return part
    return textwrap.fill(part.strip(), WIDTH, break_long_words=False, break_on_hyphens=False)
