"""``prompt.json``: the one model of its content, which both writes and reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import Field, field_serializer, field_validator

from evolm.choices import Dtype
from evolm.config import CampaignConfig, GenerationSection, ModelSection, Section, TemplateSection, validate
from evolm.config.models import KeyVariable
from evolm.errors import ConfigError, RunError
from evolm.genomes import Prompt
from evolm.models import PassSettings
from evolm.readout_kinds import KINDS_OF_READOUTS
from evolm.scorers import LabelProbabilities
from evolm.tasks import Task
from evolm.tasks.checks import check_settings
from evolm.typed import text_of
from evolm.wording import listed

if TYPE_CHECKING:
    from evolm.models import Model

SCHEMA: Final = 3
# Keys of [task] that say how rows are read; the other keys say which rows there were.
READING = ("name", "kind", "columns", "labels", "bins", "answer_key", "metric", "pattern")


class ModelRecord(Section):
    """The model that a prompt was evolved for, its files' fingerprint, and the size of its forward passes.

    Of a served model, ``dtype`` is ``"auto"``, and ``served`` and ``key_variable`` are those of ``[model]``.
    """

    name: str
    fingerprint: str
    dtype: Dtype
    served: str = ""
    key_variable: KeyVariable = ModelSection.model_fields["key_variable"].default
    revision: str = ""
    slab_tokens: int = PassSettings().slab_tokens

    @classmethod
    def of(cls, model: Model, section: ModelSection) -> ModelRecord:
        """Return the record of the model that a section names."""
        prepared = model.prepared
        return cls(
            name=prepared.name,
            fingerprint=prepared.fingerprint,
            dtype=prepared.dtype,
            revision=section.revision,
            served=section.served,
            key_variable=section.key_variable,
            slab_tokens=model.passes.slab_tokens,
        )


class PromptRecord(Section):
    """The content of ``prompt.json``: a prompt, and everything that is needed to apply it to other rows.

    Attributes:
        genome: the prompt's record.
        item: source of the item's template, the task's own if ``template.item`` is empty.
        normalization: of answers' log-probabilities; None for a generation task.
        chat_template: whether the model's chat template is used.
        task: the keys ``READING`` of ``[task]``.
        generation: None unless it is a generation task.
        answers: label -> the text that answers with it.
        prior: label -> nats to subtract from its log-probability; None unless the readout is ``"contextual"``.
        delta: identity of the space of the delta beside this file; None if the model is not changed.
        readout: its kind; None if labels are read by their words. One that is fitted lies beside this file.
        left_out: demonstrations that the prompt had when it was scored, and that were left out on export.
    """

    schema_version: Literal[3] = Field(alias="schema")
    genome: dict[str, Any]
    item: str
    normalization: str | None
    chat_template: bool
    model: ModelRecord
    task: dict[str, Any]
    template: TemplateSection
    generation: GenerationSection | None
    answers: dict[str, str]
    prior: dict[str, float] | None
    delta: dict[str, Any] | None = None
    readout: str | None = None
    left_out: int = 0

    @classmethod
    def of(
        cls,
        prompt: Prompt,
        task: Task,
        model: Model,
        config: CampaignConfig,
        labels: LabelProbabilities | None,
        *,
        prior: Mapping[str, float] | None = None,
        delta: Mapping[str, Any] | None = None,
        readout: str | None = None,
        left_out: int = 0,
    ) -> PromptRecord:
        """Return the record of a prompt.

        Args:
            prompt: the prompt.
            task, model: of its campaign.
            config: its ``[task]``, ``[template]`` and ``[generation]`` are kept.
            labels: how labels are compared; None for a generation task.
            prior, delta, readout, left_out: see the class.
        """
        answers = [task.template.answer(prompt.word(label)) for label in task.labels]
        return cls(
            schema_version=SCHEMA,
            genome=prompt.to_record(),
            item=task.template.item_source,
            normalization=labels.normalization if labels else None,
            chat_template=model.chat,
            model=ModelRecord.of(model, config.model),
            task={
                **config.task.model_dump(mode="json", include=set(READING)),
                "metric": task.metric,
                "answer_key": task.answer_key,
                "labels": {} if config.task.bins else config.task.labels or {word: word for word in task.labels},
            },
            template=config.template,
            generation=None if labels else config.generation,
            answers={
                label: answer.lstrip() if model.chat else answer
                for label, answer in zip(task.labels, answers, strict=True)
            },
            prior=None if prior is None else dict(prior),
            delta=None if delta is None else dict(delta),
            readout=readout,
            left_out=left_out,
        )

    @field_validator("readout")
    @classmethod
    def _known_readout(cls, kind: str | None) -> str | None:
        if kind is not None and kind not in KINDS_OF_READOUTS:
            raise ValueError(f"expected a kind of readout among {listed(KINDS_OF_READOUTS)}, found {kind!r}")
        return kind

    @field_serializer("template", "generation")
    def _all_keys(self, section: Section | None) -> dict[str, Any] | None:
        """Keep defaults, which may change between versions."""
        return None if section is None else section.model_dump(mode="json")

    def to_json(self) -> str:
        """Return the text of the file; optional keys without a value are left out."""
        return to_json(self.model_dump(mode="json", by_alias=True, exclude_defaults=True))

    @classmethod
    def read(cls, path: Path) -> PromptRecord:
        """Read the file.

        Raises:
            RunError: if it is no JSON object, or one of another schema.
            ConfigError: if a key is missing, unknown or of a wrong type.
        """
        try:
            found = json.loads(text_of(path))
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(f"{path}: expected a prompt saved by evolm: {error}") from None
        if not isinstance(found, dict) or found.get("schema") != SCHEMA:
            schema = found.get("schema") if isinstance(found, dict) else None
            raise RunError(f"{path}: expected a prompt saved by evolm with schema {SCHEMA}, found schema {schema!r}")
        return validate(cls, found, str(path))

    def with_model_name(self, name: str) -> PromptRecord:
        """Return the record with another name for the same model."""
        return self.model_copy(update={"model": self.model.model_copy(update={"name": name, "revision": ""})})

    def campaign(self, where: str) -> CampaignConfig:
        """Return the campaign that the record describes, without rows.

        Args:
            where: name of the file, for messages.

        Raises:
            ConfigError: if a value of ``task`` is wrong, or contradicts another one.
        """
        model = self.model.model_dump(exclude={"fingerprint", "slab_tokens"})
        tables = {
            "model": {**model, "chat_template": "on" if self.chat_template else "off"},
            "task": {**self.task, "data": "rows", "normalization": self.normalization or "auto"},
            "template": self.template,
            "generation": self.generation or {},
            "evaluation": {"slab_tokens": self.model.slab_tokens},
        }
        config = validate(CampaignConfig, tables, where)
        try:
            check_settings(config.task)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None
        return config


def to_json(record: Any) -> str:
    """Return indented JSON, as files for people have it."""
    return json.dumps(record, ensure_ascii=False, indent=2) + "\n"
