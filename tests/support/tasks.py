"""The toy task as a file, and what scorers are made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from evolm.config import TaskSection, TemplateSection
from evolm.models import Decoding, LanguageModel
from evolm.scorers import LabelProbabilities, Scoring
from evolm.tasks import Task, load_task
from tests.support.toy_campaign import toy_rows, write_rows


def write_toy_task(folder: Path, n: int = 120) -> Task:
    """Write ``toy_rows(n)`` into a folder and return them as a task: for 120, 36 train, 36 dev and 48 test items."""
    path = write_rows(folder / "toy.csv", toy_rows(n))
    section = TaskSection(
        data=path.name, columns={"text": "text", "label": "label"}, labels={"ham": "ham", "spam": "spam"}
    )
    return load_task(section, TemplateSection(item="Text: {{ text }}\nLabel:"), root=folder)


def scoring(
    task: Task,
    model: LanguageModel,
    normalization: str = "auto",
    words: Mapping[str, Sequence[str]] = {},
    decoding: Decoding = Decoding(max_new_tokens=8),
) -> Scoring:
    """Return what scorers of a task on a model are made from; the length of a prompt is its number of words."""
    labels = None if task.kind == "generation" else LabelProbabilities(task, model, normalization, words)
    return Scoring(task, model, labels, decoding, lambda genome: len(genome.prefix(task.template).split()))
