"""The folder of a prompt: exactly the text that the model reads, and everything needed to apply it to other rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from evolm.artifacts.delta import DELTA_FILE, delta_files
from evolm.artifacts.prompt_record import PromptRecord, to_json
from evolm.artifacts.readout import READOUT_FILE, readout_files
from evolm.config import CampaignConfig
from evolm.genomes import DELTA, Genome, Phenotype, Prompt, Space
from evolm.models import Generate
from evolm.readout_kinds import CONTEXTUAL, WORDS
from evolm.scorers import LabelProbabilities
from evolm.storage.layout import PROMPT
from evolm.tasks import Task

if TYPE_CHECKING:
    from evolm.evaluation.engine import Engine
    from evolm.models import Model

Messages: TypeAlias = list[dict[str, str]]

PROMPT_FILE, MESSAGES_FILE = "prompt.json", "messages.json"
FILES = (PROMPT, PROMPT_FILE, MESSAGES_FILE, DELTA_FILE, READOUT_FILE)


def rendered_prompt(prompt: Prompt, task: Task) -> str:
    """Return the prompt followed by the source of the item's template in the place of an item."""
    return prompt.prefix(task.template) + task.template.item_source


def prompt_folder(
    genome: Genome,
    space: Space,
    task: Task,
    model: Model,
    config: CampaignConfig,
    labels: LabelProbabilities | None,
    engine: Engine,
    left_out: int = 0,
) -> dict[str, str | bytes]:
    """Return the files of a prompt's folder: name -> content.

    ``prompt.txt`` is for people, ``prompt.json`` for programs. ``messages.json`` is written if the model's chat
    template turns it into exactly that prompt (not if the template adds a system message of its own, or the prompt's
    text holds control tokens), ``delta.safetensors`` if the model is changed, ``readout.safetensors`` if labels are
    read by a fitted map.

    Args:
        genome, space: the genome, and the space that it is from.
        task, model: of its campaign.
        config: its ``[task]``, ``[template]`` and ``[generation]`` are kept.
        labels: how labels are compared; None for a generation task.
        engine: answers requests for the prior of labels, and for what a readout is fitted on.
        left_out: see :class:`PromptRecord`.
    """
    expressed, deltas = space.express(genome), space.get(DELTA)
    changed = delta_files(genome, deltas)
    files: dict[str, str | bytes] = {**changed, **readout_files(expressed, labels, engine)}
    prompt, template = expressed.prompt, task.template
    kind = expressed.readout.kind if expressed.readout else WORDS
    request = Generate(prompt.prefix(template), template.item_source, system=template.system)
    text = "".join(model.render(request)[:2])
    record = PromptRecord.of(
        prompt,
        task,
        model,
        config,
        labels,
        prior=_prior(expressed, labels, engine) if labels and labels.task.labels and kind == CONTEXTUAL else None,
        delta=deltas.identity() if deltas and changed else None,
        readout=None if kind == WORDS else kind,
        left_out=left_out,
    )
    files |= {PROMPT: text, PROMPT_FILE: record.to_json()}
    system: Messages = [{"role": "system", "content": template.system}] if template.system else []
    messages = [*system, {"role": "user", "content": rendered_prompt(prompt, task)}]
    # Another program would read control tokens in the prompt's own text as control.
    as_text = not model.control.found(messages[-1]["content"])
    if model.chat and as_text and model.render_messages(messages) == text:
        files[MESSAGES_FILE] = to_json(messages)
    return files


def _prior(expressed: Phenotype, labels: LabelProbabilities, engine: Engine) -> dict[str, float]:
    """Return label -> log-probability (nats) behind content-free inputs."""
    requests = [replace(request, delta=expressed.delta) for request in labels.prior_requests(expressed.prompt, ())]
    (prior,) = labels.prior(expressed.prompt, engine.answer(requests), ())
    return dict(zip(labels.task.labels, map(float, prior), strict=True))
