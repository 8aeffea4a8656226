"""How the report's figures look, and how one becomes inline SVG.

Figures are made with matplotlib's object-oriented interface only: pyplot's global state would leak
between reports. The same run gives the same bytes: ids come from a fixed salt and no date is written.
Text stays text (searchable, in the page's font). Colours are from Okabe and Ito's colour-blind-safe
set, and lines are named where they end, so that no legend has to be decoded.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from evolm.report.reading import RunRecord

INK, QUIET, HAIR = "#1b1f24", "#6a737d", "#e3e6ea"
EVOLUTION, RANDOM, FOUNDER = "#0072b2", "#c4560a", "#6a737d"  # random: Okabe-Ito vermilion, darkened
SEQUENTIAL = LinearSegmentedColormap.from_list("evolm", ["#ffffff", "#cfe3f1", "#5fa3cf", "#0072b2"])

STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a label such as "$9 & $20" is no formula
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


def wide_figure(
    height: float, left: float = 0.09, right: float = 0.97, top_inches: float = 0.16
) -> tuple[Figure, Axes]:
    """A wide figure with one axes; margins below and above are in inches, whatever the height."""
    figure = Figure(figsize=(9.0, height))
    figure.subplots_adjust(left=left, right=right, bottom=0.52 / height, top=1 - top_inches / height)
    return figure, figure.add_subplot()


def label_right(axes: Axes, labels: list[tuple[float, str, str]]) -> None:
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


@contextmanager
def _style(salt: str) -> Iterator[None]:
    settings: Any = {**STYLE, "svg.hashsalt": salt}
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # the browser's fonts hold it, if ours do not
        yield
