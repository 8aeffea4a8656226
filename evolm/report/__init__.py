"""Reports of a run's directory: a summary for the terminal, figures, and one self-contained page."""

from __future__ import annotations

from evolm.report.page import write_report
from evolm.report.reading import RunRecord
from evolm.report.summary import render_summary
from evolm.report.writer import ReportWriter

__all__ = ["ReportWriter", "RunRecord", "render_summary", "write_report"]
