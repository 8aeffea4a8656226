"""Fine-tuning: Adam on the same delta, with the tokens of the main search; its finalists go through the same final.

The rival of a search that learns by gradient, to which random deltas are none.
"""

from __future__ import annotations

from evolm.baselines.base import Baseline, final_of

NAME = "fine_tuning"

FINE_TUNING = Baseline(
    name=NAME,
    title="fine-tuning with Adam, same tokens",
    phrase="fine-tuning with Adam",
    summary="Adam on the same delta with the tokens of the search; on by default if the strategy learns by gradient",
    contestants=final_of(NAME),
    strategy={"name": "adam"},
    equal="tokens",
    default=False,
    default_if_learning=True,
    learns_labels=True,
    compared=True,
)
