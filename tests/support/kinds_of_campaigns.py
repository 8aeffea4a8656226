"""A small campaign of every kind of task on the tiny model, and what its best prompt said in the campaign itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from evolm.campaign.build import Components
from evolm.campaign.runs import build_from_run
from evolm.config import load
from evolm.storage import RunLayout
from evolm.tasks import Item
from tests.support.toy_campaign import ToyCampaign, write_campaign

ANIMALS = ("cat", "dog", "hen", "cow", "pig")
OPTIONS = ("A", "B", "C")  # columns of the choice task
N = 60


def _choice_rows() -> list[dict[str, str]]:
    rows = []
    for i in range(N):
        options = [ANIMALS[(i + shift) % 5] for shift in range(3)]
        rows.append({"q": f"who is number {i}?", **dict(zip(OPTIONS, options, strict=True)), "y": options[i % 3]})
    return rows


def _generation_rows() -> list[dict[str, str]]:
    return [{"text": f"a {ANIMALS[i % 5]} and {i} more", "summary": f"{ANIMALS[i % 5]} {i}"} for i in range(N)]


SMALL = {"split": {"train": 10, "dev": 8, "test": 12, "validation": 0}}
PLAIN = [{"instruction": "Which one?", "demonstrations": 1}]
CALIBRATED = [{"prompt": PLAIN[0], "readout": {"kind": "contextual"}}]
SPACE = {"prompt": {"demonstrations": [0, 2], "max_tokens": 300}}
KINDS: dict[str, dict[str, Any]] = {
    "classification": {"founders": PLAIN},
    "calibrated classification": {"founders": CALIBRATED},
    "choice": {
        "rows": _choice_rows(),
        "task": {"kind": "choice", "columns": {"q": "q", "options": list(OPTIONS), "label": "y"}, **SMALL},
        "template": {"item": "{{ q }} {{ options|join(', ') }}\nAnswer:"},
        "founders": PLAIN,
    },
    "generation": {
        "rows": _generation_rows(),
        "task": {"kind": "generation", "columns": {"text": "text", "label": "summary"}, **SMALL},
        "generation": {"max_new_tokens": 6},
        "founders": PLAIN,
    },
}
KINDS["calibrated choice"] = {**KINDS["choice"], "founders": CALIBRATED}
KINDS["chat"] = {"founders": CALIBRATED, "template": {"system": "You sort mail."}, "model__chat_template": "on"}
for kind in ("batch", "linear", "probe"):
    KINDS[f"{kind} readout"] = {"founders": PLAIN, "space": {**SPACE, "readout": {"kinds": [kind]}}}
KINDS["linear choice"] = {**KINDS["choice"], "space": {**SPACE, "readout": {"kinds": ["linear"]}}}
KINDS["perplexity"] = {**KINDS["generation"], "task": {**KINDS["generation"]["task"], "metric": "perplexity"}}


def write_kind(folder: Path, model: Path, name: str, **changes: Any) -> ToyCampaign:
    """Write the campaign of that name; its search evaluates its only founder."""
    kind = KINDS[name]
    tables: dict[str, Any] = {
        "space": SPACE,
        "budget": {"evaluations": 1},
        "baselines": {"random_search": False, "few_shot": False, "bag_of_words": False, "probe": False},
        **{key: value for key, value in kind.items() if key not in ("rows", "task", "founders")},
    }
    if "task" in kind:
        tables["task"] = {"data": "rows.csv", **kind["task"]}
    campaign = write_campaign(folder, model, **{**tables, **changes})
    lines = "".join(json.dumps(record) + "\n" for record in kind["founders"])
    (folder / "founders.jsonl").write_text(lines, encoding="utf-8")
    if "rows" in kind:
        pd.DataFrame(kind["rows"]).to_csv(folder / "rows.csv", index=False)
    return campaign


def components_of(run: Path) -> Components:
    """Build the components of a run anew."""
    return build_from_run(RunLayout(run), load(run / "campaign.toml"))


def frame_of(items: tuple[Item, ...], columns: Mapping[str, str | list[str]]) -> pd.DataFrame:
    """Return items as the rows that they were read from, gold included."""
    rows = []
    for item in items:
        row: dict[str, str | None] = {columns["label"]: item.gold}  # type: ignore[dict-item]
        row |= {str(columns[name]): text for name, text in item.fields.items()}
        row |= dict(zip(columns.get("options", ()), item.options, strict=True)) if item.options else {}
        rows.append(row)
    return pd.DataFrame(rows)
