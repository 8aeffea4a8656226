"""The live view of a campaign: a small table that redraws itself, or plain lines where there is no terminal."""

from __future__ import annotations

import logging
import math
import time
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.logging import RichHandler
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from evolm.campaign.observers import Observer, Progress

logger = logging.getLogger("evolm")

TITLES = {"main": "search", "random_search": "random search", "verdict": "verdict: finals and test split"}
SPARKS = "▁▂▃▄▅▆▇█"


def sparkline(values: list[float]) -> str:
    """Return one character per value, the lowest and highest of them the lowest and highest bar."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return ""
    low, span = min(finite), max(finite) - min(finite)
    return "".join(SPARKS[round((value - low) / span * 7) if span else 3] for value in finite)


def duration(seconds: float) -> str:
    """Return ``"3:07"``, or ``"–"`` where it is not known."""
    if not math.isfinite(seconds):
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


class Pace:
    """How fast requests are answered, and how long the rest of a search will take."""

    def __init__(self) -> None:
        self._marks: list[tuple[float, int]] = []  # (clock, requests answered in all)

    def mark(self, requests: int) -> None:
        """Note how many requests are answered by now."""
        self._marks = [*self._marks[-30:], (time.monotonic(), requests)]

    @property
    def per_second(self) -> float:
        """Requests a second over the last marks."""
        if len(self._marks) < 2:
            return math.nan
        (then, before), (now, done) = self._marks[0], self._marks[-1]
        return (done - before) / (now - then) if now > then else math.nan


class LiveView(Observer):
    """Shows a campaign in a terminal.

    Args:
        console: where to.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.pace = Pace()
        self.history: list[float] = []
        self.progress: Progress | None = None
        self.phase = "main"
        self.title = ""
        self._answered = 0
        self._phase_began = (time.monotonic(), 0)
        self._bars = Bars(
            TextColumn("{task.description:<12}"),
            BarColumn(40),
            TaskProgressColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
        )
        self._evaluations = self._bars.add_task("evaluations", total=None, note="")
        self._batch = self._bars.add_task("generation", total=None, note="")
        self._live: Live | None = None
        if not console.is_terminal:
            return
        self._live = Live(self, console=console, refresh_per_second=4, transient=True)
        self._live.start()

    def __rich__(self) -> Group:
        return Group(self._table(), self._bars)

    def _table(self) -> Table:
        table = Table(title=Text(f"{self.title} · {TITLES.get(self.phase, self.phase)}"), title_justify="left")
        for name in (
            "generation",
            "best dev",
            "mean dev",
            "diversity",
            "items/s",
            "cache hits",
            "time",
            "ETA",
        ):
            table.add_column(name, justify="right")
        table.add_column("best so far")
        progress = self.progress
        if progress is None:
            table.add_row("0", *["–"] * 7, "")
            return table
        usage = progress.usage
        hits = usage.get("cache_hits", 0) / max(usage.get("requests", 0), 1)
        pace = self.pace.per_second
        table.add_row(
            str(progress.generation),
            f"{progress.best:.3f}",
            f"{progress.mean:.3f}",
            f"{progress.diversity:.2f}",
            "–" if math.isnan(pace) else f"{pace:.0f}",
            f"{hits:.0%}",
            duration(progress.seconds),
            duration(self._eta()),
            sparkline(self.history[-24:]),
        )
        return table

    def _eta(self) -> float:
        """Seconds until this phase ends; NaN where no number of evaluations limits it."""
        progress = self.progress
        began, before = self._phase_began
        if progress is None or not progress.evaluations_allowed or progress.evaluations <= before:
            return math.nan
        each = (time.monotonic() - began) / (progress.evaluations - before)
        return each * (progress.evaluations_allowed - progress.evaluations)

    def on_start(self, campaign: Any) -> None:
        """Name the campaign."""
        self.title = campaign.parts.config.name or campaign.parts.task.name

    def on_phase(self, name: str) -> None:
        """Begin a search or the verdict."""
        self.phase, self.history, self.progress = name, [], None
        self._phase_began = (time.monotonic(), 0)
        self._bars.reset(self._evaluations, total=None)
        if self._live is None:
            logger.info("%s begins", TITLES.get(name, name))

    def on_requests(self, done: int, total: int) -> None:
        """Advance the bar of the generation at hand."""
        self._answered += max(done - int(self._bars.tasks[self._batch].completed or 0), 0) if done else 0
        self.pace.mark(self._answered)
        self._bars.update(self._batch, completed=done, total=total, note=f"{done} of {total} items")

    def on_generation(self, progress: Progress) -> None:
        """Redraw, or write a line."""
        if self.progress is None:
            self._phase_began = (self._phase_began[0], 0)
        self.progress = progress
        self.history.append(progress.best)
        note = f"{progress.evaluations} of {progress.evaluations_allowed or '∞'}, ETA {duration(self._eta())}"
        self._bars.update(
            self._evaluations,
            completed=progress.evaluations,
            total=progress.evaluations_allowed or None,
            note=note,
        )
        if self._live is None:
            usage = progress.usage
            logger.info(
                "%s, generation %d: best %.3f, mean %.3f, diversity %.2f; %d of %s evaluations; "
                "%.0f items/s, cache hits %.0f %%; %s, ETA %s%s",
                TITLES.get(progress.search, progress.search),
                progress.generation,
                progress.best,
                progress.mean,
                progress.diversity,
                progress.evaluations,
                progress.evaluations_allowed or "∞",
                0 if math.isnan(self.pace.per_second) else self.pace.per_second,
                100 * usage.get("cache_hits", 0) / max(usage.get("requests", 0), 1),
                duration(progress.seconds),
                duration(self._eta()),
                "  (new best)" if progress.improved else "",
            )

    def close(self) -> None:
        """Give the terminal back."""
        if self._live is not None:
            self._live.stop()


def log_to(console: Console, verbose: bool = False) -> None:
    """Send evolm's log to a console: coloured in a terminal, plain lines elsewhere."""
    handler: logging.Handler
    if console.is_terminal:
        handler = RichHandler(console=console, show_path=False, show_time=False, show_level=False)
    else:
        handler = logging.StreamHandler(console.file)
        handler.setFormatter(logging.Formatter("%(message)s"))
    logger.handlers[:] = [handler]
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False
