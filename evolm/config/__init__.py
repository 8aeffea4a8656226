"""``campaign.toml`` to validated sections and back.

Every table of the file is one pydantic model here; an unknown key is an error that names the nearest known one.
Tables whose keys depend on names (``[strategy]``, ``[scorers]``, ...) are plain dictionaries here; their models are
built from the catalogues in :mod:`evolm.named_tables` and applied when the campaign is built.
"""

from __future__ import annotations

from evolm.config.base import AnySection, Section, plain, validate
from evolm.config.campaign import FILE_NAME, SCHEMA, CampaignConfig, load
from evolm.config.evaluation import BudgetSection, EvaluationSection, FinalsSection, GuardSection
from evolm.config.learning import LearningSection, SelfTrainingSection
from evolm.config.models import ModelSection, WriterSection
from evolm.config.search import (
    AUTO,
    DEFAULT_STRATEGY,
    EXTERNAL,
    FitnessSection,
    OperatorsSection,
    StageSection,
    stages_of,
    strategy_settings,
)
from evolm.config.space import DeltaSpaceSection, PromptSpaceSection, ReadoutSpaceSection, SpaceSection
from evolm.config.tables import overlay, own_read, parse_assignments, read_tables, toml_text
from evolm.config.task import FRAME, DataFiles, ReadSection, SplitSection, TaskSection
from evolm.config.texts import GenerationSection, TemplateSection

__all__ = [
    "AUTO",
    "DEFAULT_STRATEGY",
    "EXTERNAL",
    "FILE_NAME",
    "FRAME",
    "SCHEMA",
    "AnySection",
    "BudgetSection",
    "CampaignConfig",
    "DataFiles",
    "DeltaSpaceSection",
    "EvaluationSection",
    "FinalsSection",
    "FitnessSection",
    "GenerationSection",
    "GuardSection",
    "LearningSection",
    "ModelSection",
    "OperatorsSection",
    "PromptSpaceSection",
    "ReadSection",
    "ReadoutSpaceSection",
    "Section",
    "SelfTrainingSection",
    "SpaceSection",
    "SplitSection",
    "StageSection",
    "TaskSection",
    "TemplateSection",
    "WriterSection",
    "load",
    "overlay",
    "own_read",
    "parse_assignments",
    "plain",
    "read_tables",
    "stages_of",
    "strategy_settings",
    "toml_text",
    "validate",
]
