"""The documentation's pages as tests read them: fences of code, with the marks that stand before them.

A mark is an HTML comment on the line before a fence, or, for the whole page, on its first lines:

- ``<!-- file: NAME -->``: the fence is the content of a file of this name;
- ``<!-- not run: REASON -->``: the fence is not executed;
- ``<!-- tier: slow -->``, ``<!-- extras: PACKAGE -->`` (page): when the page is executed;
- ``<!-- tested by: PATH -->`` (page): the test that executes the page in the place of ``tests/docs``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
RUN = ("python", "sh", "toml")  # languages of executable fences
_FENCE = re.compile(
    r"(?:^<!-- (?P<mark>[\w ]+): (?P<value>[^\n]*) -->\n)?^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.M | re.S
)
_PAGE_MARK = re.compile(r"^<!-- (tier|extras|tested by): (.*) -->$", re.M)


@dataclass(frozen=True)
class Fence:
    """A fence of code; ``mark`` and ``value`` are those of the comment before it, or empty."""

    language: str
    code: str
    mark: str
    value: str


@dataclass(frozen=True)
class Page:
    """A page of ``docs/``, or the README."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def fences(self) -> list[Fence]:
        found = _FENCE.finditer(self.text)
        return [Fence(each["language"], each["code"], each["mark"] or "", each["value"] or "") for each in found]

    @property
    def marks(self) -> dict[str, str]:
        """Kind of a mark of the whole page -> its value."""
        return dict(_PAGE_MARK.findall(self.text))

    @property
    def runs(self) -> bool:
        """Whether any fence is executed."""
        return any(fence.language in RUN and fence.mark != "not run" for fence in self.fences)


@cache
def pages() -> list[Page]:
    """Return the README and every page of the site."""
    found = (path for path in DOCS.rglob("*.md") if "_build" not in path.parts)
    return [Page(ROOT / "README.md"), *map(Page, sorted(found))]
