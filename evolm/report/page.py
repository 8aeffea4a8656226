"""``report.html``: one page, self-contained and offline.

The page is made from the run directory alone and is valid for any journal, from the first line on.
Prompts hold whatever users and models wrote, so the template escapes everything; only the figures,
which this package draws itself, pass as markup.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, Template
from markupsafe import Markup

from evolm.report import dot_plots, plots
from evolm.report.effects import effect_table
from evolm.report.items import item_table, realised
from evolm.report.reading import RunRecord
from evolm.report.run_files import readable
from evolm.report.self_score import self_score_figure
from evolm.report.svg import render
from evolm.report.tables import percent
from evolm.report.views import (
    AuditView,
    OriginView,
    SearchView,
    VerdictView,
    WinnerView,
    drawn,
    front_view,
)
from evolm.storage import RunLayout, write_atomically
from evolm.wording import signed

SCRIPT = "page.js"  # filters the table of items; without it, the page shows all of them

FIGURES = {
    "curves": (plots.curves, "Scores of all individuals and the best so far, over evaluations"),
    "front": (dot_plots.front, "The front in its first two objectives, and the individuals that it dominates"),
    "gaps": (plots.gaps, "Dev, validation and test scores of the best and of each baseline"),
    "self_score": (self_score_figure, "What the best of each generation thinks of itself, and what it is worth"),
    "confusion": (plots.confusion, "Confusion matrix of the best on the test split"),
    "descent": (plots.descent, "Scores of the best individual's ancestors by generation"),
}


def write_report(directory: Path) -> Path:
    """Write ``report.html`` into the run directory, in one step, and return its path.

    Raises:
        RunError: if ``directory`` holds no journal, or a damaged one.
    """
    with readable(directory):
        html = render_page(RunRecord.read(directory))
    path = RunLayout(Path(directory)).report
    write_atomically(path, html)  # a browser never sees half a page
    return path


def render_page(record: RunRecord) -> str:
    """Return the whole page as text; the same run directory gives the same text."""
    script = resources.files("evolm.report").joinpath(SCRIPT).read_text(encoding="utf-8")
    figures = {name: drawn(render(draw, record, alt)) for name, (draw, alt) in FIGURES.items()}
    return _template().render(
        record=record,
        figures=figures,
        verdict=VerdictView.of(record),
        front=front_view(record),
        audited=AuditView.of(record),
        winner=WinnerView.of(record),
        search=SearchView.of(record),
        origin=OriginView.of(record),
        items=item_table(record),
        effects=effect_table(record),
        realised=realised(record),
        script=Markup(script),
        script_hash=_hash(script),
    )


def _hash(script: str) -> str:
    """Return a script's hash in the form of a content security policy, which lets nothing else run."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("evolm.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["signed"] = _number(signed)
    environment.filters["score"] = _number("{:.3f}".format)
    environment.filters["count"] = _number("{:,.0f}".format)
    environment.filters["percent"] = _number(percent)
    environment.filters["sentence"] = lambda text: text[:1].upper() + text[1:]
    return environment.get_template("page.html.jinja")


def _number(format: Callable[[float], str]) -> Callable[[Any], str]:
    """Return a filter that formats numbers and shows anything else, such as a missing one, as nothing."""
    return lambda value: format(value) if isinstance(value, int | float) else ""
