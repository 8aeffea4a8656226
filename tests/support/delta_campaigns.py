"""Campaigns over deltas, alone and together with prompts, on the tiny model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.support.toy_campaign import FOUNDERS, ToyCampaign, merged, write_campaign

DELTA = {"layers": "last:1", "target_modules": ["q_proj", "v_proj"], "dimension": 6, "sigma": 2.0}
KINDS = {
    "delta": {"delta": DELTA},
    "hybrid": {"delta": DELTA, "prompt": {"demonstrations": [0, 2], "max_tokens": 240}},
}


def write_delta_campaign(folder: Path, model: Path, kind: str, **changes: Any) -> ToyCampaign:
    """The toy campaign with deltas; those alone run under the first founder."""
    toy = write_campaign(folder, model, **{"seed": 1, "strategy__population_size": 4, **changes})
    toy.tables["space"] = merged(KINDS[kind], {})
    if kind == "delta":
        (folder / "founders.jsonl").write_text(json.dumps(FOUNDERS[0]) + "\n", encoding="utf-8")
    return toy


def changing(run_of: Callable[[int], Path], shows: bool = False, seeds: Iterable[int] = range(1, 25)) -> Path:
    """Return the first run whose best changes the model.

    Args:
        run_of: makes the run of a seed.
        shows: whether its best must show a demonstration, too.
        seeds: that are tried, in order: which one serves depends on the machine's bits.
    """
    for run in map(run_of, seeds):
        genome = json.loads((run / "best" / "prompt.json").read_text(encoding="utf-8"))["genome"]
        if (run / "best" / "delta.safetensors").exists() and (genome["demonstrations"] or not shows):
            return run
    raise AssertionError("expected a run whose best changes the model, found none")
