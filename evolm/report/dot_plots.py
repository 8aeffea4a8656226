"""Figures with a dot per individual: a scorer against gold, and the front."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evolm.report.audit import Audit
from evolm.report.front import LENGTH, Member, ObjectiveAxis, members, objectives
from evolm.report.reading import RunRecord
from evolm.report.svg import EVOLUTION, INK, PAPER, QUIET, RANDOM, wide_figure

Point = tuple[float, float]


def against_gold(audit: Audit) -> Figure:
    """Draw a scorer's scores against the metric by gold labels."""
    figure = Figure(figsize=(5.2, 4.1))
    figure.subplots_adjust(left=0.15, right=0.96, bottom=0.14, top=0.95)
    axes = figure.add_subplot()
    axes.scatter(audit.pairs["score"], audit.pairs["gold"], s=30, color=EVOLUTION, alpha=0.55, linewidths=0)
    favourite, best = audit.favourite, audit.best
    axes.margins(x=0.08, y=0.14)
    if favourite["gold"] == best["gold"]:
        named = [(favourite, "highest score, none better by gold", EVOLUTION, 1)]
    else:
        named = [(favourite, "highest score", RANDOM, -1), (best, "best by gold", EVOLUTION, 1)]
    for row, name, color, side in named:
        _mark(axes, (row["score"], row["gold"]), f"#{row['id']:.0f} {name}", color, side)
    axes.set_xlabel(f"{audit.name} (needs no gold)")
    axes.set_ylabel(f"{audit.metric} on dev (gold)")
    return figure


def front(record: RunRecord) -> Figure | None:
    """Draw the front over its first two objectives; better is up and to the right."""
    axes_of = objectives(record)[:2]
    found = {member.id: point for member in members(record) if (point := _place(member.values)) is not None}
    if len(axes_of) < 2 or not found:
        return None
    upwards, across = axes_of
    figure, axes = wide_figure(4.4, left=0.09, right=0.97)
    dominated = [
        point
        for entry in record.entries_of("individual")
        if entry["id"] not in found and (point := _place([axis.value(entry) for axis in axes_of])) is not None
    ]
    axes.scatter(*_columns(dominated), s=20, color=QUIET, alpha=0.4, linewidths=0)
    stairs = staircase(list(found.values()), across, upwards)
    axes.step(*_columns(stairs), where="pre", color=EVOLUTION, linewidth=1.6, alpha=0.7)
    axes.scatter(*_columns(list(found.values())), s=42, color=EVOLUTION, edgecolors=PAPER, linewidths=0.8, zorder=3)
    axes.margins(x=0.07, y=0.12)
    for axis, turn in ((across, axes.invert_xaxis), (upwards, axes.invert_yaxis)):
        if axis.fewer:
            turn()
    _name_members(axes, members(record), found)
    axes.set_xlabel(_title(across))
    axes.set_ylabel(_title(upwards))
    return figure


def staircase(points: list[Point], across: ObjectiveAxis, upwards: ObjectiveAxis) -> list[Point]:
    """Return the ``points`` that no other beats in the two objectives shown, from the worst across to the best."""
    x_sign, y_sign = (-1 if axis.fewer else 1 for axis in (across, upwards))
    kept: list[Point] = []
    for point in sorted(points, key=lambda point: (x_sign * point[0], y_sign * point[1]), reverse=True):
        if not kept or y_sign * point[1] > y_sign * kept[-1][1]:
            kept.append(point)
    return kept[::-1]


def _name_members(axes: Axes, front: list[Member], found: dict[int, Point]) -> None:
    for member in front:
        if member.id in found and member.picked:
            _mark(axes, found[member.id], f"#{member.id} picked", RANDOM)
        elif member.id in found and len(found) <= 10:
            axes.annotate(f"#{member.id}", found[member.id], (5, 5), textcoords="offset points", color=QUIET)


def _mark(axes: Axes, point: Point, text: str, color: str, side: int = 1) -> None:
    """Draw a ring around a dot, and its name above it (``side`` 1) or below it (-1), inside the axes."""
    axes.plot(*point, "o", color=color, markerfacecolor="none", markersize=11, markeredgewidth=1.6, zorder=4)
    first, last = axes.get_xlim()
    left = (point[0] - first) / (last - first) > 0.6
    axes.annotate(
        text,
        point,
        (-4 if left else 4, 9 * side),
        textcoords="offset points",
        ha="right" if left else "left",
        va="bottom" if side > 0 else "top",
        color=INK,
        weight="bold",
        bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.5, "alpha": 0.75},
        zorder=5,
    )


def _title(axis: ObjectiveAxis) -> str:
    better = ("fewer" if axis.key == LENGTH else "lower") if axis.fewer else "higher"
    return f"{axis.name} on dev ({better} is better)" if axis.key != LENGTH else f"{axis.name} ({better} is better)"


def _place(values: tuple[float | None, ...] | list[float | None]) -> Point | None:
    """Return the point with the second value across and the first upwards; None if either is missing."""
    first, second = values[:2]
    if first is None or second is None or not (math.isfinite(first) and math.isfinite(second)):
        return None
    return second, first


def _columns(points: list[Point]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]
