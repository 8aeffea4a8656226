"""``[strategy]`` or ``[[stage]]``, ``[operators]`` and ``[fitness]``: how the next generation is made."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import ConfigDict, Field, field_validator

from evolm.config.base import Section
from evolm.config.models import WriterSection

EXTERNAL: Final = "objective"  # name of the strategy of a run that an external optimizer drives
DEFAULT_STRATEGY: Final = "genetic"
AUTO: Final = "auto"  # name of the strategy that is expanded into stages


def strategy_settings(value: Any) -> Any:
    """Return a strategy's name alone, ``strategy = "auto"``, as its table."""
    return {"name": value} if isinstance(value, str) else value


class StageSection(Section):
    """A stage of the main search; it begins with the best individuals of the one before."""

    strategy: dict[str, Any] = Field(
        default_factory=dict,
        description="name and its own keys, or a name; empty = memetic if a delta evolves, else genetic",
    )
    space: tuple[str, ...] = Field(
        (),
        description="kinds of chromosomes that evolve in this stage, like prompt or delta; the others stay as they "
        "are; empty = all of [space]",
    )
    share: float = Field(1.0, gt=0, description="of the budget, relative to the other stages")
    racing: Literal["off", "race", "halving"] | None = Field(
        None, description="like evaluation.racing, for this stage; absent = the same"
    )
    founders: int = Field(5, ge=1, le=5, description="best individuals of earlier stages that this one begins with")
    readout: str = Field(
        "",
        description="kind of readout by which these are read in this stage, and evaluated anew; empty = as they were",
    )
    demonstrations: bool = Field(
        True,
        description="whether the prompts of these keep their demonstrations; without, they are evaluated anew",
    )

    _strategy_by_name = field_validator("strategy", mode="before")(strategy_settings)

    @field_validator("space", mode="before")
    @classmethod
    def _one_kind(cls, kinds: Any) -> Any:
        return [kinds] if isinstance(kinds, str) else kinds


def stages_of(text: Any) -> Any:
    """Return the stages that a text like ``"prompt+readout -> delta"`` is short for; other values as they are."""
    if not isinstance(text, str):
        return text
    kinds = [[kind.strip() for kind in stage.split("+")] for stage in text.split("->")]
    if not all(kind for stage in kinds for kind in stage):
        raise ValueError('expected kinds of chromosomes like "prompt+readout -> delta"')
    return [{"space": stage} for stage in kinds]


class OperatorsSection(Section):
    """Weights of operators by name, and the model that those ask which let a model write."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float]

    writer: WriterSection | None = Field(
        None,
        description="writes for language operators, its tokens charged apart; absent = the model that evolves",
    )

    @property
    def weights(self) -> dict[str, float]:
        """The weights that are given; their names are checked when the campaign is built."""
        return dict(self.__pydantic_extra__)


class FitnessSection(Section):
    combine: Literal["sum", "pareto"] = Field(
        "sum", description="sum = weighted sum of the scorers; pareto = an objective each, with strategy nsga2"
    )
    pick: Literal["first", "knee"] = Field(
        "first",
        description="best of a front: first = highest in the scorer named first; knee = largest sum of objectives, "
        "each scaled to the front's range",
    )
