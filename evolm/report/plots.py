"""The report's figures, as inline SVG.

Figures are made with matplotlib's object-oriented interface only: pyplot's global state would leak
between reports. The same run gives the same bytes: ids come from a fixed salt and no date is written.
Text stays text (searchable, in the page's font). Colours are from Okabe and Ito's colour-blind-safe
set, and lines are named where they end, so that no legend has to be decoded.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from html import escape

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from evolm.report.reading import RunRecord
from evolm.report.tables import score_rows, signed

INK, QUIET, HAIR = "#1b1f24", "#6a737d", "#e3e6ea"
EVOLUTION, RANDOM, FOUNDER = "#0072b2", "#c4560a", "#6a737d"  # random: Okabe-Ito vermilion, darkened
SEQUENTIAL = LinearSegmentedColormap.from_list("evolm", ["#ffffff", "#cfe3f1", "#5fa3cf", "#0072b2"])

STYLE = {
    "svg.fonttype": "none",
    "font.size": 10.5,
    "text.color": INK,
    "axes.edgecolor": HAIR,
    "axes.labelcolor": QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": HAIR,
    "grid.linewidth": 0.7,
    "xtick.color": HAIR,
    "ytick.color": HAIR,
    "xtick.labelcolor": QUIET,
    "ytick.labelcolor": QUIET,
    "figure.facecolor": "white",
}


def render(draw: Callable[[RunRecord], Figure | None], record: RunRecord, alt: str) -> str:
    """Draw one figure and return it as an ``<svg>`` element; ``""`` when there is nothing to show yet."""
    with _style(draw.__name__):
        figure = draw(record)
        return "" if figure is None else to_svg(figure, draw.__name__, alt)


def to_svg(figure: Figure, name: str, alt: str) -> str:
    """The figure as an ``<svg>`` element that scales with its column; ``name`` makes its ids unique."""
    buffer = io.StringIO()
    with _style(name):
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    opening, rest = svg.split(">", 1)
    box = re.search(r'viewBox="[^"]+"', opening)
    assert box is not None
    # inside HTML an <svg> needs no namespaces; ids must not meet those of another figure
    rest = re.sub(r'\bid="', f'id="{name}-', rest)
    rest = rest.replace('xlink:href="#', f'href="#{name}-').replace("url(#", f"url(#{name}-")
    return f'<svg {box.group()} role="img" aria-label="{escape(alt)}">{rest}'


def curves(record: RunRecord) -> Figure | None:
    """Every individual, the generations' mean and the best so far, over the evaluations spent."""
    people = record.individuals("main")
    if not people["score"].notna().any():
        return None
    figure, axes = _figure(3.7, right=0.80)
    labels = []
    axes.scatter(people["evaluation"], people["score"], s=13, color=EVOLUTION, alpha=0.28, linewidths=0)
    labels += _mean_line(axes, record.generations("main"))
    labels += _best_line(axes, record.individuals("random_search"), RANDOM, "random search", 1.6)
    labels += _best_line(axes, people, EVOLUTION, "evolution, best so far", 2.4)
    founder = record.founder()
    if founder is not None and founder.get("score") is not None:
        axes.axhline(founder["score"], color=FOUNDER, linewidth=1.1, linestyle=(0, (4, 3)))
        labels.append((founder["score"], f"best founder {founder['score']:.3f}", FOUNDER))
    _label_right(axes, labels)
    axes.set_xlim(left=0)
    axes.set_xlabel("evaluations")
    axes.set_ylabel(f"{record.metric} on dev")
    return figure


def gaps(record: RunRecord) -> Figure | None:
    """Dev, validation and test of the best and of each baseline, with the interval of the gain."""
    rows = [row for row in score_rows(record) if row.key != "majority"][::-1]  # the best on top
    if not rows:
        return None
    figure, axes = _figure(0.95 + 0.5 * len(rows), left=0.27, right=0.97, top_inches=0.42)
    axes.grid(axis="y", visible=False)
    result, test = record.result or {}, record.test or {}
    dev = dict(result.get("dev") or {})
    rival = record.best("random_search")
    dev["random_search"] = rival["score"] if rival else None
    for y, row in enumerate(rows):
        color = EVOLUTION if row.key == "best" else RANDOM if row.key == "random_search" else QUIET
        if row.key == "few_shot":
            draws = [d for d in test.get("few_shot_draws") or [] if d is not None]
            axes.scatter(draws, [y] * len(draws), s=22, color=QUIET, alpha=0.45, linewidths=0)
        unseen = {"validation": (result.get("validation") or {}).get(row.key), "dev": dev.get(row.key)}
        _one_gap(axes, y, row.score, unseen, color)
    axes.set_yticks(range(len(rows)), [row.name.replace(" (mean", "\n(mean") for row in rows])
    axes.tick_params(axis="y", labelcolor=INK, length=0)
    axes.set_ylim(-0.6, len(rows) - 0.35)
    axes.set_xlabel(record.metric)
    axes.margins(x=0.09)
    _gain_band(axes, record, len(rows) - 1)
    _key_of_marks(axes)
    return figure


def confusion(record: RunRecord) -> Figure | None:
    """The best individual's confusion matrix on test: counts, coloured by the share of their row."""
    counts = np.asarray((record.test or {}).get("confusion") or [], dtype=float)
    if counts.ndim != 2 or not counts.size:
        return None
    names = list(((record.result or {}).get("task") or {}).get("labels") or range(len(counts)))
    side = min(4.6, 1.5 + 0.75 * len(counts))
    figure = Figure(figsize=(side + 0.6, side), layout="constrained")
    axes = figure.add_subplot()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap=SEQUENTIAL, vmin=0, vmax=1)
    if len(counts) <= 12:
        for (i, j), count in np.ndenumerate(counts):
            ink = "white" if shares[i, j] > 0.6 else INK
            text = f"{count:.0f}" if len(counts) > 5 else f"{count:.0f}\n{shares[i, j]:.0%}"
            axes.text(j, i, text, ha="center", va="center", color=ink)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_xticks(range(len(names)), [_short(n) for n in names], rotation=90 if len(names) > 5 else 0)
    axes.set_yticks(range(len(names)), [_short(n) for n in names])
    axes.tick_params(length=0, labelcolor=INK)
    axes.set_xlabel("predicted")
    axes.set_ylabel("gold")
    return figure


def descent(record: RunRecord) -> Figure | None:
    """The best individual's ancestors by generation and score, its main line drawn strong."""
    best = record.best()
    family = {a.id: a for a in record.lineage("main", best["id"]) if a.score is not None} if best else {}
    if best is None or len(family) < 2:
        return None
    figure, axes = _figure(2.7, right=0.97)
    for child in family.values():
        for parent in (family[p] for p in child.parents if p in family):
            ends = [parent.generation, child.generation], [parent.score, child.score]
            axes.plot(*ends, color="#b9c0c8", linewidth=0.9, zorder=1)  # type: ignore[arg-type]
    axes.scatter([a.generation for a in family.values()], [a.score for a in family.values()], s=18, color="#9aa3ad")
    line = [a for a in record.descent("main", best["id"]) if a.score is not None]
    xs, ys = [a.generation for a in line], [float(a.score or 0) for a in line]
    axes.plot(xs, ys, color=EVOLUTION, linewidth=2.2, marker="o", markersize=6, zorder=3)
    for a in line if len(line) <= 12 else (line[0], line[-1]):
        axes.annotate(f"#{a.id}", (a.generation, a.score or 0), (0, 8), textcoords="offset points", ha="center")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.margins(x=0.05, y=0.2)
    axes.set_xlabel("generation")
    axes.set_ylabel(f"{record.metric} on dev")
    return figure


def _mean_line(axes: Axes, generations: pd.DataFrame) -> list[tuple[float, str, str]]:
    known = generations.dropna(subset=["evaluations", "mean"])
    if known.empty:
        return []
    axes.plot(known["evaluations"], known["mean"], color=EVOLUTION, linewidth=1.3, alpha=0.65)
    return [(float(known["mean"].iloc[-1]), "population mean", EVOLUTION)]


def _best_line(axes: Axes, people: pd.DataFrame, color: str, name: str, width: float) -> list[tuple[float, str, str]]:
    """The best score so far as steps; a failed individual leaves the line where it was."""
    best = people["score"].cummax().ffill()
    if not best.notna().any():
        return []
    axes.step(people["evaluation"], best, where="post", color=color, linewidth=width)
    return [(float(best.iloc[-1]), f"{name} {best.iloc[-1]:.3f}", color)]


def _one_gap(axes: Axes, y: float, test: float, unseen: dict[str, float | None], color: str) -> None:
    """One row: test as a filled dot with its number, dev and validation as hollow marks on a thin line."""
    for name, marker in (("dev", "o"), ("validation", "D")):
        score = unseen[name]
        if score is not None:
            axes.plot([score, test], [y, y], color=color, linewidth=1.2, alpha=0.5, zorder=1)
            size = 6.5 if marker == "o" else 5.5
            axes.plot(score, y, marker, color=color, markerfacecolor="white", markersize=size, zorder=2)
    axes.plot(test, y, "o", color=color, markersize=8, zorder=3)
    axes.annotate(
        f"{test:.3f}", (test, y), (0, 8), textcoords="offset points", ha="center", color=color, weight="bold"
    )


def _gain_band(axes: Axes, record: RunRecord, y: float) -> None:
    """Where the gain's interval, laid on the strongest baseline, says that the best may lie."""
    strongest = next((row for row in score_rows(record) if row.strongest), None)
    if strongest is None or strongest.interval is None or strongest.gain is None:
        return
    low, high = (strongest.score + end for end in strongest.interval)
    axes.plot([low, high], [y, y], color=EVOLUTION, linewidth=9, alpha=0.18, solid_capstyle="butt", zorder=0)
    axes.axvline(strongest.score, color=INK, linewidth=0.9, linestyle=(0, (2, 2)), zorder=0)
    ends = " to ".join(signed(end) for end in strongest.interval)
    axes.set_title(
        f"gain over the strongest baseline {signed(strongest.gain)}, 95 % interval {ends}",
        loc="left",
        fontsize=10.5,
        color=INK,
    )


def _key_of_marks(axes: Axes) -> None:
    """Names of the three marks, above the right end of the axes."""
    handles = [
        axes.plot([], [], marker, color=QUIET, markerfacecolor=fill, markersize=6, label=name)[0]
        for name, marker, fill in (
            ("dev", "o", "white"),
            ("validation", "D", "white"),
            ("test", "o", QUIET),
        )
    ]
    axes.legend(
        handles=handles,
        loc="lower right",
        bbox_to_anchor=(1, 1.0),
        ncols=3,
        frameon=False,
        fontsize=9.5,
        labelcolor=QUIET,
        handletextpad=0.1,
        columnspacing=1.0,
        borderpad=0.1,
    )


def _label_right(axes: Axes, labels: list[tuple[float, str, str]]) -> None:
    """Name each line at its right end, moved apart where they would touch."""
    low, high = axes.get_ylim()
    labels = sorted(labels)
    heights = spread([value for value, _, _ in labels], 0.062 * (high - low))
    for height, (_, text, color) in zip(heights, labels, strict=True):
        axes.annotate(
            text,
            (1, height),
            (6, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            color=color,
            va="center",
            annotation_clip=False,
        )


def spread(values: Sequence[float], distance: float) -> list[float]:
    """Sorted ``values`` moved as little as a few passes need, so that neighbours are ``distance`` apart."""
    places = np.asarray(values, dtype=float)
    for _ in range(50):
        overlap = distance - np.diff(places)
        if not (overlap > 1e-12).any():
            break
        push = np.maximum(overlap, 0) / 2
        places[:-1] -= push
        places[1:] += push
    return [float(place) for place in places]


def _short(name: object, limit: int = 14) -> str:
    text = str(name)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _figure(height: float, left: float = 0.09, right: float = 0.97, top_inches: float = 0.16) -> tuple[Figure, Axes]:
    """A wide figure with one axes; margins below and above are in inches, whatever the height."""
    figure = Figure(figsize=(9.0, height))
    figure.subplots_adjust(left=left, right=right, bottom=0.52 / height, top=1 - top_inches / height)
    return figure, figure.add_subplot()


@contextmanager
def _style(salt: str) -> Iterator[None]:
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": salt}):
        yield
