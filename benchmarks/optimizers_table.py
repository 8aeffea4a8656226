"""The table of :mod:`benchmarks.optimizers`, which the documentation draws without the optimizers' packages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.groups import score_cells
from evolm.wording import markdown_table


def markdown(comparisons: Mapping[str, Any]) -> str:
    """Return the table: a row per space and optimizer."""
    rows = []
    for space, record in comparisons.items():
        over_first = {difference["first"]: difference for difference in record["differences"]}
        for group in record["groups"]:
            cost = record["costs"][group["name"]]
            scores = score_cells(group, over_first.get(group["name"]))
            times = [_shown(cost[each]) for each in ("ms_an_evaluation", "ms_a_call")]
            rows.append((space, group["name"], *scores, f"{cost['calls']:.0f}", *times))
    header = ("space", "optimizer", "test", "95 % interval", "over random search", "calls")
    return markdown_table((*header, "ms an evaluation: host + evolm", "ms a call"), rows)


def _shown(milliseconds: Mapping[str, float | None]) -> str:
    return " + ".join("?" if (ms := milliseconds[part]) is None else f"{ms:.1f}" for part in ("host", "evolm"))
