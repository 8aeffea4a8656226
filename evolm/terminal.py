"""The console that every command prints to: text from data, models and files cannot control the terminal."""

from __future__ import annotations

from collections.abc import Iterable

import rich.console
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment

from evolm.wording import without_controls


class Console(rich.console.Console):
    """rich's console, which shows control characters of texts as escapes; its own colours and movements stay."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of a renderable."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(without_controls(text), style)


__all__ = ["Console", "without_controls"]
