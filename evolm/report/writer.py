"""The report as an observer: ``report.html`` follows the run, at a total cost that is linear in the run's length.

Drawing the page reads the whole journal. So it is drawn again only once the journal is a quarter longer than it was
at the last drawing: over a run whose journal ends with n bytes, drawings between generations read at most n + n/1.25
+ n/1.25² + ... = 5 n bytes. At the end of every search, at an error and at the verdict it is drawn in any case, so
the page is then complete. ``evolm report DIR`` draws it at any other time.
"""

from __future__ import annotations

from typing import Any

from evolm.observers import Observer, Phase, RunInfo
from evolm.storage import RunLayout

GROWTH = 1.25  # of the journal, from one drawing between generations to the next


class ReportWriter(Observer):
    """Writes ``report.html`` into the run's directory.

    Other observers that read the report must come after this one.
    """

    def __init__(self) -> None:
        self._layout: RunLayout
        self._drawn = 0  # bytes of the journal at this process's last drawing
        self._begun = 0  # bytes of the journal when this process began

    def on_start(self, info: RunInfo) -> None:
        """Remember the run's directory; a resumed run's page is drawn again with its first saved generation."""
        self._layout, self._drawn = RunLayout(info.directory), 0
        self._begun = self._length()

    def on_saved(self) -> None:
        """Draw the page if the journal has grown enough."""
        if self._length() >= GROWTH * self._drawn:
            self._draw()

    def on_phase(self, phase: Phase) -> None:
        """Draw the page if a search was completed since the last drawing."""
        if self._length() not in (self._begun, self._drawn):
            self._draw()

    def on_error(self, error: Exception) -> None:
        """Draw the page as far as the run got."""
        self._draw()

    def on_end(self, result: dict[str, Any]) -> None:
        """Draw the page with the verdict."""
        self._draw()

    def _length(self) -> int:
        return self._layout.journal.stat().st_size

    def _draw(self) -> None:
        from evolm.report.page import write_report  # matplotlib is imported with the first drawing

        self._drawn = self._length()
        write_report(self._layout.directory)
