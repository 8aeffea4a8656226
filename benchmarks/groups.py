"""Groups of finished runs in tables and figures: one row per group, with its mean, its interval and its seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from evolm.report.svg import INK, QUIET, wide_figure
from evolm.wording import signed

FEWEST_ROWS = 9  # that a figure has the height for


def score_cells(group: Mapping[str, Any], over: Mapping[str, Any] | None) -> tuple[str, str, str]:
    """Return a group's test score, its interval, and its difference to another group, as a table's cells.

    Args:
        group: a record of :class:`evolm.experiments.comparison.GroupScore`.
        over: a record of :class:`evolm.experiments.comparison.Difference`; None for the reference group.
    """
    interval = f"{group['low']:.3f} to {group['high']:.3f}"
    gain = f"{signed(over['difference'])} [{signed(over['low'])}, {signed(over['high'])}]" if over else ""
    return f"{group['score']:.3f}", interval, gain


def scores_figure(comparisons: Mapping[str, Mapping[str, Any]], colors: Mapping[str, str]) -> Figure:
    """Return a panel per comparison, a row per group, its seeds as dots, its mean with the interval.

    The best founder is drawn if all groups begin with the same one.

    Args:
        comparisons: title -> record of :class:`evolm.experiments.comparison.Comparison`.
        colors: of groups, by name; the others are drawn in ink.
    """
    names = {title: [group["name"] for group in record["groups"]] for title, record in comparisons.items()}
    alike = len(set(map(tuple, names.values()))) == 1
    drawn, _ = wide_figure(1.2 + 0.3 * max(FEWEST_ROWS, *map(len, names.values())))
    drawn.clear()
    dashed = ""
    panels = drawn.subplots(1, len(comparisons), sharey=alike)
    for axes, (title, comparison) in zip(np.atleast_1d(panels), comparisons.items(), strict=True):
        for y, group in enumerate(reversed(comparison["groups"])):
            color = colors.get(group["name"], INK)
            scores = list(group["seeds"].values())
            axes.scatter(scores, [y] * len(scores), s=14, color=color, alpha=0.4, linewidths=0)
            axes.plot([group["low"], group["high"]], [y, y], color=color, linewidth=1.6)
            axes.plot(group["score"], y, "o", color=color, markersize=7)
        founders = {round(group["baselines"]["founder"], 6) for group in comparison["groups"]}
        if len(founders) == 1:
            axes.axvline(founders.pop(), color=QUIET, linewidth=1, linestyle=(0, (4, 3)))
            dashed = "; dashed: best founder"
        axes.set_title(
            f"{title}\n{comparison['metric'].replace('_', ' ')}, {comparison['items']} test items",
            loc="left",
            fontsize=10,
        )
        labels = [name.replace("_", " ") for name in reversed(names[title])]
        axes.set_yticks(range(len(labels)), labels)
        axes.set_ylim(-0.6, len(labels) - 0.4)
    counts = {len(group["seeds"]) for record in comparisons.values() for group in record["groups"]}
    seeds = " to ".join(map(str, sorted({min(counts), max(counts)})))
    mean = f"mean of {seeds} seeds" if max(counts) > 1 else "one seed"
    drawn.supxlabel(f"test score, {mean} with its 95 % interval{dashed}", fontsize=10)
    drawn.set_layout_engine("constrained")
    return drawn
