"""The live view of a campaign: a small table that redraws itself, or plain lines without a terminal."""

from __future__ import annotations

import logging
import math
import time

from rich.console import Console, Group
from rich.live import Live
from rich.logging import RichHandler
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as Bars
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from evolm.observers import OPERATORS, Observer, Phase, Progress, RunInfo
from evolm.wording import without_controls

logger = logging.getLogger("evolm")

SPARKS = "▁▂▃▄▅▆▇█"
LOADING = "loading the model and the data"
FIRST_ANSWERS = "waiting for the first answers"  # meanwhile workers load the model
ASKING = "operators ask the model"
SCORING = "scoring"


def sparkline(values: list[float]) -> str:
    """Return one character per value, the lowest and highest of them the lowest and highest bar."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return ""
    low, span = min(finite), max(finite) - min(finite)
    return "".join(SPARKS[round((value - low) / span * 7) if span else 3] for value in finite)


def duration(seconds: float) -> str:
    """Return minutes and seconds like ``"3:07"``, or ``"–"`` for NaN and infinity."""
    if not math.isfinite(seconds):
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


class Pace:
    """The rate at which requests are answered."""

    def __init__(self) -> None:
        self._marks: list[tuple[float, int]] = []  # (clock, requests answered in all)

    def mark(self, requests: int) -> None:
        """Note the number of requests answered by now."""
        self._marks = [*self._marks[-30:], (time.monotonic(), requests)]

    @property
    def per_second(self) -> float:
        """Requests a second over the last marks."""
        if len(self._marks) < 2:
            return math.nan
        (then, before), (now, done) = self._marks[0], self._marks[-1]
        return (done - before) / (now - then) if now > then else math.nan


class ProgressView(Observer):
    """Shows a campaign in a terminal.

    Args:
        console: the terminal, or a file for plain lines.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.pace = Pace()
        self.history: list[float] = []
        self.progress: Progress | None = None
        self.phase: Phase | None = None
        self.title = ""
        self.headroom = ""
        self.doing = LOADING
        self._clock: float | None = None  # monotonic time at which the run would have begun without interruptions
        self._done = 0  # of the current requests
        self._answered = 0
        self._phase_began = time.monotonic()
        self._generation_ended = time.monotonic()
        self._spinner = Spinner("line" if console.options.ascii_only else "dots")
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
        self._spinner.update(text=self.doing)
        if self._clock is None and self.progress is None:
            return Group(self._spinner)
        said = [Text(self.headroom, style="dim")] if self.headroom else []
        return Group(self._table(), *said, self._bars, self._spinner)

    def _table(self) -> Table:
        table = Table(title=Text(f"{self.title} · {self.phase.title if self.phase else ''}"), title_justify="left")
        cells = self._cells()
        for name in cells:
            table.add_column(name, justify="left" if name == "best so far" else "right")
        table.add_row(*cells.values())
        return table

    def _cells(self) -> dict[str, str]:
        """Return the cells of the table by the names of their columns."""
        progress, pace = self.progress, self.pace.per_second
        usage = progress.usage if progress else {}
        hits = usage.get("cache_hits", 0) / max(usage.get("requests", 0), 1)
        seconds = time.monotonic() - self._clock if self._clock is not None else math.nan
        return {
            "generation": str(progress.generation) if progress else "–",
            "best dev": f"{progress.best:.3f}" if progress else "–",
            "mean dev": f"{progress.mean:.3f}" if progress else "–",
            "diversity": f"{progress.diversity:.2f}" if progress else "–",
            **({} if not progress or progress.front_size is None else {"front": str(progress.front_size)}),
            **({} if not progress or progress.saved is None else {"items saved": f"{progress.saved:.0%}"}),
            "items/s": "–" if math.isnan(pace) else f"{pace:.0f}",
            "cache hits": f"{hits:.0%}" if progress else "–",
            "time": duration(seconds),
            "ETA": duration(self._eta()),
            "best so far": sparkline(self.history[-24:]),
        }

    def _eta(self) -> float:
        """Return the seconds until this phase ends; NaN if evaluations have no limit."""
        progress = self.progress
        before = self.phase.evaluations if self.phase else 0
        if progress is None or not progress.evaluations_allowed or progress.evaluations <= before:
            return math.nan
        each = (self._generation_ended - self._phase_began) / (progress.evaluations - before)
        rest = each * (progress.evaluations_allowed - progress.evaluations)
        return max(rest - (time.monotonic() - self._generation_ended), 0.0)

    def on_start(self, info: RunInfo) -> None:
        """Show the campaign's name and, of a new run, what its splits can show."""
        self._clock = time.monotonic() - info.seconds
        self.title = info.name
        for sentence in () if info.resumed else info.outlook:
            logger.info("%s", sentence)

    def on_phase(self, phase: Phase) -> None:
        """Begin a search or the verdict."""
        self.phase, self.history, self.progress, self.doing = phase, [], None, FIRST_ANSWERS
        self._phase_began = time.monotonic()
        self._show_evaluations(phase.evaluations, int(phase.budget.get("evaluations", 0)))
        if self._live is None:
            logger.info("%s begins", phase.title)

    def on_requests(self, done: int, total: int, purpose: str) -> None:
        """Advance the bar of the generation, or of the operators that ask the model before it."""
        asking = purpose == OPERATORS
        if done > self._done or self.doing != FIRST_ANSWERS:
            self.doing = ASKING if asking else SCORING
        self._answered += max(done - self._done, 0)
        self._done = done
        self.pace.mark(self._answered)
        note = f"{done} of {total} {'requests' if asking else 'items'}"
        name = "operators" if asking else "generation"
        self._bars.update(self._batch, description=name, completed=done, total=total, note=note)

    def _show_evaluations(self, spent: int, allowed: int) -> None:
        note = f"{spent} of {allowed or '∞'}" if self.progress or (self.phase and self.phase.budget) else ""
        self._bars.update(self._evaluations, completed=spent, total=allowed or None, note=note)

    def on_generation(self, progress: Progress) -> None:
        """Update the table, or write a line."""
        self.progress, self._generation_ended = progress, time.monotonic()
        self.history.append(progress.best)
        self._show_evaluations(progress.evaluations, progress.evaluations_allowed)
        self.headroom = progress.headroom or self.headroom
        if self._live is None:
            usage = progress.usage
            logger.info(
                "%s, generation %d: best %.3f, mean %.3f, diversity %.2f; %d of %s evaluations%s; "
                "%.0f items/s, cache hits %.0f %%; %s, ETA %s%s",
                progress.title,
                progress.generation,
                progress.best,
                progress.mean,
                progress.diversity,
                progress.evaluations,
                progress.evaluations_allowed or "∞",
                "" if progress.saved is None else f", {progress.saved:.0%} of items saved",
                0 if math.isnan(self.pace.per_second) else self.pace.per_second,
                100 * usage.get("cache_hits", 0) / max(usage.get("requests", 0), 1),
                duration(progress.seconds),
                duration(self._eta()),
                "  (new best)" if progress.improved else "",
            )
            if progress.headroom:
                logger.info("%s", progress.headroom)

    def close(self) -> None:
        """Give the terminal back."""
        if self._live is not None:
            self._live.stop()


class _PlainLines(logging.Formatter):
    """Messages as lines; text from data and models cannot control the terminal in which a log is read."""

    def format(self, record: logging.LogRecord) -> str:
        return without_controls(super().format(record))


def log_to(console: Console, verbose: bool = False) -> None:
    """Send evolm's log to a console: coloured in a terminal, plain lines elsewhere."""
    handler: logging.Handler
    if console.is_terminal:
        handler = RichHandler(console=console, show_path=False, show_time=False, show_level=False)
    else:
        handler = logging.StreamHandler(console.file)
        handler.setFormatter(_PlainLines())
    logger.handlers[:] = [handler]
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False
