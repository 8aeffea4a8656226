"""The score of a saved prompt on labelled rows, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from evolm.tasks.metrics import RATES
from evolm.wording import counted


def render_score(record: Mapping[str, Any]) -> RenderableType:
    """Return a score's record (:meth:`evolm.export.score_report.ScoreReport.to_record`) as a rich renderable."""
    parts: list[RenderableType] = [_metric(record)]
    if record.get("per_class"):
        parts.append(_classes(record["per_class"]))
    return Group(*parts, *(Text(note) for note in _notes(record)))


def _metric(record: Mapping[str, Any]) -> Table:
    low, high = record["interval"]
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in (f"{record['metric'].replace('_', ' ')}, {counted(record['scored'], 'row')}", "95 % interval"):
        table.add_column(name, justify="right")
    table.add_row(f"{record['score']:.3f}", f"{low:.3f} to {high:.3f}", style="bold")
    return table


def _classes(per_class: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("label")
    for name in (*RATES, "rows"):
        table.add_column(name, justify="right")
    for row in per_class:
        table.add_row(Text(row["label"]), *(f"{row[rate]:.3f}" for rate in RATES), f"{row['support']}")
    return table


def _notes(record: Mapping[str, Any]) -> Iterator[str]:
    for why, number in record["left_out"].items():
        yield f"{counted(number, 'row')} of {record['rows']} left out: {why}"
    if record["unanswered"]:
        yield f"{counted(record['unanswered'], 'row')} without an answer, counted as wrong"
    if record["seen"]:
        yield f"{record['seen']} of the rows scored are among those that the prompt was selected on: they flatter it"
