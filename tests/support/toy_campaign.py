"""A campaign so small that a test can run it many times, and what tests ask about its run directory."""

from __future__ import annotations

import copy
import csv
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tomlkit

from evolm import config as configuration
from evolm import statistics
from evolm.campaign import Run, start_run
from evolm.report import page, views

EVALUATIONS, DEV, TEST = 14, 10, 14
TABLES: dict[str, Any] = {
    "founders": ["founders.jsonl"],
    "task": {
        "data": "toy.csv",
        "columns": {"text": "text", "label": "label"},
        "split": {"train": 10, "dev": DEV, "test": TEST, "validation": 8},
    },
    "space": {"prompt": {"demonstrations": [0, 2], "max_tokens": 240, "verbalizers": {"ham": ["fine"]}}},
    "strategy": {"name": "genetic", "population_size": 5},
    "budget": {"evaluations": EVALUATIONS},
    "evaluation": {"n_jobs": 1},
    "finals": {"committee": 0, "soup": 0, "relearn": False},
    "baselines": {"bag_of_words": False, "probe": False},
}
FOUNDERS = [
    {"instruction": "Is it spam, or ham?"},
    {"instruction": "Read the text. Say spam if it sells, else ham.", "demonstrations": 1},
]
SPAM = ("win a free prize", "claim your cash now", "urgent offer call", "cheap loan today")
HAM = ("see you at lunch", "mum says hello", "the meeting moved to", "happy birthday dear")


def toy_rows(n: int = 60) -> list[tuple[str, str]]:
    """Return ``(text, label)`` pairs."""
    return [(f"{(SPAM, HAM)[i % 2][i // 2 % 4]} {i}", ("spam", "ham")[i % 2]) for i in range(n)]


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with dotted keys, like ``{"budget.items": 50}``, set."""
    tables = copy.deepcopy(dict(base))
    for key, value in changes.items():
        *path, last = key.split(".")
        table = tables
        for part in path:
            table = table.setdefault(part, {})
        table[last] = value
    return tables


@contextmanager
def quick() -> Iterator[None]:
    """Cut short what takes long and writes nothing: figures and resampling. Every file is still written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "RESAMPLES", 20)
        for module in (page, views):
            patch.setattr(module, "render", lambda *arguments: "<svg/>")
        yield


@dataclass(frozen=True)
class ToyCampaign:
    """A folder with a campaign file, its data and its founders."""

    folder: Path
    tables: dict[str, Any]

    @property
    def config(self) -> configuration.CampaignConfig:
        return configuration.validate(configuration.CampaignConfig, self.tables, "campaign.toml")

    def run(self, out: Path, **arguments: Any) -> Run:
        """Run it in this process."""
        return start_run(self.config, self.folder, out, **arguments)


def write_campaign(folder: Path, model: Path | str, **changes: Any) -> ToyCampaign:
    """Write the toy campaign, some of its keys changed (dots as ``__``), into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = merged(TABLES, {"model": {"name": str(model), "dtype": "float32", "chat_template": "off"}})
    tables = merged(tables, {key.replace("__", "."): value for key, value in changes.items()})
    (folder / "campaign.toml").write_text(tomlkit.dumps(tables), encoding="utf-8")
    (folder / "founders.jsonl").write_text(
        "".join(json.dumps(founder) + "\n" for founder in FOUNDERS), encoding="utf-8"
    )
    write_rows(folder / "toy.csv", toy_rows())
    return ToyCampaign(folder, tables)


def write_rows(path: Path, rows: list[tuple[str, str]], header: tuple[str, ...] = ("text", "label")) -> Path:
    """Write a CSV."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])
    return path


def entries(run: Path, kind: str = "", search: str = "") -> list[dict[str, Any]]:
    """Return the journal's entries, or those of a type and a search."""
    found = [json.loads(line) for line in (run / "journal.jsonl").read_text(encoding="utf-8").splitlines()]
    return [e for e in found if kind in ("", e["type"]) and search in ("", e.get("search"))]


def result_of(run: Path) -> dict[str, Any]:
    """Return ``result.json``."""
    return json.loads((run / "result.json").read_text(encoding="utf-8"))


def bytes_of(run: Path) -> dict[str, bytes]:
    """Return what must not depend on interruptions or the number of workers: the journal and the best."""
    paths = [run / "journal.jsonl", *sorted(path for path in (run / "best").rglob("*") if path.is_file())]
    return {str(path.relative_to(run)): path.read_bytes() for path in paths}


def without_clock(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result without the seconds it took."""
    return merged(result, {"budget.seconds": None})
