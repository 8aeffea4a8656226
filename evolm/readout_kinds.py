"""Kinds of readouts: their names in campaign files, records and reports, and what each needs.

The class that reads labels in such a way is a row of :data:`evolm.readouts.READOUTS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

WORDS: Final = "words"  # the model's own readout
CONTEXTUAL: Final = "contextual"
CALIBRATION: Final = (WORDS, CONTEXTUAL)  # the kinds of a campaign without [space.readout]


@dataclass(frozen=True)
class ReadoutKind:
    """What a kind of readout needs, and which genes it has beside its kind.

    Attributes:
        title: its name in reports.
        fitted: whether it is fitted on train rows.
        states: whether it reads hidden states, so that layer and pooling are genes.
        strength: whether it has a penalty, whose strength is a gene.
        gold: whether train rows must have gold.
        labels: whether all items must share their labels.
    """

    title: str
    fitted: bool = True
    states: bool = False
    strength: bool = False
    gold: bool = False
    labels: bool = True

    @property
    def genes(self) -> bool:
        """Whether readouts of this kind may differ."""
        return self.states or self.strength


KINDS_OF_READOUTS: Final = {
    WORDS: ReadoutKind("the likelihood of the words", fitted=False, labels=False),
    CONTEXTUAL: ReadoutKind("contextual calibration", fitted=False, labels=False),
    "batch": ReadoutKind("batch calibration"),
    "linear": ReadoutKind("an affine map of the words' log-probabilities", strength=True, gold=True, labels=False),
    "probe": ReadoutKind("a linear probe on hidden states", states=True, strength=True, gold=True),
    "bag_of_words": ReadoutKind("a bag of words", gold=True),
}
