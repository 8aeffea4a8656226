"""The verdict in the terminal: a compact table, then the claim as the last line."""

from __future__ import annotations

from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from evolm.baselines import BEST
from evolm.baselines.founder import BEST_FOUNDER
from evolm.report.audit import audits, warnings
from evolm.report.committee import committee_sentence
from evolm.report.forms import relearnt_sentence, soup_sentence
from evolm.report.front import members, rule
from evolm.report.reading import RunRecord
from evolm.report.run_files import readable
from evolm.report.self_score import course, generation_audits
from evolm.report.tables import (
    ScoreRow,
    budget_rows,
    expected,
    general,
    headline,
    headroom,
    progress_rows,
    racing,
    score_rows,
    stages,
    stopped,
)
from evolm.storage import RunLayout
from evolm.tasks.metrics import ACCURACY, RATES
from evolm.wording import counted, shell_word, signed


def render_summary(directory: Path) -> RenderableType:
    """Return the run in ``directory`` as a rich renderable: test scores or, before them, the progress.

    Raises:
        RunError: if ``directory`` holds no journal, or a damaged one.
    """
    with readable(directory):
        record = RunRecord.read(directory)
        rows = score_rows(record)
        table = _verdict(record) if rows else _progress(record)
        averages = _averages(rows)
        return Group(_title(record), table, *averages, *_notes(record), Text(headline(record), style="bold"))


def advice(directory: Path) -> str:
    """Return the command that applies the baseline that a run's claim advises to keep; ``""`` if it advises none.

    Raises:
        RunError: if ``directory`` holds no journal, or a damaged one.
    """
    with readable(directory):
        record = RunRecord.read(directory)
        if not record.test or record.test["interval"][0] > 0:
            return ""
        strongest = record.test["strongest_baseline"]
        if not (RunLayout(directory).baselines / strongest).exists():
            return ""
    return f"evolm predict {shell_word(directory)} ROWS --use {strongest} --out FILE.csv"


def _title(record: RunRecord) -> Text:
    name = record.run.get("name") or record.directory.name
    return Text(f"{name} · {record.model} · seed {record.run.get('seed', '?')} · {record.status}", style="dim")


def _notes(record: RunRecord) -> list[Text]:
    """Return the notes between table and claim: the front, the search, its forecasts, audits, warnings."""
    found = members(record)
    notes = [Text(f"Front: {counted(len(found), 'prompt')}; picked: {rule(record)}.")] if found else []
    form = committee_sentence(record) if record.committee else soup_sentence(record) if record.soup else ""
    form = relearnt_sentence(record) if record.relearnt else form
    said = (
        form,
        stages(record),
        stopped(record),
        racing(record),
        headroom(record),
        expected(record),
        general(record),
    )
    notes += [Text(sentence) for sentence in said if sentence]
    notes += [Text(f"{audit.finding} {audit.reading}") for audit in audits(record)]
    if went := course(generation_audits(record), record.metric):
        notes.append(Text(went))
    return notes + [Text(f"Warning: {warning}", style="bold yellow") for warning in warnings(record)]


def _verdict(record: RunRecord) -> Table:
    items = (record.test or {}).get("items")
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(f"{record.metric}, {items} test items")
    table.add_column("test", justify="right")
    table.add_column("gain of the best", justify="right")
    table.add_column("95 % interval", justify="right")
    for row in score_rows(record):
        ends = " to ".join(signed(end) for end in row.interval) if row.interval else ""
        table.add_row(
            Text(row.name + (" *" if row.strongest else "")),
            f"{row.score:.3f}",
            "" if row.gain is None else signed(row.gain),
            ends,
            style="bold" if row.key == "best" else "",
        )
    table.add_row(Text("* strongest baseline", style="dim"))
    return table


def _averages(rows: list[ScoreRow]) -> list[Table]:
    """Return a table of accuracy, precision, recall and F1 of the best and of what it is compared with."""
    shown = [row for row in rows if row.averages and (row.strongest or row.key in (BEST, BEST_FOUNDER.name))]
    if not shown:
        return []
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("means over labels")
    for name in (ACCURACY, *RATES):
        table.add_column(name.upper() if name == RATES[-1] else name, justify="right")
    for row in shown:
        values = row.averages or {}
        style = "bold" if row.key == BEST else ""
        table.add_row(Text(row.name), *(f"{values[rate]:.3f}" for rate in (ACCURACY, *RATES)), style=style)
    return [table]


def _progress(record: RunRecord) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(f"{record.scale} on dev")
    table.add_column("", justify="right")
    for name, score in progress_rows(record):
        table.add_row(name, f"{score:.3f}")
    spent = budget_rows(record)[0]
    limit = f" of {spent.limit:,.0f}" if spent.limit else ""
    table.add_row("evaluations", f"{spent.spent:,.0f}{limit}")
    return table
