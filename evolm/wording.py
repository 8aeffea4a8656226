"""Formatting of numbers, lists and tables for messages and reports."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from typing import Final

# Control characters but for the end of a line and the tab, and those that reverse the order of what follows on a line
# (https://www.unicode.org/reports/tr9/#Explicit_Directional_Embeddings); marks such as U+200F stay.
_CONTROLS: Final = (*range(0x20), *range(0x7F, 0xA0))
_REVERSING: Final = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
_ESCAPES: Final = {
    **{code: f"\\x{code:02x}" for code in _CONTROLS if chr(code) not in "\n\t"},
    **{code: f"\\u{code:04x}" for code in _REVERSING},
}


def without_controls(text: str) -> str:
    """Return ``text`` with every character that controls a terminal as its escape, such as ``\\x1b``."""
    return text.translate(_ESCAPES)


def in_markdown(text: object) -> str:
    """Return text of unknown origin for a line of Markdown: without code, links, HTML, directives and line breaks."""
    line = " ".join(without_controls(str(text)).split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"[\\`|]|\](?=[(\[:])", r"\\\g<0>", line)


def as_code(text: object) -> str:
    """Return text of unknown origin as code within a line of Markdown."""
    line = " ".join(without_controls(str(text)).split())
    ticks = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    space = " " if line[:1] == "`" or line[-1:] == "`" or not line else ""
    return f"{ticks}{space}{line}{space}{ticks}"


def counted(number: int, noun: str) -> str:
    """Return ``"1 row"`` or ``"2 rows"``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def numbered(noun: str, numbers: Iterable[int]) -> str:
    """Return ``"seed 3"`` or ``"seeds 0, 2"``, in ascending order."""
    known = sorted(numbers)
    return f"{noun if len(known) == 1 else noun + 's'} {', '.join(map(str, known))}"


def listed(names: Iterable[object], most: int = 12) -> str:
    """Return ``"'a', 'b'"``, cut after ``most`` names, or ``"none"``."""
    known = [repr(str(name)) for name in names]
    shown = ", ".join(known[:most]) or "none"
    return shown if len(known) <= most else f"{shown} and {len(known) - most} more"


def shell_word(path: object) -> str:
    """Return a path as it stands in a command: quoted if a shell would read it otherwise."""
    return shlex.quote(str(path))


def truth_word(value: bool) -> str:
    """Return the word of a truth value in a table: ``"true"`` or ``"false"``."""
    return "true" if value else "false"


def headline(docstring: str | None) -> str:
    """Return the first line of a docstring."""
    return (docstring or "").strip().partition("\n")[0]


def words(name: object) -> str:
    """Return a name of the code, like ``label_likelihood``, in words."""
    return str(name).replace("_", " ")


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def signed(value: float) -> str:
    """Return a difference with its sign, like ``+0.040``; the minus is U+2212, and zero is ``0.000``."""
    text = f"{abs(value):.3f}"
    if float(text) == 0:
        return text
    return ("+" if value > 0 else "\N{MINUS SIGN}") + text
