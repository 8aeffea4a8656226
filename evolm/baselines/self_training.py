"""Self-training: labelled train rows and own answers to unlabelled ones, with the tokens of the main search."""

from __future__ import annotations

from evolm.baselines.base import Baseline, final_of

NAME = "self_training"

SELF_TRAINING = Baseline(
    name=NAME,
    title="self-training, same tokens",
    phrase="self-training",
    summary="Adam on labelled rows and on confident own answers to unlabelled rows, with the tokens of the search",
    contestants=final_of(NAME),
    strategy={"name": NAME},
    equal="tokens",
    default=False,
    compared=True,
)
