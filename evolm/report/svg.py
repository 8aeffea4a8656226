"""The style of the report's figures, and their conversion to inline SVG.

Figures use matplotlib's object-oriented interface only: pyplot's global state would leak between reports. The same
run gives the same bytes: ids come from a fixed salt and no date is written. Text stays text (searchable, in the
page's font). Colours are from Okabe and Ito's colour-blind-safe set, and lines are labelled at their end instead of
in a legend. Inside a page a colour becomes the page's CSS variable of that colour, so figures follow its dark scheme.
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
from matplotlib.figure import Figure

PAPER, INK, QUIET, HAIR = "#ffffff", "#1b1f24", "#5f6872", "#e3e6ea"
EVOLUTION, RANDOM, FOUNDER = "#0072b2", "#c4560a", QUIET  # random: Okabe-Ito vermilion, darkened
BAND = "#83b8dc"  # background of text
VARIABLES = {
    PAPER: "--page",
    INK: "--ink",
    QUIET: "--quiet",
    HAIR: "--hair",
    EVOLUTION: "--blue",
    RANDOM: "--orange",
    BAND: "--band",
}

STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a label such as "$9 & $20" is not a formula
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
    "figure.facecolor": PAPER,
    "axes.facecolor": "none",
}


def render(draw: Callable[[Any], Figure | None], subject: Any, alt: str, name: str = "") -> str:
    """Draw one figure and return it as an ``<svg>`` element; ``""`` if there is nothing to show yet.

    Args:
        draw: function of the record of a run, or of a part of it, that returns a figure.
        subject: that record or part.
        alt: the figure's description for screen readers.
        name: unique in its page; empty = the function's name.
    """
    name = name or draw.__name__
    with _style(name):
        figure = draw(subject)
        return "" if figure is None else to_svg(figure, name, alt)


def render_file(draw: Callable[[Any], Figure], record: Any) -> str:
    """Draw one figure and return it as the text of an SVG file."""
    with _style(draw.__name__):
        return _file(draw(record))


def to_svg(figure: Figure, name: str, alt: str) -> str:
    """Return the figure as an ``<svg>`` element that scales with its column; ``name`` makes its ids unique."""
    figure.patch.set_visible(False)  # the page's background is visible
    with _style(name):
        svg = _file(figure)
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    opening, rest = svg.split(">", 1)
    box = re.search(r'viewBox="[^"]+"', opening)
    assert box is not None
    # inside HTML an <svg> needs no namespaces; ids must not meet those of another figure
    rest = re.sub(r'\bid="', f'id="{name}-', rest)
    rest = rest.replace('xlink:href="#', f'href="#{name}-').replace("url(#", f"url(#{name}-")
    rest = re.sub(r'style="[^"]*"', lambda style: _themed(style.group()), rest)
    return f'<svg {box.group()} role="img" aria-label="{escape(alt)}">{rest}'


def _themed(style: str) -> str:
    """Return a style with the page's CSS variables as colours, each with the original as fallback."""
    return re.sub("|".join(VARIABLES), lambda found: f"var({VARIABLES[found.group()]}, {found.group()})", style)


def _file(figure: Figure) -> str:
    buffer = io.StringIO()
    FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    return buffer.getvalue()


def wide_figure(
    height: float, left: float = 0.09, right: float = 0.97, top_inches: float = 0.16
) -> tuple[Figure, Axes]:
    """Return a wide figure with one axes; the margins below and above are in inches and do not scale with it."""
    figure = Figure(figsize=(9.0, height))
    figure.subplots_adjust(left=left, right=right, bottom=0.52 / height, top=1 - top_inches / height)
    return figure, figure.add_subplot()


def label_right(axes: Axes, labels: list[tuple[float, str, str]]) -> None:
    """Label each line at its right end; labels that would overlap are moved apart, and down from the upper edge."""
    low, high = axes.get_ylim()
    labels = sorted(labels)
    distance = 0.062 * (high - low)
    heights = spread([value for value, _, _ in labels], distance)
    above = max(heights[-1] + distance / 2 - high, 0.0) if heights else 0.0
    heights = [height - above for height in heights]
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
    """Return sorted ``values`` moved apart in at most 50 passes, so that neighbours are ``distance`` apart."""
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
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()  # matplotlib reads a matplotlibrc in the working directory, which may call LaTeX
        matplotlib.rcParams.update(settings)
        warnings.filterwarnings("ignore", message="Glyph")  # missing in matplotlib's font; the browser has others
        yield
