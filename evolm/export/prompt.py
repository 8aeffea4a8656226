"""A prompt to take home: exactly what the model reads, and everything needed to apply it to other rows."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from evolm.config import Campaign
from evolm.models import Generate, LanguageModel
from evolm.scorers import LabelProbabilities
from evolm.tasks import Task

Messages = list[dict[str, str]]

# What of [task] says how rows are read; the rest says which rows there were.
READING = ("name", "kind", "columns", "labels", "answer_key", "metric", "pattern")


def rendered_prompt(genome: Any, task: Task) -> str:
    """Return the prompt with the item's template, unrendered, where an item goes."""
    return genome.prefix(task.template) + task.template.item_source


def best_files(
    genome: Any,
    task: Task,
    model: LanguageModel,
    config: Campaign,
    labels: LabelProbabilities | None,
    prior: np.ndarray | None = None,
) -> dict[str, str]:
    """Return the files of a prompt's folder: name -> content.

    ``prompt.txt`` for people, ``prompt.json`` for programs, ``messages.json`` too where the model's chat template
    makes exactly that prompt of them (not so where it would add a system message of its own).

    Args:
        genome, task, model: the prompt and what it was evolved for.
        config: its ``[task]``, ``[template]`` and ``[generation]`` are kept.
        labels: how labels are compared; None for a generation task.
        prior: ``(n_labels,)`` nats to take from each label's log-probability, where the prompt is calibrated.
    """
    template = task.template
    request = Generate(genome.prefix(template), template.item_source, system=template.system)
    exact = "".join(model.framed(request)[:2])
    record: dict[str, Any] = {
        "schema": 2,
        "genome": genome.to_record(),
        "item": template.item_source,
        "normalization": labels.normalization if labels else None,
        "chat_template": model.chat,
        "model": {
            "name": model.prepared.name,
            "fingerprint": model.prepared.fingerprint,
            "dtype": model.prepared.dtype,
        },
        "task": {
            **config.task.model_dump(mode="json", include=set(READING)),
            "metric": task.metric,
            "labels": config.task.labels or {label: label for label in task.labels},
        },
        "template": config.template.model_dump(mode="json"),
        "generation": config.generation.model_dump(mode="json") if labels is None else None,
    }
    if task.labels:
        answers = [template.answer(genome.word(label)) for label in task.labels]
        shown = [answer.lstrip() if model.chat else answer for answer in answers]
        record["answers"] = dict(zip(task.labels, shown, strict=True))
        record["prior"] = None if prior is None else dict(zip(task.labels, map(float, prior), strict=True))
    files = {"prompt.txt": exact, "prompt.json": _pretty(record)}
    system: Messages = [{"role": "system", "content": template.system}] if template.system else []
    messages = [*system, {"role": "user", "content": rendered_prompt(genome, task)}]
    if model.chat and model.rendered(messages) == exact:
        files["messages.json"] = _pretty(messages)
    return files


def _pretty(record: Any) -> str:
    return json.dumps(record, ensure_ascii=False, indent=2) + "\n"
