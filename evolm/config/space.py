"""``[space]``: what evolves, a table for each kind of chromosome."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from evolm.config.base import Section
from evolm.readout_kinds import KINDS_OF_READOUTS
from evolm.typed import with_dotted_keys


class PromptSpaceSection(Section):
    instruction: bool = Field(True, description="evolve the instruction")
    demonstrations: tuple[int, int] = Field((0, 8), description="smallest and largest number of demonstrations")
    verbalizers: dict[str, list[str]] = Field(
        default_factory=dict, description="label -> words that may stand for it"
    )
    max_tokens: int = Field(600, gt=0, description="longest prompt, item excluded")

    _dotted_labels = field_validator("verbalizers", mode="before")(with_dotted_keys)


class DeltaSpaceSection(Section):
    encoding: str = Field("subspace", description="lowrank | subspace | scales | singular")
    layers: str | tuple[int, ...] = Field(
        "last:3", description="all | last:N | first:N | auto (the last fifth) | indices"
    )
    target_modules: tuple[str, ...] = Field(
        ("q_proj", "v_proj"), description="last parts of modules' names, as PEFT has them; or all-linear"
    )
    rank: int = Field(1, ge=1, description="of low-rank changes; of singular, how many singular values")
    dimension: int = Field(
        48, ge=1, description="number of genes of subspace; the other encodings determine their own"
    )
    sigma: float = Field(
        0.0,
        ge=0,
        description="step size of random genes and mutations; 0 = from the weights for subspace, else 0.1",
    )
    seed: int = Field(0, description="of the fixed random projections, never of the search")


class ReadoutSpaceSection(Section):
    kinds: tuple[str, ...] = Field(
        ("probe", "linear", "words"),
        min_length=1,
        description=f"readouts that may be tried, the founders' first: {' | '.join(KINDS_OF_READOUTS)}",
    )
    layers: Literal["auto"] | tuple[int, ...] = Field(
        "auto",
        description="layers whose states a probe may read, the first is 1; auto = five in the upper half",
    )
    poolings: tuple[Literal["last", "mean"], ...] = Field(
        ("last", "mean"), min_length=1, description="states of the last token, or the mean over the item's tokens"
    )
    strengths: tuple[float, ...] = Field(
        (), description="of the penalty, as genes; the strength that the fit chooses is always one of them"
    )
    rows: int = Field(256, ge=2, description="most train rows that a readout is fitted on")

    @property
    def evolves(self) -> bool:
        """Whether there is a choice, so that readouts differ from genome to genome."""
        known = [KINDS_OF_READOUTS[kind] for kind in set(self.kinds) if kind in KINDS_OF_READOUTS]
        return len(set(self.kinds)) > 1 or any(kind.states or (kind.strength and self.strengths) for kind in known)


class SpaceSection(Section):
    """Tables by kind of chromosome; one from outside is ``"package.module:attribute"``, admitted with --allow."""

    model_config = ConfigDict(extra="allow")  # other kinds are checked when the campaign is built

    prompt: PromptSpaceSection | None = Field(
        default=None, description="the prompts that are allowed; with [space.delta], prompt and delta evolve together"
    )
    delta: DeltaSpaceSection | None = Field(
        default=None,
        description="changes of the weights; without [space.prompt] they evolve under the founder's prompt",
    )
    readout: ReadoutSpaceSection | None = Field(
        default=None,
        description="how labels or options are read off the model; without it, by the likelihood of their words, "
        "calibrated or not",
    )

    @model_validator(mode="after")
    def _prompts_by_default(self) -> SpaceSection:
        """Evolve prompts if no other chromosome has a table."""
        if not self.evolving:
            object.__setattr__(self, "prompt", PromptSpaceSection())
        return self

    @property
    def prompts(self) -> PromptSpaceSection:
        """The prompts that are allowed, also if the prompt does not evolve: the founder's must be among them."""
        return self.prompt or PromptSpaceSection()

    @property
    def evolving(self) -> tuple[str, ...]:
        """The kinds of chromosomes that evolve: those that have a table, unless it leaves no choice of readouts."""
        fixed = self.readout is not None and not self.readout.evolves
        return tuple(name for name in self._named if not (fixed and name == "readout"))

    @property
    def tables(self) -> dict[str, Any]:
        """Kind of chromosome -> its table; the prompt's is always there."""
        return {"prompt": self.prompts} | {name: getattr(self, name) for name in self._named}

    @property
    def _named(self) -> tuple[str, ...]:
        named = [name for name in type(self).model_fields if getattr(self, name) is not None]
        return (*named, *(self.model_extra or {}))
