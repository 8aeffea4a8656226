"""Alternating timing of several implementations, for a machine whose speed drifts."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any


def timed(
    ways: Mapping[str, Callable[[], Any]], rounds: int, warm_up: bool = True
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Time every way ``rounds`` times in alternating order; return the seconds per round and each first result.

    Args:
        ways: name -> function to time.
        rounds: at least one.
        warm_up: call each once before the first round.
    """
    answers = {name: way() for name, way in ways.items()} if warm_up else {}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for index in range(rounds):
        for name in list(ways)[:: 1 if index % 2 == 0 else -1]:
            began = time.perf_counter()
            answer = ways[name]()
            seconds[name].append(time.perf_counter() - began)
            answers.setdefault(name, answer)
    return seconds, answers


def compare(
    ways: Mapping[str, Callable[[], Any]], rounds: int, warm_up: bool = True
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Time every way ``rounds`` times in alternating order.

    Returns:
        Per way: median seconds, median and lowest ratio to the first way, computed per round; and the result of its
        first call.
    """
    seconds, answers = timed(ways, rounds, warm_up)
    first = seconds[next(iter(ways))]
    ratios = {name: [b / a for a, b in zip(first, times, strict=True)] for name, times in seconds.items()}
    record = {
        name: {
            "seconds": round(statistics.median(times), 4),
            "ratio": round(statistics.median(ratios[name]), 3),
            "lowest_ratio": round(min(ratios[name]), 3),
        }
        for name, times in seconds.items()
    }
    return record, answers


def middle(values: list[float], digits: int = 4) -> dict[str, float]:
    """Return the median, the lowest and the highest of some values."""
    return {
        "median": round(statistics.median(values), digits),
        "lowest": round(min(values), digits),
        "highest": round(max(values), digits),
    }
