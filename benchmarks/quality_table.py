"""The table of :mod:`benchmarks.quality`, which the documentation draws without the peers' packages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from evolm.wording import markdown_table, signed

if TYPE_CHECKING:
    from benchmarks.quality_cells import CellRecord

HEADER = ("task", "peer", "seeds", "test", "95 % interval", "evolm minus peer", "search, s", "all, s", "items", "read", "written")  # fmt: skip  # noqa: E501


def compared(cells: Sequence[tuple[str, int, CellRecord]], first: str) -> dict[str, Any]:
    """Return the comparison of peers on one task with the first one.

    Args:
        cells: peer, seed and record of every cell that has ended.
        first: the peer that the others are subtracted from.
    """
    from evolm.baselines import BEST
    from evolm.experiments.comparison import compare

    rows: dict[str, list[tuple[int, CellRecord, str]]] = {}
    for peer, seed, record in cells:
        for row in record.outcomes:
            rows.setdefault(peer if row == BEST else row, []).append((seed, record, row))
    runs = {name: [record.tested(seed, row) for seed, record, row in own] for name, own in rows.items()}
    groups, differences = [], []
    for name, own in rows.items():
        comparison = compare({name: runs[name]}, []).to_record()
        (group,) = comparison["groups"]
        del group["runs"], group["baselines"]
        free = any(row != BEST for _, _, row in own)
        groups.append(group | ({} if free else {"costs": _costs([record for _, record, _ in own])}))
        shared = {run.seed for run in runs[name]} & {run.seed for run in runs.get(first, [])}
        if name != first and shared:
            differences += compare({first: runs[first], name: runs[name]}, [(first, name)]).to_record()["differences"]
    failures = {peer: record.failure for peer, _, record in cells if record.failure and peer not in rows}
    known = {record.measured["commit"] for _, _, record in cells if record.measured}
    one = next(record for _, _, record in cells if not record.failure)
    return {
        "metric": one.task["metric"],
        "items": len(one.items),
        "commits": sorted(known),
        "groups": groups,
        "differences": differences,
        "failures": failures,
    }


def _costs(records: Sequence[CellRecord]) -> dict[str, float]:
    """Return the means of what the cells of a peer spent."""
    parts = [{**record.spent, **{f"{name}_s": value for name, value in record.seconds.items()}} for record in records]
    return {name: round(float(np.mean([part[name] for part in parts])), 1) for name in parts[0]}


def markdown(parts: Mapping[str, Any]) -> str:
    """Return a table for every budget: a row per task and peer, the best test score first."""
    blocks = []
    for name, part in parts.items():
        rows = [row for task, record in part["populations"].items() for row in _rows(task, record)]
        blocks.append(f"Budget of every search: {name}.\n\n{markdown_table(HEADER, rows)}")
        reasons = [
            f"- {task}, {peer}: {reason}"
            for task, record in part["populations"].items()
            for peer, reason in record["failures"].items()
        ]
        if reasons:
            blocks.append("Without a result:\n\n" + "\n".join(reasons))
    return "\n\n".join(blocks)


def _rows(task: str, record: Mapping[str, Any]) -> list[tuple[str, ...]]:
    over = {each["second"]: each for each in record["differences"]}
    rows = []
    for group in sorted(record["groups"], key=lambda group: -group["score"]):
        costs, difference = group.get("costs"), over.get(group["name"])
        shown = ["search_s", "all_s", "items", "read", "written"]
        gain = (
            f"{signed(difference['difference'])} [{signed(difference['low'])}, {signed(difference['high'])}]"
            if difference
            else ""
        )
        rows.append(
            (
                task,
                group["name"],
                str(len(group["seeds"])),
                f"{group['score']:.3f}",
                f"{group['low']:.3f} to {group['high']:.3f}",
                gain,
                *(f"{costs[each]:,.0f}" if costs else "" for each in shown),
            )
        )
    return rows
