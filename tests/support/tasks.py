"""The toy task as a file."""

from __future__ import annotations

from pathlib import Path

from evolm.config import TaskSection, TemplateSection
from evolm.tasks import Task, load_task
from tests.support.toy_campaign import toy_rows, write_rows


def write_toy_task(folder: Path, n: int = 120) -> Task:
    """Write ``toy_rows(n)`` into a folder and return them as a task: for 120, 36 train, 36 dev and 48 test items."""
    path = write_rows(folder / "toy.csv", toy_rows(n))
    section = TaskSection(
        data=path.name, columns={"text": "text", "label": "label"}, labels={"ham": "ham", "spam": "spam"}
    )
    return load_task(section, TemplateSection(item="Text: {{ text }}\nLabel:"), root=folder)
