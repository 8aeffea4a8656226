"""The whole of ``campaign.toml``: all its tables, and how the file is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, field_validator

from evolm.config.base import Section, validate
from evolm.config.evaluation import BudgetSection, EvaluationSection, FinalsSection, GuardSection
from evolm.config.learning import LearningSection, SelfTrainingSection
from evolm.config.models import ModelSection
from evolm.config.search import (
    DEFAULT_STRATEGY,
    FitnessSection,
    OperatorsSection,
    StageSection,
    stages_of,
    strategy_settings,
)
from evolm.config.space import SpaceSection
from evolm.config.tables import overlay, read_tables, toml_text
from evolm.config.task import TaskSection
from evolm.config.texts import GenerationSection, TemplateSection
from evolm.typed import place

SCHEMA: Final = 1
FILE_NAME = "campaign.toml"


class CampaignConfig(Section):
    """A whole campaign file, every default filled in."""

    schema_version: Literal[1] = Field(SCHEMA, alias="schema", description="version of this format")
    name: str = Field("", description="shown in reports; empty = the folder's name")
    seed: int = Field(0, description="of the search, never of the split")
    founders: list[str] = Field(
        default_factory=list, description="JSONL files, runs or founding populations; [] = written from the task"
    )
    model: ModelSection
    task: TaskSection
    template: TemplateSection = TemplateSection()
    generation: GenerationSection = GenerationSection()
    space: SpaceSection = SpaceSection()
    scorers: dict[str, float | dict[str, Any]] = Field(
        default_factory=dict,
        description="name = weight, or a table with `weight`; "
        "empty = label_likelihood, or the metric of a generation task",
    )
    self_training: SelfTrainingSection = SelfTrainingSection()
    fitness: FitnessSection = FitnessSection()
    strategy: dict[str, Any] = Field(
        default_factory=lambda: {"name": DEFAULT_STRATEGY},
        description="name and its own keys, or a name; auto = stages that suit the task",
    )
    stage: list[StageSection] | None = Field(
        None,
        min_length=1,
        description='stages of the search, instead of [strategy]; "prompt -> delta -> prompt" is short for three',
    )
    operators: OperatorsSection = Field(
        default_factory=OperatorsSection,
        description="operator = weight; 0 = off; `writer = { model = ..., revision, dtype, device }` names another "
        "model that writes for language operators; its tokens are charged apart",
    )
    learning: LearningSection = LearningSection()
    budget: BudgetSection = BudgetSection()
    finals: FinalsSection = FinalsSection()
    guard: GuardSection | None = None
    evaluation: EvaluationSection = EvaluationSection()
    baselines: dict[str, bool] = Field(
        default_factory=dict,
        description="baseline = whether it takes part in the test; those that fit do by default",
    )

    _strategy_by_name = field_validator("strategy", mode="before")(strategy_settings)
    _stages_by_kinds = field_validator("stage", mode="before")(stages_of)

    @field_validator("founders")
    @classmethod
    def _founder_places(cls, founders: list[str]) -> list[str]:
        return list(map(place, founders))

    def to_toml(self) -> str:
        """Return the text of a file that reads back as this campaign."""
        return toml_text(self.model_dump(by_alias=True, mode="json", exclude_none=True))


def load(path: Path, overrides: Mapping[str, Any] | None = None) -> CampaignConfig:
    """Read, override and validate a campaign file.

    Args:
        path: the file.
        overrides: nested tables (from ``--set``) that replace values of the file.

    Raises:
        ConfigError: if the file cannot be read or a key or value is wrong.
    """
    tables = read_tables(path)
    changes = dict(overrides or {})
    for each in (tables, changes):
        if "strategy" in each:
            each["strategy"] = strategy_settings(each["strategy"])
    chosen, given = changes.get("strategy"), tables.get("strategy")
    if isinstance(chosen, Mapping) and "name" in chosen:
        tables.pop("stage", None)  # a strategy takes the place of the file's stages
        if not isinstance(given, Mapping) or chosen["name"] != given.get("name"):
            tables["strategy"] = {}  # the file's keys belong to the strategy that is replaced
    if "stage" in changes:
        tables.pop("strategy", None)
    return validate(CampaignConfig, overlay(tables, changes), str(path.name))
