"""A founding population to take home: the best prompts of a run, its campaign, and a page about both.

The founders bring the content keys of all that their lineage has seen, also where demonstrations are left out:
without them nobody could refuse a test split that holds the same rows. A key is a plain hash. It gives no row away,
but who has a row, or guesses it, can tell that it was there; the page says so, and how to take the keys out.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from evolm.config import EXTERNAL, SCHEMA, CampaignConfig
from evolm.report.reading import RunRecord
from evolm.report.tables import score_rows
from evolm.storage.layout import FOUNDERS
from evolm.wording import counted

README = "README.md"
WIDTH = 118

Record = dict[str, Any]
Placed = tuple[Record, str]  # a genome's record, and where it comes from

SEEN = """
**What they have seen.** The first line of `founders.jsonl` holds {keys}, one for each item that these prompts, or
those they descend from, were selected on or learned from. With them evolm refuses to test the prompts on what they
know: keep `[task.split]`, or test on other rows. A key is a hash of the item's text. No row can be read from it,
but who has a row, or guesses it, can tell that it was there. Where even that must not be known, delete the line;
then nobody but you guards the test split.
"""
CHANGED = """
**What they change.** {founders} the model's weights: `deltas.safetensors` has a vector of {genes} genes each, for the
`[space.delta]` of `campaign.toml` (encoding `{encoding}`, modules {modules}). They fit this model and no other; evolm
compares fingerprints.
"""
LEFT_OUT = """
**What they show.** Demonstrations were left out, so these are not the prompts that were scored. Instructions are as
they were evolved: one that a model wrote may repeat a row, so read them before you give them away.
"""


def without_demonstrations(placed: Iterable[Placed], fewest: int) -> Iterator[Placed]:
    """Yield founders' records without demonstrations, each prompt without a delta once, in order.

    Args:
        placed: records and where they come from.
        fewest: demonstrations that a prompt of this campaign must show; so many will be drawn from the train rows of
            whoever starts from these founders.
    """
    known = set()
    for record, where in placed:
        if "prompt" in record:
            yield {**record, "prompt": _bare(record["prompt"], fewest)}, where
            continue
        bare = _bare(record, fewest)
        digest = json.dumps(bare, sort_keys=True)
        if digest not in known:
            known.add(digest)
            yield bare, where


def _bare(prompt: Record, fewest: int) -> Record:
    bare = {key: value for key, value in prompt.items() if key != "demonstrations"}
    return {**bare, "demonstrations": fewest} if fewest else bare


def campaign_tables(config: CampaignConfig, data: Any, name: str) -> Record:
    """Return the tables of a run's campaign as a founding population has them: what differs from the defaults.

    Args:
        config: the run's resolved campaign.
        data: ``task.data``.
        name: ``task.name``; data that moved would name the task anew.
    """
    tables = config.model_dump(by_alias=True, mode="json", exclude_defaults=True, exclude={"evaluation"})
    tables["task"] |= {"name": name, "data": data}
    if config.strategy.get("name") == EXTERNAL:  # whoever starts from these founders chooses another
        tables.pop("strategy", None)
    return {"schema": SCHEMA} | tables | {"founders": [FOUNDERS]}


def population_readme(
    run: RunRecord, *, founders: int, shown: int, changed: int, keys: int, left_out: bool, surroundings: str
) -> str:
    """Return the page about a founding population: where it comes from, its result, what it reveals.

    Args:
        run: the run that it comes from.
        founders: how many there are.
        shown: how many of them show demonstrations.
        changed: how many of them change the model's weights.
        keys: how many content keys of seen items it holds.
        left_out: whether demonstrations were left out.
        surroundings: sentences about the campaign's rows and model.
    """
    parts = [
        f"# {run.run.get('name') or run.directory.name}",
        f"Founding population, exported from a run of evolm: {counted(founders, 'founder')} to start from.",
        _origin(run),
        f"**Result.** {(run.result or {}).get('claim') or 'The run was exported before it was finished.'}",
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
    fingerprint = str(model.get("fingerprint"))[:16]
    return (
        f"**Where they come from.** The run `{run.directory.resolve().name}`: strategy `{strategy.get('name')}` with "
        f"seed {head.get('seed')}{evaluations}; task `{task.get('name')}` ({task.get('kind')}, judged by "
        f"{run.metric}); model `{model.get('name')}` in {model.get('dtype')}, fingerprint `{fingerprint}`."
    )


def _scores(run: RunRecord) -> str:
    rows = score_rows(run)
    items = (run.test or {}).get("items")
    lines = [f"| {run.metric}, {items} test items | score |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| {row.name} | {row.score:.3f} |" for row in rows)]) if rows else ""


def _examples(shown: int) -> str:
    if not shown:
        return "None of them shows demonstrations."
    return f"{shown} of them show demonstrations: rows of the data, word for word."


def _changes(run: RunRecord, changed: int) -> str:
    if not changed:
        return ""
    space = run.run["space"]["delta"]
    modules = ", ".join(f"`{name}`" for name in space["target_modules"])
    founders = f"{changed} of them {'changes' if changed == 1 else 'change'}"
    return CHANGED.format(founders=founders, genes=space["genes"], encoding=space["encoding"], modules=modules)


def _wrapped(part: str) -> str:
    """Fill a paragraph's lines; tables stay as they are."""
    if part.startswith("|"):
        return part
    return textwrap.fill(part.strip(), WIDTH, break_long_words=False, break_on_hyphens=False)
