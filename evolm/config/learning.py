"""``[learning]`` and ``[self_training]``: what operators learn by gradient, with gold and without."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from evolm.config.base import Section


class LearningSection(Section):
    """What genes of a delta learn by gradient."""

    loss: Literal["cross_entropy", "margin"] = Field(
        "cross_entropy",
        description="of gradient_step; margin = max(0, margin + s of the best wrong answer - s of the gold one), "
        "s being normalised log-likelihoods (labels and options only)",
    )
    margin: float = Field(1.0, gt=0, description="of the loss margin, in nats")
    reward: dict[str, float | dict[str, Any]] = Field(
        default_factory=dict,
        description="of policy_gradient: a scorer, or scorer = weight; "
        "empty = the campaign's scorers if they can reward single answers, else exact_match",
    )
    samples: int = Field(4, ge=2, description="texts that policy_gradient draws for an item (generation)")
    kl: float = Field(
        0.0,
        ge=0,
        description="policy_gradient subtracts this times the log-likelihood ratio (nats) of an answer under the "
        "changed and the unchanged model from its reward; 0 = off",
    )

    @field_validator("reward", mode="before")
    @classmethod
    def _reward_by_name(cls, reward: Any) -> Any:
        return {reward: 1.0} if isinstance(reward, str) else reward


class SelfTrainingSection(Section):
    """How the operator `self_training` picks, of rows without gold, those that it learns from."""

    confidence: Literal["margin", "probability", "p_true", "self_consistency", "committee"] = Field(
        "margin",
        description="of an answer: margin or probability of the likeliest label (of a text, the mean probability of "
        "its tokens) | p_true = that the model calls it true | self_consistency = that two answers agree | "
        "committee = agreement with the five best individuals",
    )
    select: Literal["share", "threshold"] = Field(
        "share",
        description="share = the most confident rows, of each label alike | threshold = all rows above a confidence",
    )
    keep: float = Field(
        0.3, gt=0, le=1, description="first share or threshold; a gene that mutates with the learning rate"
    )
    calibrate: bool = Field(
        True, description="divide labels' probabilities by their means over the rows, so that none is preferred"
    )
    pool: int = Field(0, ge=0, description="most unlabelled rows that are used, drawn by their content; 0 = all")
    rows: int = Field(128, ge=1, description="of these, rows that are answered each time before the model learns")
    labelled: float = Field(
        0.5, ge=0, le=1, description="share of a step's rows that are labelled train rows, if there are any"
    )
    warm_up: int = Field(24, ge=0, description="first steps on labelled train rows alone, if there are any")
