"""Reports of a run's directory: a summary for the terminal, figures, and one self-contained page.

The names are imported on first use: reading a run needs no matplotlib.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evolm.lazy import lazy_exports

if TYPE_CHECKING:
    from evolm.report.page import write_report
    from evolm.report.reading import RunRecord
    from evolm.report.summary import advice, render_summary
    from evolm.report.writer import ReportWriter

__all__ = ["ReportWriter", "RunRecord", "advice", "render_summary", "write_report"]

__getattr__ = lazy_exports(
    __name__,
    {
        "ReportWriter": "evolm.report.writer",
        "RunRecord": "evolm.report.reading",
        "advice": "evolm.report.summary",
        "render_summary": "evolm.report.summary",
        "write_report": "evolm.report.page",
    },
)
