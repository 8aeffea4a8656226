"""``report.html``: one page, self-contained and offline.

The page is made from the run directory alone and is valid for any journal, from the first line on.
Prompts hold whatever users and models wrote, so the template escapes everything; only the figures,
which this package draws itself, pass as markup.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, Template
from markupsafe import Markup

from evolm.report import plots, scatter
from evolm.report.audit import audits, one_class, unaided
from evolm.report.differences import compare
from evolm.report.front import members, objectives, rule
from evolm.report.generated_texts import written_items
from evolm.report.reading import Ancestor, RunRecord
from evolm.report.svg import render
from evolm.report.tables import (
    budget_rows,
    failures,
    headline,
    operator_rows,
    percent,
    progress_rows,
    racing,
    savings,
    score_rows,
    stopped,
)
from evolm.searches import MAIN
from evolm.storage import RunLayout, write_atomically
from evolm.wording import signed, words

FIGURES = {
    "curves": (plots.curves, "Scores of all individuals and the best so far, over evaluations"),
    "front": (scatter.front, "The front in its first two objectives, and the individuals that it dominates"),
    "gaps": (plots.gaps, "Dev, validation and test scores of the best and of each baseline"),
    "confusion": (plots.confusion, "Confusion matrix of the best on the test split"),
    "descent": (plots.descent, "Scores of the best individual's ancestors by generation"),
}


def write_report(directory: Path) -> Path:
    """Write ``report.html`` into the run directory, in one step, and return its path.

    Raises:
        RunError: ``directory`` holds no journal, or a damaged one.
    """
    html = render_page(RunRecord.read(directory))
    path = RunLayout(Path(directory)).report
    write_atomically(path, html)  # a browser never sees half a page
    return path


def render_page(record: RunRecord) -> str:
    """The whole page as text; the same run directory gives the same text."""
    figures = {name: _drawn(render(draw, record, alt)) for name, (draw, alt) in FIGURES.items()}
    return _template().render(
        record=record,
        run=record.run,
        result=record.result or {},
        test=record.test or {},
        figures=figures,
        headline=headline(record),
        warning=one_class(record),
        scores=score_rows(record),
        validation=record.last("validation") or {},
        progress=progress_rows(record),
        front=_front(record),
        audits=_audits(record),
        unaudited=[words(name) for name in unaided(record)] if record.gold is None else [],
        written=written_items(record),
        prompts=_prompts(record),
        line=_line(record),
        operators=operator_rows(record),
        budget=budget_rows(record),
        savings=savings(record),
        racing=racing(record),
        stopped=stopped(record),
        failures=failures(record),
        profile=_flatten(record.run.get("profile") or {}),
        updated=next((e["time"] for e in reversed(record.timing) if e.get("time")), ""),
    )


def _drawn(svg: str) -> Markup:
    """A figure that narrow windows can scroll; on trust: drawn by this package, the text inside already escaped."""
    return Markup(svg and f'<div class="scroll">{svg}</div>')


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
    """A filter that shows nothing where a partial run has no number yet."""
    return lambda value: format(value) if isinstance(value, int | float) else ""


def _audits(record: RunRecord) -> list[dict[str, Any]]:
    """Every audit with its figure."""
    rows = []
    for place, audit in enumerate(audits(record)):
        alt = f"{audit.name} against {audit.metric} by gold labels, a dot per individual"
        rows.append({"audit": audit, "figure": _drawn(render(scatter.against_gold, audit, alt, f"audit{place}"))})
    return rows


def _front(record: RunRecord) -> dict[str, Any] | None:
    """The front's members with their prompts ready to be shown; None where there is one objective."""
    found = members(record)
    if not found:
        return None
    rows = [{"member": member, "prompt": compare(member.genome, member.genome)[1]} for member in found]
    return {"objectives": objectives(record), "rows": rows, "rule": rule(record)}


def _prompts(record: RunRecord) -> dict[str, Any] | None:
    """The founder's and the best's genome, compared; None while there is nothing to compare."""
    best, founder = record.best(), record.founder()
    if best is None:
        return None
    result = record.result or {}
    new = (result.get("best") or {}).get("genome") or best.get("genome") or {}
    old = (result.get("founder") or {}).get("genome") or (founder or best).get("genome") or {}
    before, after = compare(old, new)
    return {
        "same": old == new,
        "founder": before,
        "best": after,
        "founder_id": (founder or best)["id"],
        "best_id": best["id"],
    }


def _line(record: RunRecord) -> list[dict[str, Any]]:
    """The main line of the best, founder first, each with its change over the one before."""
    best = record.best()
    rows: list[dict[str, Any]] = []
    previous: Ancestor | None = None
    for ancestor in record.descent(MAIN, best["id"]) if best else []:
        change = None
        if previous is not None and previous.score is not None and ancestor.score is not None:
            change = ancestor.score - previous.score
        others = [p for p in ancestor.parents if previous is None or p != previous.id]
        rows.append({"individual": ancestor, "change": change, "others": others})
        previous = ancestor
    return rows


def _flatten(tree: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as ``("versions.torch", "2.9.0")`` rows."""
    rows: list[tuple[str, str]] = []
    for key, value in tree.items():
        if isinstance(value, dict):
            rows += _flatten(value, f"{prefix}{key}.")
        else:
            rows.append((prefix + key, str(value)))
    return rows
