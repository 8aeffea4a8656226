"""Reading a run's saved prompt without evolm's own reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

from evolm.config import load
from evolm.tasks import Task, load_task


def task_of(run: Path) -> Task:
    config = load(run / "campaign.toml")
    return load_task(config.task, config.template, root=run, trusted=True)


def render(record: dict[str, Any], prompt: str, fields: dict[str, str]) -> str:
    """Put an item where the prompt shows its template."""
    before, found, after = prompt.rpartition(record["item"])  # what a chat template adds follows the item
    assert found
    return before + jinja2.Template(record["item"]).render(fields) + after
