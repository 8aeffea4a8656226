"""Campaigns over deltas, alone and together with prompts, on the tiny model."""

from __future__ import annotations

import json
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
