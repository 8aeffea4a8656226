"""Tables of campaign.toml whose keys are names: of chromosomes, strategies, scorers, operators and baselines.

Their pydantic models are built from the catalogues, so validation, defaults, the JSON Schema and the comments that
``evolm init`` writes have one source. :mod:`evolm.config` stands below the catalogues and takes these tables as they
are; :class:`CampaignFile` is the same configuration with their keys known.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal, Union

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, create_model

from evolm.baselines import BASELINES
from evolm.config import (
    AUTO,
    DEFAULT_STRATEGY,
    CampaignConfig,
    LearningSection,
    OperatorsSection,
    Section,
    SpaceSection,
    StageSection,
)
from evolm.genomes import CHROMOSOMES
from evolm.operators import OPERATORS, Operator
from evolm.scorers import SCORERS
from evolm.strategies import STRATEGIES, Strategy
from evolm.wording import headline

OUTSIDE: Final = r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*$"  # package.module:attribute


# -- [strategy] ------------------------------------------------------------------------------------------------


def strategy_table(name: str, strategy: type[Strategy]) -> type[BaseModel]:
    """Return a strategy's ``Params`` with the key ``name`` added, which only the default strategy may omit."""
    default = name if name == DEFAULT_STRATEGY else ...
    key: Any = (Literal[name], Field(default, description=" | ".join(STRATEGIES)))
    about = headline(sys.modules[strategy.__module__].__doc__)
    return create_model(name, __base__=strategy.Params, __doc__=about, name=key)


class OutsideStrategy(BaseModel):
    """A strategy outside evolm, allowed with --allow PACKAGE; its keys are checked when it is imported."""

    model_config = ConfigDict(extra="allow", title="package.module:attribute")

    name: str = Field(pattern=OUTSIDE)


class AutoStrategy(Section):
    """Stages that suit the task: prompts and readouts first, then learning under the best of them."""

    model_config = ConfigDict(title=AUTO)

    name: Literal["auto"] = Field(description=" | ".join((AUTO, *STRATEGIES)))


STRATEGY_TABLES: dict[str, type[BaseModel]] = {
    name: strategy_table(name, strategy) for name, strategy in STRATEGIES.items()
}
_OUTSIDE_TAG = "package.module:attribute"


def _strategy_tag(table: Any) -> str:
    name = table.get("name", DEFAULT_STRATEGY) if isinstance(table, Mapping) else getattr(table, "name", "")
    return _OUTSIDE_TAG if ":" in str(name) else str(name)


StrategyTable: Any = Annotated[
    Union[
        (
            *(Annotated[table, Tag(name)] for name, table in STRATEGY_TABLES.items()),
            Annotated[AutoStrategy, Tag(AUTO)],
            Annotated[OutsideStrategy, Tag(_OUTSIDE_TAG)],
        )
    ],
    Discriminator(_strategy_tag),
]

StrategyName: Any = Literal[(AUTO, *STRATEGIES)] | Annotated[str, Field(pattern=OUTSIDE)]
StageKinds: Any = tuple[str, ...] | str


class StageTable(StageSection):
    """A stage of the main search; it begins with the best individuals of the one before."""

    strategy: StrategyTable | StrategyName = StageSection.model_fields["strategy"]
    space: StageKinds = StageSection.model_fields["space"]


Stages: Any = list[StageTable] | str | None


# -- [space] ---------------------------------------------------------------------------------------------------


def _space_table() -> type[BaseModel]:
    """Return the model of ``[space]``: a table per kind of chromosome; any table for outside code."""
    keys: dict[str, Any] = {
        name: (kind.Params | None, Field(None, description=headline(kind.__doc__)))
        for name, kind in CHROMOSOMES.items()
        if name not in SpaceSection.model_fields
    }
    schema: Any = {"patternProperties": {OUTSIDE: {"type": "object"}}, "additionalProperties": False}
    made = create_model("Space", __base__=SpaceSection, __doc__=SpaceSection.__doc__, **keys)
    made.model_config["json_schema_extra"] = schema
    made.model_rebuild(force=True)
    return made


# -- [scorers], [operators] and [baselines] ---------------------------------------------------------------------


def _scorers_table() -> type[BaseModel]:
    """Return the model of ``[scorers]``: a key per scorer, a weight or a table; any value for outside code."""
    keys: dict[str, Any] = {
        name: (
            float | scorer.Params,
            Field(default_factory=scorer.Params, description=headline(scorer.__doc__)),
        )
        for name, scorer in SCORERS.items()
    }
    outside: Any = {"anyOf": [{"type": "number"}, {"type": "object"}]}
    schema: Any = {"patternProperties": {OUTSIDE: outside}, "additionalProperties": False}
    return create_model("Scorers", __config__=ConfigDict(extra="allow", json_schema_extra=schema), **keys)


def operators_table(operators: Iterable[Operator]) -> type[BaseModel]:
    """Return the model of the weights in ``[operators]``."""
    keys: dict[str, Any] = {
        operator.name: (float, Field(operator.weight, ge=0, description=operator.summary)) for operator in operators
    }
    return create_model("Weights", __base__=Section, **keys)


def _operators_table() -> type[BaseModel]:
    """Return the model of ``[operators]``: a weight per operator, and the writer."""
    base = operators_table(OPERATORS.values())
    writer: Any = (OperatorsSection.model_fields["writer"].annotation, OperatorsSection.model_fields["writer"])
    return create_model("Operators", __base__=base, __doc__=OperatorsSection.__doc__, writer=writer)


def _baselines_table() -> type[BaseModel]:
    """Return the model of ``[baselines]``: whether each baseline that can be switched takes part."""
    keys: dict[str, Any] = {
        name: (bool, Field(baseline.default, description=baseline.summary))
        for name, baseline in BASELINES.items()
        if baseline.switchable
    }
    return create_model("Baselines", __base__=Section, **keys)


SpaceTables: Any = _space_table()
Scorers: Any = _scorers_table()
Operators: Any = _operators_table()
Baselines: Any = _baselines_table()


RewardTable: Any = Scorers | str


class LearningTable(LearningSection):
    """What genes of a delta learn by gradient."""

    reward: RewardTable = LearningSection.model_fields["reward"]


Learning: Any = LearningTable


class CampaignFile(CampaignConfig):
    """The campaign file with the keys of every chromosome, strategy, scorer, operator and baseline."""

    space: SpaceTables = CampaignConfig.model_fields["space"]
    strategy: StrategyTable | StrategyName = CampaignConfig.model_fields["strategy"]
    stage: Stages = CampaignConfig.model_fields["stage"]
    scorers: Scorers = CampaignConfig.model_fields["scorers"]
    operators: Operators = CampaignConfig.model_fields["operators"]
    learning: Learning = CampaignConfig.model_fields["learning"]
    baselines: Baselines = CampaignConfig.model_fields["baselines"]
