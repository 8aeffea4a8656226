"""A prompt to take home: exactly what the model reads, and everything needed to apply it to other rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from evolm.artifacts.delta import DELTA_FILE, delta_files
from evolm.config import CampaignConfig
from evolm.genomes import DELTA, Genome, Phenotype, Prompt, Space
from evolm.models import Generate, PassSettings, Request
from evolm.scorers import LabelProbabilities
from evolm.storage.layout import PROMPT
from evolm.tasks import Task

if TYPE_CHECKING:
    from evolm.models import LanguageModel


Messages: TypeAlias = list[dict[str, str]]
Ask: TypeAlias = Callable[[Sequence[Request]], Sequence[Any]]  # requests -> their answers, in order

SCHEMA = 2
FILE = "prompt.json"
ADAPTER_CONFIG = "adapter_config.json"  # PEFT's name; a folder that has it holds an adapter
FILES = (PROMPT, FILE, "messages.json", DELTA_FILE)
# What of [task] says how rows are read; the rest says which rows there were.
READING = ("name", "kind", "columns", "labels", "answer_key", "metric", "pattern")


def rendered_prompt(prompt: Prompt, task: Task) -> str:
    """Return the prompt with the item's template, unrendered, where an item goes."""
    return prompt.prefix(task.template) + task.template.item_source


def best_files(
    genome: Genome,
    space: Space,
    task: Task,
    model: LanguageModel,
    config: CampaignConfig,
    labels: LabelProbabilities | None,
    ask: Ask,
) -> dict[str, str | bytes]:
    """Return the files of a prompt's folder: name -> content.

    ``prompt.txt`` for people, ``prompt.json`` for programs, ``messages.json`` too where the model's chat template
    makes exactly that prompt of them (not so where it would add a system message of its own), and
    ``delta.safetensors`` where the model is changed.

    Args:
        genome, space: what was evolved.
        task, model: what it was evolved for.
        config: its ``[task]``, ``[template]`` and ``[generation]`` are kept.
        labels: how labels are compared; None for a generation task.
        ask: asks the model for the prior of a calibrated prompt: nats to take from each label's log-probability.
    """
    seen, deltas = space.express(genome), space.get(DELTA)
    kept = delta_files(genome, deltas)
    prompt = seen.prompt
    template = task.template
    request = Generate(prompt.prefix(template), template.item_source, system=template.system)
    exact = "".join(model.render(request)[:2])
    record: dict[str, Any] = {
        "schema": SCHEMA,
        "genome": prompt.to_record(),
        "item": template.item_source,
        "normalization": labels.normalization if labels else None,
        "chat_template": model.chat,
        "model": {
            "name": model.prepared.name,
            "fingerprint": model.prepared.fingerprint,
            "dtype": model.prepared.dtype,
            **({"revision": config.model.revision} if config.model.revision else {}),
            **(
                {"slab_tokens": model.passes.slab_tokens}
                if model.passes.slab_tokens != PassSettings().slab_tokens
                else {}
            ),
        },
        "task": {
            **config.task.model_dump(mode="json", include=set(READING)),
            "metric": task.metric,
            "answer_key": task.answer_key,
            "labels": config.task.labels or {label: label for label in task.labels},
        },
        "template": config.template.model_dump(mode="json"),
        "generation": config.generation.model_dump(mode="json") if labels is None else None,
        **({"delta": deltas.identity()} if deltas and kept else {}),
    }
    if task.labels and labels:
        answers = [template.answer(prompt.word(label)) for label in task.labels]
        shown = [answer.lstrip() if model.chat else answer for answer in answers]
        record["answers"] = dict(zip(task.labels, shown, strict=True))
        record["prior"] = _prior(seen, labels, ask) if prompt.calibrated else None
    files: dict[str, str | bytes] = {PROMPT: exact, FILE: pretty(record), **kept}
    system: Messages = [{"role": "system", "content": template.system}] if template.system else []
    messages = [*system, {"role": "user", "content": rendered_prompt(prompt, task)}]
    if model.chat and model.render_messages(messages) == exact:
        files["messages.json"] = pretty(messages)
    return files


def _prior(shown: Phenotype, labels: LabelProbabilities, ask: Ask) -> dict[str, float]:
    requests = [replace(request, delta=shown.delta) for request in labels.prior_requests(shown.prompt, ())]
    (prior,) = labels.prior(shown.prompt, ask(requests), ())
    return dict(zip(labels.task.labels, map(float, prior), strict=True))


def pretty(record: Any) -> str:
    """Return JSON for people."""
    return json.dumps(record, ensure_ascii=False, indent=2) + "\n"
