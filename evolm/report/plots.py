"""The report's figures: the search, scores on dev and test, the errors, the ancestors.

Each takes the record of a run and returns a figure, or None when there is nothing to show yet.
"""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from evolm.baselines import BASELINES, BEST
from evolm.baselines.founder import BEST_FOUNDER
from evolm.baselines.single import SINGLE
from evolm.report.reading import USE, RunRecord
from evolm.report.svg import (
    BAND,
    EVOLUTION,
    FOUNDER,
    INK,
    PAPER,
    QUIET,
    RANDOM,
    label_right,
    wide_figure,
)
from evolm.report.tables import percent, score_rows
from evolm.searches import MAIN
from evolm.wording import signed, words

MOST_NAMED = 40  # labels whose names stand beside a confusion matrix


def curves(record: RunRecord) -> Figure | None:
    """Draw every individual, the mean of each generation and the best so far, over the evaluations spent."""
    people = record.individuals(MAIN)
    if not people["score"].notna().any():
        return None
    figure, axes = wide_figure(3.9, right=0.775)
    labels = []
    axes.scatter(people["evaluation"], people["score"], s=16, color=EVOLUTION, alpha=0.4, linewidths=0)
    labels += _mean_line(axes, record.generations(MAIN))
    for name in _searched():
        labels += _best_line(axes, record.individuals(name), RANDOM, words(name), 1.6)
    labels += _best_line(axes, people, EVOLUTION, "highest so far" if record.pareto else "best so far", 2.4)
    founder = record.founder()
    if founder is not None and founder.get("score") is not None:
        axes.axhline(founder["score"], color=FOUNDER, linewidth=1.1, linestyle=(0, (4, 3)))
        labels.append((founder["score"], f"{BEST_FOUNDER.title} {founder['score']:.3f}", FOUNDER))
    label_right(axes, labels)
    for stage in record.entries_of("stage")[1:]:
        axes.axvline(stage["evaluations"], color=QUIET, linewidth=0.9, linestyle=(0, (1, 2)))
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("evaluations")
    axes.set_ylabel(f"{record.scale} on dev")
    return figure


def gaps(record: RunRecord) -> Figure | None:
    """Draw dev, validation and test scores of the best and of each baseline, with the interval of the gain."""
    hidden = {name for name, baseline in BASELINES.items() if not baseline.plotted}
    rows = [row for row in score_rows(record) if row.key not in hidden][::-1]  # the best on top
    if not rows:
        return None
    figure, axes = wide_figure(1.0 + 0.52 * len(rows), left=0.26, top_inches=0.42)
    axes.grid(axis="y", visible=False)
    all_draws = (record.test or {}).get("draws") or {}
    searched = {name: record.best(name) for name in _searched()}
    chosen = {BEST: record.best(), SINGLE.name: record.best(), BEST_FOUNDER.name: record.founder(), **searched}
    of_form = {BEST: record.form["dev"]} if record.form else {}
    validation = (record.result or {}).get("validation") or {} if record.gold == USE else {}
    for y, row in enumerate(rows):
        color = EVOLUTION if row.key == "best" else RANDOM if row.key in searched else QUIET
        draws = [draw for draw in all_draws.get(row.key, []) if draw is not None]
        axes.scatter(draws, [y] * len(draws), s=22, color=QUIET, alpha=0.45, linewidths=0)
        on_dev = of_form.get(row.key, record.metric_on_dev(chosen.get(row.key)))
        known = {"validation": validation.get(row.key), "dev": on_dev}
        _one_gap(axes, y, row.score, known, color)
    axes.set_yticks(range(len(rows)), [textwrap.fill(row.name.split(" (")[0], 26) for row in rows])
    axes.tick_params(axis="y", labelcolor=INK, length=0)
    axes.set_ylim(-0.6, len(rows) - 0.35)
    axes.set_xlabel(record.metric, loc="left")
    axes.margins(x=0.09)
    _gain_band(axes, record, len(rows) - 1)
    _key_of_marks(axes)
    return figure


def confusion(record: RunRecord) -> Figure | None:
    """Draw the confusion matrix of the best on test: counts, coloured by their share of the row."""
    counts = np.asarray((record.test or {}).get("confusion") or [], dtype=float)
    if counts.ndim != 2 or not counts.size:
        return None
    names = list(((record.result or {}).get("task") or {}).get("labels") or range(len(counts)))
    side = min(4.6, 1.5 + 0.75 * len(counts))
    figure = Figure(figsize=(side + 0.6, side), layout="constrained")
    axes = figure.add_subplot()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    for i, j in np.argwhere(shares):  # as vectors: imshow would make pixels
        share = shares[i, j]
        axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor=BAND, alpha=share, linewidth=0))
    axes.set(xlim=(-0.5, len(counts) - 0.5), ylim=(len(counts) - 0.5, -0.5), aspect="equal")
    if len(counts) <= 12:
        for (i, j), count in np.ndenumerate(counts):
            text = f"{count:.0f}" if len(counts) > 5 else f"{count:.0f}\n{percent(shares[i, j])}"
            axes.text(j, i, text, ha="center", va="center")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    named = len(names) <= MOST_NAMED  # more names than that are in the table only
    places, shown = (range(len(names)), [_short(n) for n in names]) if named else ([], [])
    axes.set_xticks(places, shown, rotation=90 if len(names) > 5 else 0)
    axes.set_yticks(places, shown)
    axes.tick_params(length=0, labelcolor=INK)
    axes.set_xlabel("predicted" if named else f"predicted: {len(names)} labels, in the order of the table")
    axes.set_ylabel("gold")
    return figure


def descent(record: RunRecord) -> Figure | None:
    """Draw the best individual's ancestors by generation and score, its main line emphasised."""
    best = record.best()
    family = {a.id: a for a in record.lineage(MAIN, best["id"]) if a.score is not None} if best else {}
    if best is None or len(family) < 2:
        return None
    figure, axes = wide_figure(2.7, right=0.97)
    for child in family.values():
        for parent in (family[p] for p in child.parents if p in family):
            ends = [parent.generation, child.generation], [parent.score, child.score]
            axes.plot(*ends, color=QUIET, alpha=0.45, linewidth=0.9, zorder=1)  # type: ignore[arg-type]
    axes.scatter(
        [a.generation for a in family.values()],
        [float(a.score or 0) for a in family.values()],
        s=18,
        color=QUIET,
        alpha=0.6,
    )
    line = [a for a in record.descent(MAIN, best["id"]) if a.score is not None]
    xs, ys = [a.generation for a in line], [float(a.score or 0) for a in line]
    axes.plot(xs, ys, color=EVOLUTION, linewidth=2.2, marker="o", markersize=6, zorder=3)
    for a in line if len(line) <= 12 else (line[0], line[-1]):
        axes.annotate(f"#{a.id}", (a.generation, a.score or 0), (0, 8), textcoords="offset points", ha="center")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(x=0.05, y=0.2)
    axes.set_xlabel("generation")
    axes.set_ylabel(f"{record.scale} on dev")
    return figure


def _searched() -> list[str]:
    """Return the names of the baselines that have a search of their own."""
    return [name for name, baseline in BASELINES.items() if baseline.strategy]


def _mean_line(axes: Axes, generations: pd.DataFrame) -> list[tuple[float, str, str]]:
    known = generations.dropna(subset=["evaluations", "mean"])
    if known.empty:
        return []
    axes.plot(known["evaluations"], known["mean"], color=EVOLUTION, linewidth=1.3, alpha=0.65)
    return [(float(known["mean"].iloc[-1]), "generation mean", EVOLUTION)]


def _best_line(axes: Axes, people: pd.DataFrame, color: str, name: str, width: float) -> list[tuple[float, str, str]]:
    """Draw the best score so far as steps; a failed individual does not change it."""
    best = people["score"].cummax().ffill()
    if not best.notna().any():
        return []
    axes.step(people["evaluation"], best, where="post", color=color, linewidth=width)
    return [(float(best.iloc[-1]), f"{name} {best.iloc[-1]:.3f}", color)]


def _one_gap(axes: Axes, y: float, test: float, known: dict[str, float | None], color: str) -> None:
    """Draw one row: test as a filled dot with its number, dev and validation as hollow marks on a thin line."""
    for name, marker in (("dev", "o"), ("validation", "D")):
        score = known[name]
        if score is not None:
            axes.plot([score, test], [y, y], color=color, linewidth=1.2, alpha=0.5, zorder=1)
            size = 6.5 if marker == "o" else 5.5
            axes.plot(score, y, marker, color=color, markerfacecolor=PAPER, markersize=size, zorder=2)
    axes.plot(test, y, "o", color=color, markersize=8, zorder=3)
    axes.annotate(
        f"{test:.3f}",
        (test, y),
        (0, 8),
        textcoords="offset points",
        ha="center",
        color=color,
        weight="bold",
        bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.8},
    )


def _gain_band(axes: Axes, record: RunRecord, y: float) -> None:
    """Draw the gain's interval as a band from the strongest baseline's score, and name the gain in the title."""
    strongest = next((row for row in score_rows(record) if row.strongest), None)
    if strongest is None or strongest.interval is None or strongest.gain is None:
        return
    low, high = (strongest.score + end for end in strongest.interval)
    axes.plot([low, high], [y, y], color=EVOLUTION, linewidth=9, alpha=0.18, solid_capstyle="butt", zorder=0)
    axes.axvline(strongest.score, color=INK, linewidth=0.9, linestyle=(0, (2, 2)), zorder=0)
    ends = " to ".join(signed(end) for end in strongest.interval)
    name = BASELINES[strongest.key].phrase
    axes.set_title(
        f"{signed(strongest.gain)} over {name}; 95 % interval {ends}",
        loc="left",
        fontsize=10.5,
        color=INK,
    )


def _key_of_marks(axes: Axes) -> None:
    """Draw a legend of the three marks, below the right end of the axes."""
    handles = [
        axes.plot([], [], marker, color=QUIET, markerfacecolor=fill, markersize=6, label=name)[0]
        for name, marker, fill in (
            ("dev", "o", PAPER),
            ("validation", "D", PAPER),
            ("test", "o", QUIET),
        )
    ]
    axes.legend(
        handles=handles,
        loc="lower right",
        bbox_to_anchor=(0.97, 0),
        bbox_transform=axes.figure.transFigure,
        ncols=3,
        frameon=False,
        fontsize=9.5,
        labelcolor=QUIET,
        handletextpad=0.1,
        columnspacing=1.0,
        borderpad=0.1,
    )


def _short(name: object, limit: int = 14) -> str:
    text = str(name)
    return text if len(text) <= limit else text[: limit - 1] + "…"
