"""The best prompt, exactly as the model read it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from evolm.models import LanguageModel, LogLikelihood
from evolm.tasks import Task

Messages = list[dict[str, str]]


def rendered_prompt(genome: Any, task: Task) -> str:
    """Return the prompt with the item's template, unrendered, where an item goes."""
    return genome.prefix(task.template) + task.template.item_source


def best_files(
    genome: Any, task: Task, model: LanguageModel, normalization: str, prior: np.ndarray | None = None
) -> dict[str, str]:
    """Return the files of a prompt's folder: name -> content.

    ``prompt.txt`` for people, ``prompt.json`` for programs (genome, answers, how they are compared),
    ``messages.json`` too where the model's chat template makes exactly that prompt of them (not so where it
    would add a system message of its own).
    """
    text = rendered_prompt(genome, task)
    request = LogLikelihood(genome.prefix(task.template), task.template.item_source, (), task.template.system)
    exact = "".join(model.framed(request)[:2])
    answers = dict(zip(task.labels, genome.answers(task.template, task.labels), strict=True))
    shifts = None if prior is None else dict(zip(task.labels, map(float, prior), strict=True))
    record: dict[str, Any] = {
        "schema": 1,
        "genome": genome.to_record(),
        "item": task.template.item_source,
        "answers": {label: answer.lstrip() if model.chat else answer for label, answer in answers.items()},
        "normalization": normalization,
        "prior": shifts,  # nats to take from each label's normalised log-probability, where it is calibrated
        "chat_template": model.chat,
        "model": {
            "name": model.prepared.name,
            "fingerprint": model.prepared.fingerprint,
            "dtype": model.prepared.dtype,
        },
    }
    files = {"prompt.txt": exact, "prompt.json": _pretty(record)}
    system: Messages = [{"role": "system", "content": task.template.system}] if task.template.system else []
    messages = [*system, {"role": "user", "content": text}]
    if model.chat and model.rendered(messages) == exact:
        files["messages.json"] = _pretty(messages)
    return files


def _pretty(record: Any) -> str:
    return json.dumps(record, ensure_ascii=False, indent=2) + "\n"
