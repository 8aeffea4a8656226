"""How the engine's time grows with population, items, prefix length and labels, each doubled three times.

All sizes of all four are timed in every round, in alternating order. An exponent is the slope of log time over log
size by least squares: 1 is proportional; for population and items it must not exceed 1. Prefixes are shared by items,
and items by labels, so time grows more slowly with these. Times are of the whole engine with an empty cache, from
tokens to answers: planning and storing included.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from benchmarks.material import Shape, requests_of, tokens_of
from evolm.evaluation.engine import Engine
from evolm.evaluation.timing import timed
from evolm.models import LanguageModel, TokenizedRequest
from evolm.report.svg import EVOLUTION, INK, QUIET, RANDOM, STYLE, label_right, wide_figure
from evolm.storage import AnswerStore

DOUBLINGS = 3
FIRST: dict[str, Shape] = {  # the smallest of each series; labels of two tokens
    "population": Shape(16, (2, 2), prefix=64),
    "items": Shape(16, (2, 2), prefix=64),
    "prefix": Shape(32, (2, 2), prefix=64),
    "labels": Shape(32, (2, 2), prefix=64),
}
LIMITED = ("population", "items")
COLORS = {"population": RANDOM, "items": EVOLUTION, "prefix": INK, "labels": QUIET}


def grown(what: str, first: Shape, factor: int) -> Shape:
    """Return a shape with one size multiplied by ``factor``."""
    value = first.labels * factor if what == "labels" else getattr(first, what) * factor
    return replace(first, **{what: value})


def size_of(what: str, shape: Shape) -> int:
    """Return one size of a shape."""
    return len(shape.labels) if what == "labels" else int(getattr(shape, what))


def answered(model: LanguageModel, requests: list[TokenizedRequest]) -> None:
    """Answer requests with an empty cache."""
    store = AnswerStore(":memory:")
    Engine(model, store).answer_tokenized(requests)
    store.close()


def exponent(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """Return the slope of log time over log size."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def growth(model: LanguageModel, rounds: int, doublings: int = DOUBLINGS, items: int = 0) -> dict[str, Any]:
    """Return, per series, sizes, median seconds and the exponent, fitted round by round and to the medians.

    ``items`` of the smallest shapes, where not those of ``FIRST``.
    """
    smallest = {what: replace(first, items=items or first.items) for what, first in FIRST.items()}
    shapes = {what: [grown(what, first, 2**k) for k in range(doublings + 1)] for what, first in smallest.items()}
    ways: dict[str, Callable[[], None]] = {}
    for what, own in shapes.items():
        for shape in own:
            requests = tokens_of(model, requests_of(model, shape), shape)
            ways[f"{what} {size_of(what, shape)}"] = partial(answered, model, requests)
    ways[next(iter(ways))]()  # loads the model
    seconds, _ = timed(ways, rounds, warm_up=False)
    record = {}
    for what, own in shapes.items():
        sizes = [size_of(what, shape) for shape in own]
        times = [seconds[f"{what} {size}"] for size in sizes]
        by_round = [exponent(sizes, each) for each in zip(*times, strict=True)]
        medians = [statistics.median(each) for each in times]
        record[what] = {
            "others": {name: size_of(name, own[0]) for name in FIRST if name != what},
            "sizes": sizes,
            "seconds": [round(each, 4) for each in medians],
            "exponent": round(exponent(sizes, medians), 3),
            "exponent_median_of_rounds": round(statistics.median(by_round), 3),
            "exponent_highest_of_rounds": round(max(by_round), 3),
        }
    return {"rounds": rounds, "series": record}


def figure(series: dict[str, Any]) -> Figure:
    """Return the figure: time over size, both relative to the smallest, in doublings."""
    with matplotlib.rc_context(STYLE):
        drawn, axes = wide_figure(4.2, right=0.74)
        most = max(len(own["sizes"]) for own in series.values()) - 1
        axes.plot([0, most], [0, most], color=QUIET, linewidth=1.1, linestyle=(0, (4, 3)))
        labels = [(float(most), "proportional", QUIET)]
        for what, own in series.items():
            heights = [math.log2(each / own["seconds"][0]) for each in own["seconds"]]
            color = COLORS[what]
            axes.plot(range(len(heights)), heights, "o-", color=color, linewidth=2, markersize=5)
            labels.append((heights[-1], f"{what}: exponent {own['exponent']:.2f}", color))
        ticks = range(most + 1)
        axes.set_xticks(ticks, [f"×{2**k}" for k in ticks])
        axes.set_yticks(ticks, [f"×{2**k}" for k in ticks])
        axes.set_xlim(left=0)
        label_right(axes, labels)
        axes.set_xlabel("how much of it, over the smallest")
        axes.set_ylabel("time, over the smallest")
        return drawn
