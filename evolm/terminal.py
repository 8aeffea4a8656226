"""The console that every command prints to: text from data, models and files cannot control the terminal."""

from __future__ import annotations

from collections.abc import Iterable

import rich.console
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment

# Control characters but for the end of a line and the tab, as their escapes in Python.
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}


def without_controls(text: str) -> str:
    """Return ``text`` with every control character as its escape, such as ``\\x1b``."""
    return text.translate(_ESCAPES)


class Console(rich.console.Console):
    """rich's console, which shows control characters of texts as escapes; its own colours and movements stay."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of a renderable."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(without_controls(text), style)


__all__ = ["Console", "without_controls"]
