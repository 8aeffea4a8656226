"""The live view of a training: a bar at a terminal, a line for each evaluation elsewhere."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from evolm.pretraining.trainer import Mark


class PretrainView:
    """Shows sentences and evaluations.

    Args:
        console: where.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = (BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
        self._bars = Progress(*columns, console=console) if console.is_terminal else None
        self._task = self._bars.add_task("starting", total=None) if self._bars else None
        if self._bars:
            self._bars.start()

    def say(self, sentence: str) -> None:
        """Print a sentence."""
        self._console.print(Text(sentence), soft_wrap=True)

    def show(self, mark: Mark) -> None:
        """Show an evaluation."""
        told = (
            f"step {mark.step:,} of {mark.steps:,} · loss {mark.loss:.3f} · validation perplexity "
            f"{mark.perplexity:.1f} · {mark.tokens_per_second:,.0f} tokens/s"
        )
        if self._bars is None or self._task is None:
            self.say(told)
        else:
            self._bars.update(self._task, completed=mark.step, total=mark.steps, description=told)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bars:
            self._bars.stop()
