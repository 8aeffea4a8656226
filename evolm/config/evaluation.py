"""``[budget]``, ``[evaluation]``, ``[guard]`` and ``[finals]``: how much is scored, how, and which result is kept."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from evolm.config.base import Section
from evolm.typed import place


class BudgetSection(Section):
    evaluations: int = Field(200, ge=0, description="individuals scored; 0 = no limit")
    items: int = Field(0, ge=0, description="items scored; 0 = no limit")
    tokens: int = Field(0, ge=0, description="tokens, before caching and sharing; 0 = no limit")
    requests: int = Field(0, ge=0, description="requests to a served model, before caching; 0 = no limit")
    seconds: float = Field(
        0.0, ge=0, description="since the run began; the last generation is cut to the time left; 0 = no limit"
    )
    plateau: int = Field(0, ge=0, description="generations without a better best; 0 = no limit")
    audit_fall: int = Field(
        0,
        ge=0,
        description="generations in a row whose best scores itself above, and by gold below, the best of an earlier "
        "generation; needs task.gold = 'audit'; 0 = no limit",
    )


class EvaluationSection(Section):
    n_jobs: int | Literal["auto"] = Field("auto", description="worker processes; auto = cores, 1 on a GPU")
    trunk_mb: int = Field(
        256, ge=0, description="memory of each worker for hidden states that deltas share, in MB; 0 = no sharing"
    )
    prefix_mb: int = Field(
        128,
        ge=0,
        description="memory of each worker for prompts' keys and values between batches, in MB; 0 = no reuse",
    )
    slab_tokens: int = Field(
        512,
        ge=128,
        multiple_of=64,
        description="tokens in a pass of the linear layers; `evolm tune` finds the fastest",
    )
    mixed_hosts: bool = Field(
        False,
        description="whether a cluster's workers with another processor or other library versions answer, too; a "
        "repetition may then differ in last bits, and the journal, the verdict and the report say so",
    )
    racing: Literal["off", "race", "halving"] = Field(
        "off",
        description="race = candidates are scored on growing blocks of dev items and dropped when they are "
        "significantly worse than the individual that they must beat; halving = the better half stays at every look",
    )
    race_level: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="highest probability that a race drops a candidate as good as the one it must beat",
    )
    race_block: int = Field(
        16, ge=1, description="dev items of the first look of race or halving; each further look has twice as many"
    )


class GuardSection(Section):
    """Keeps general ability: the perplexity of text that has nothing to do with the task."""

    data: str = Field(
        "",
        description="text file beside campaign.toml, or package:DIST/FILE; empty = openings of public-domain books "
        "that evolm ships",
    )
    max_rise: float = Field(
        0.05, gt=0, description="largest allowed rise of its perplexity over that of the unchanged model; 0.05 = 5 %"
    )
    use: Literal["constraint", "objective"] = Field(
        "constraint",
        description="constraint = an individual within max_rise beats every one beyond it; objective = minus the "
        "logarithm of the perplexity is one more objective, with fitness.combine = 'pareto'",
    )
    tokens: int = Field(1024, ge=128, description="most tokens of the text that are scored for each delta")

    _place = field_validator("data")(place)


class FinalsSection(Section):
    committee: int = Field(
        5,
        ge=0,
        description="most seats of a committee: individuals whose label probabilities are averaged; it must beat the "
        "best single individual on validation rows; 0 = none",
    )
    soup: int = Field(
        5,
        ge=0,
        description="most deltas in a soup: the average of the best deltas under one prompt; it must beat the best "
        "single individual on validation rows; 0 = none",
    )
    relearn: bool = Field(
        True,
        description="whether the best single individual, if it learnt by gradient, learns once more on train and dev "
        "rows; if this beats it on validation rows, it learns a last time on all rows but test",
    )
    on_test: int = Field(
        2,
        ge=0,
        description="finalists beside the winner that answer the test items too, for the report's table of items; "
        "they decide nothing; 0 = none",
    )
