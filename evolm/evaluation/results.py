"""What executors give for a batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class OtherProfile:
    """A worker whose numeric profile is not the campaign's.

    Attributes:
        host: its name.
        profile: its numeric profile as JSON.
    """

    host: str
    profile: str


@dataclass(frozen=True)
class ModelMissing:
    """The answer of a worker whose host lacks the model.

    Attributes:
        host: its name.
        place: the cluster's address of the worker.
        reason: why the model was not found.
    """

    host: str
    place: str
    reason: str


@dataclass(frozen=True)
class BatchResult:
    """A batch's answers and the tokens computed for them.

    Attributes:
        answers: one array per request: float32 log-probabilities of its continuations' tokens, one after another,
            the int32 tokens that were generated, the float32 states of layers and poolings, the float32 value and
            gradient, or the bytes of a server's answer.
        tokens: tokens that passed all layers, in units of all layers if they passed only some; padding excluded. A
            token forward and backward counts three.
        slab_tokens: the same, padding included.
        other: the worker, if its numeric profile is not the campaign's.
    """

    answers: list[np.ndarray]
    tokens: float
    slab_tokens: float
    other: OtherProfile | None = None
