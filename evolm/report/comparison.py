"""Comparisons of groups of runs: tables for the terminal, Markdown and CSV, and a figure.

Everything is made from a comparison's record alone, as ``sweep.json`` holds it.
"""

from __future__ import annotations

import textwrap
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from evolm.baselines import BASELINES
from evolm.baselines.founder import BEST_FOUNDER
from evolm.report.svg import EVOLUTION, FOUNDER, INK, PAPER, wide_figure
from evolm.wording import counted, markdown_table, numbered, signed

Record = dict[str, Any]

# -- frames --------------------------------------------------------------------------------------------------


def group_frame(record: Record) -> pd.DataFrame:
    """Return one row per group: its score, its baselines' scores, and its difference from the first group."""
    rows = []
    for group in record["groups"]:
        row = {"name": group["name"], "seeds": len(record["seeds"]), "items": record["items"]}
        row |= {key: group[key] for key in ("score", "low", "high")} | group["baselines"]
        rows.append(row | _from_first(record, group["name"]))
    return pd.DataFrame(rows)


def _from_first(record: Record, name: str) -> dict[str, float]:
    first = record["groups"][0]["name"]
    for each in record["differences"]:
        if (each["first"], each["second"]) == (name, first):
            ends = {"difference_low": each["low"], "difference_high": each["high"]}
            return {"difference": each["difference"], **ends, "p": each["p"], "p_holm": each["p_holm"]}
    return {}


def difference_frame(record: Record) -> pd.DataFrame:
    """Return one row per pair: both scores, their difference, its interval and p-values."""
    scores = {group["name"]: group["score"] for group in record["groups"]}
    rows = [
        {
            "first": each["first"],
            "second": each["second"],
            "first_score": scores[each["first"]],
            "second_score": scores[each["second"]],
            **{key: each[key] for key in ("difference", "low", "high", "p", "p_holm")},
            "seeds": len(record["seeds"]),
            "items": record["items"],
        }
        for each in record["differences"]
    ]
    return pd.DataFrame(rows)


# -- tables --------------------------------------------------------------------------------------------------


def render_comparison(record: Record) -> RenderableType:
    """Return a comparison for the terminal: its groups, their differences, and notes on both."""
    parts: list[RenderableType] = [_rich(*_group_cells(record))]
    if record["differences"]:
        parts += ["", _rich(*_difference_cells(record))]
    return Group(*parts, "", *(Text(note, style="dim") for note in notes(record)))


def markdown(record: Record) -> str:
    """Return the same as Markdown."""
    parts = [markdown_table(*_group_cells(record))]
    if record["differences"]:
        parts.append(markdown_table(*_difference_cells(record)))
    return "\n\n".join([*parts, *notes(record)]) + "\n"


def notes(record: Record) -> list[str]:
    """Return sentences on what the intervals cover, and on the seeds that are left out."""
    items, seeds = counted(record["items"], "test item"), record["seeds"]
    if len(seeds) > 1:
        said = [f"Means over {len(seeds)} seeds and {items}, with 95 % intervals for other seeds and other items."]
    else:
        said = [
            f"Seed {seeds[0]} on {items}: the 95 % intervals are for other items, and say nothing of other seeds."
        ]
    if record["differences"]:
        tests = counted(len(record["differences"]), "difference")
        said.append(f"Differences are paired by seed and item; p is two-sided, with Holm's correction for {tests}.")
    for name, numbers in record["left_out"].items():
        said.append(f"Left out of {name}, since not all have them: {numbered('seed', numbers)}.")
    return said


def _group_cells(record: Record) -> tuple[list[str], list[list[str]]]:
    known = [name for name in BASELINES if any(name in group["baselines"] for group in record["groups"])]
    titles = [BASELINES[name].title for name in known]
    header = ["", f"test {record['metric'].replace('_', ' ')}", "95 % interval", *titles]
    rows = []
    for group in record["groups"]:
        baselines = [f"{group['baselines'][name]:.3f}" if name in group["baselines"] else "" for name in known]
        ends = f"{group['low']:.3f} to {group['high']:.3f}"
        rows.append([group["name"], f"{group['score']:.3f}", ends, *baselines])
    return header, rows


def _difference_cells(record: Record) -> tuple[list[str], list[list[str]]]:
    header = ["", "difference", "95 % interval", "p", "p (Holm)"]
    rows = []
    for each in record["differences"]:
        ends = f"{signed(each['low'])} to {signed(each['high'])}"
        p_values = [_p_value(each["p"]), _p_value(each["p_holm"])]
        rows.append([f"{each['first']} over {each['second']}", signed(each["difference"]), ends, *p_values])
    return header, rows


def _p_value(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _rich(header: list[str], rows: list[list[str]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for place, name in enumerate(header):
        table.add_column(name, justify="right" if place else "left")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


# -- figure --------------------------------------------------------------------------------------------------


def scores(record: Record) -> Figure:
    """Draw every group as a row: its seeds as hollow dots, their mean as a full dot on its interval."""
    groups = record["groups"][::-1]  # the first on top
    figure, axes = wide_figure(1.0 + 0.52 * len(groups), left=0.26, top_inches=0.3)
    axes.grid(axis="y", visible=False)
    for y, group in enumerate(groups):
        axes.plot([group["low"], group["high"]], [y, y], color=EVOLUTION, linewidth=1.2, alpha=0.6, zorder=1)
        seeds = list(group["seeds"].values())
        axes.plot(seeds, [y] * len(seeds), "o", color=EVOLUTION, markerfacecolor=PAPER, markersize=5.5, zorder=2)
        axes.plot(group["score"], y, "o", color=EVOLUTION, markersize=8, zorder=3)
        axes.annotate(
            f"{group['score']:.3f}",
            (group["score"], y),
            (0, 8),
            textcoords="offset points",
            ha="center",
            color=INK,
            weight="bold",
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.8},
        )
        founder = group["baselines"].get(BEST_FOUNDER.name)
        if founder is not None:
            axes.plot([founder, founder], [y - 0.25, y + 0.25], color=FOUNDER, linewidth=1.4)
    axes.set_yticks(range(len(groups)), [textwrap.fill(group["name"], 26) for group in groups])
    axes.tick_params(axis="y", labelcolor=INK, length=0)
    axes.set_ylim(-0.6, len(groups) - 0.35)
    axes.margins(x=0.09)
    metric = record["metric"].replace("_", " ")
    axes.set_xlabel(
        f"{metric} on test: seeds (hollow), mean, 95 % interval; stroke: {BEST_FOUNDER.title}", loc="left"
    )
    return figure
