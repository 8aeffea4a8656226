"""A saved prompt on the disk: where it lies, what its ``prompt.json`` says, and what its run has seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from evolm.artifacts.prompt_files import ADAPTER_CONFIG, FILE, SCHEMA
from evolm.config import CampaignConfig, GenerationSection, Section, TemplateSection, validate
from evolm.errors import RunError, nearest
from evolm.models import PassSettings
from evolm.storage import RunLayout
from evolm.wording import listed


class SavedModel(Section):
    """The model that a prompt was evolved for, its files' fingerprint, and the size of its forward passes."""

    name: str
    fingerprint: str
    dtype: Literal["float32", "bfloat16"]
    revision: str = ""
    slab_tokens: int = PassSettings().slab_tokens


class PromptRecord(Section):
    """The content of ``prompt.json``, as :func:`evolm.export.best_files` writes it.

    Attributes:
        item: source of the item's template, the task's own if ``template.item`` is empty.
        normalization: of answers' log-probabilities; None of a generation task.
        task: what ``[task]`` says about reading rows.
        answers: label -> the text that answers with it.
        prior: label -> nats to take from its log-probability, of a calibrated prompt.
        delta: which space the delta beside this file is of; None where the model is not changed.
        left_out: demonstrations that the prompt showed when it was scored, and that were left out on export.
    """

    schema_version: Literal[2] = Field(alias="schema")
    genome: dict[str, Any]
    item: str
    normalization: str | None
    chat_template: bool
    model: SavedModel
    task: dict[str, Any]
    template: TemplateSection
    generation: GenerationSection | None
    answers: dict[str, str] = Field(default_factory=dict)
    prior: dict[str, float] | None = None
    delta: dict[str, Any] | None = None
    left_out: int = 0

    @classmethod
    def read(cls, path: Path) -> PromptRecord:
        """Read the file.

        Raises:
            RunError: if it is no JSON object, or one of another schema.
            ConfigError: if a key is missing, unknown or of a wrong type.
        """
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{path}: expected a prompt saved by evolm: {error}") from None
        if not isinstance(found, dict) or found.get("schema") != SCHEMA:
            schema = found.get("schema") if isinstance(found, dict) else None
            raise RunError(f"{path}: expected a prompt saved by evolm with schema {SCHEMA}, found schema {schema!r}")
        return validate(cls, found, str(path))

    def campaign(self, where: str) -> CampaignConfig:
        """Return the campaign that the prompt remembers; it has no rows of its own."""
        model = self.model.model_dump(exclude={"fingerprint", "slab_tokens"})
        tables = {
            "model": {**model, "chat_template": "on" if self.chat_template else "off"},
            "task": {**self.task, "data": "rows", "normalization": self.normalization or "auto"},
            "template": self.template,
            "generation": self.generation or {},
            "evaluation": {"slab_tokens": self.model.slab_tokens},
        }
        return validate(CampaignConfig, tables, where)


def find_prompt(place: Path, use: str = "best") -> Path:
    """Return the ``prompt.json`` that ``place`` stands for.

    Args:
        place: a run's directory, an exported folder, or the file itself.
        use: of a run: ``"best"``, or a folder's name in ``baselines/``.

    Raises:
        RunError: if there is none.
    """
    layout = RunLayout(place)
    if layout.journal.exists():
        layout.require_run()
        return _prompt_of_run(layout, use)
    path = place if place.is_file() else place / FILE
    if not path.exists() and (place / ADAPTER_CONFIG).exists():
        raise RunError(f"{place}: expected an adapter with {FILE}, which tells its prompt, found one without")
    if not path.exists():
        raise RunError(f"{place}: expected a run, a folder with {FILE} or that file, found none of them")
    if use != "best":
        raise RunError(f"{place}: expected a run to take {use!r} from, found a single prompt")
    return path


def _prompt_of_run(layout: RunLayout, use: str) -> Path:
    path = (layout.best if use == "best" else layout.baselines / use) / FILE
    if not path.exists():
        folders = layout.baselines.iterdir() if layout.baselines.exists() else ()
        known = ["best"] * layout.best.exists() + sorted(folder.name for folder in folders)
        raise RunError(f"{layout.directory}: expected a prompt {use!r}, found {listed(known)}{nearest(use, known)}")
    return path


def run_around(path: Path) -> RunLayout | None:
    """Return the run that a ``prompt.json`` lies in, if it does."""
    above = (RunLayout(folder) for folder in path.resolve().parents[1:3])
    return next((layout for layout in above if layout.journal.exists() and layout.items.exists()), None)


def seen_by_run(path: Path) -> frozenset[str] | None:
    """Return the content keys of what a prompt's run selected on or learned from; None where no run is around."""
    layout = run_around(path)
    return None if layout is None else frozenset(layout.read_seen())
