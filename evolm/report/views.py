"""The parts of the page as objects that the template reads; numbers come from ``tables``, sentences too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from evolm.report import dot_plots
from evolm.report.audit import audits, scorers_without_gold, warnings
from evolm.report.committee import MemberRow, committee_sentence, member_rows
from evolm.report.differences import compare, with_chosen
from evolm.report.forms import SoupRow, relearnt_sentence, soup_rows, soup_sentence
from evolm.report.front import members, objectives, rule
from evolm.report.generated_texts import written_items
from evolm.report.reading import Ancestor, RunRecord
from evolm.report.self_score import GenerationAudit, course, generation_audits
from evolm.report.svg import render
from evolm.report.tables import (
    BudgetRow,
    OperatorRow,
    ScoreRow,
    budget_rows,
    expected,
    failures,
    general,
    headline,
    headroom,
    operator_rows,
    progress_rows,
    racing,
    savings,
    score_rows,
    stages,
    stopped,
)
from evolm.searches import MAIN
from evolm.wording import words


@dataclass(frozen=True)
class VerdictView:
    """The result, or the progress before there is one.

    Attributes:
        headline: the verdict's sentence, or the state of the search.
        warning: sentences about a best that gives one answer to nearly everything or a search that diverged, or
            ``""``.
        scores: rows of test scores; none without a test.
        progress: ``(name, score on dev)``.
        test: the result's record of the test; empty without a test.
        validation: the journal's entry of the final; empty without one.
        expected: a sentence about the score that was expected of the test, or ``""``.
        general: sentences about the model's general ability, or ``""``.
    """

    headline: str
    warning: str
    scores: Sequence[ScoreRow]
    progress: Sequence[tuple[str, float]]
    test: dict[str, Any]
    validation: dict[str, Any]
    expected: str
    general: str

    @classmethod
    def of(cls, record: RunRecord) -> VerdictView:
        """Return the view of a run."""
        test, validation = record.test or {}, record.last("validation") or {}
        return cls(
            headline(record),
            " ".join(warnings(record)),
            score_rows(record),
            progress_rows(record),
            test,
            validation,
            expected(record),
            general(record),
        )


@dataclass(frozen=True)
class AuditView:
    """Scorers without gold labels, compared with gold.

    Attributes:
        rows: tables of ``audit`` (:class:`~evolm.report.audit.Audit`) and its ``figure``.
        unaudited: names of scorers that no gold labels can check.
        generations: self-score and gold of each generation's best, if gold is hidden from the search.
        course: a sentence about them, or ``""``.
    """

    rows: Sequence[dict[str, Any]]
    unaudited: Sequence[str]
    generations: Sequence[GenerationAudit] = ()
    course: str = ""

    @classmethod
    def of(cls, record: RunRecord) -> AuditView:
        """Return the view of a run."""
        unaudited = [words(name) for name in scorers_without_gold(record)] if record.gold is None else []
        generations = generation_audits(record)
        return cls(_audits(record), unaudited, generations, course(generations, record.metric))


@dataclass(frozen=True)
class WinnerView:
    """The best individual, and what won in its place.

    Attributes:
        committee, soup: members of the committee or of the soup that won; none if the best individual did.
        contests: sentences on the contests of other forms with the best individual.
        beaten: whether another form won.
        written: texts that it wrote for the first test items, beside their targets.
        prompts: its genome and the founder's, compared; None before there is a best.
        line: its main line of ancestors, founder first.
    """

    committee: Sequence[MemberRow]
    soup: Sequence[SoupRow]
    contests: Sequence[str]
    beaten: bool
    written: Sequence[Any]
    prompts: dict[str, Any] | None
    line: Sequence[dict[str, Any]]

    @classmethod
    def of(cls, record: RunRecord) -> WinnerView:
        """Return the view of a run."""
        said = (soup_sentence(record), relearnt_sentence(record), committee_sentence(record))
        rows = (member_rows(record), soup_rows(record))
        return cls(
            *rows,
            [each for each in said if each],
            record.form is not None,
            written_items(record),
            _prompts(record),
            _line(record),
        )


@dataclass(frozen=True)
class SearchView:
    """The main search: its operators, costs and failures.

    Attributes:
        operators: how often each was tried and succeeded.
        budget: what was spent of each budget.
        savings: counts of the whole run, and shares that sharing and the cache saved.
        racing, stages, stopped, headroom: sentences, or ``""``.
        failures: ``(reason, count, ids)``.
    """

    operators: Sequence[OperatorRow]
    budget: Sequence[BudgetRow]
    savings: dict[str, float]
    racing: str
    stages: str
    stopped: str
    headroom: str
    failures: Sequence[tuple[str, int, list[int]]]

    @classmethod
    def of(cls, record: RunRecord) -> SearchView:
        """Return the view of a run."""
        return cls(
            operator_rows(record),
            budget_rows(record),
            savings(record),
            racing(record),
            stages(record),
            stopped(record),
            headroom(record),
            failures(record),
        )


@dataclass(frozen=True)
class OriginView:
    """What is needed to reproduce the run.

    Attributes:
        profile: rows of the numeric profile, with dotted keys.
        updated: time of the last event, or ``""``.
        others: name of a host -> what differs in its numeric profile, of workers that answered.
    """

    profile: Sequence[tuple[str, str]]
    updated: str
    others: Sequence[tuple[str, str]] = ()

    @classmethod
    def of(cls, record: RunRecord) -> OriginView:
        """Return the view of a run."""
        updated = next((entry["time"] for entry in reversed(record.timing) if entry.get("time")), "")
        profile = _flatten(record.run.get("profile") or {})
        others = [
            (str(entry.get("host")), _differences(profile, _flatten(entry.get("profile") or {})))
            for entry in record.entries_of("other_profile")
        ]
        return cls(profile, updated, others)


def _differences(profile: Sequence[tuple[str, str]], other: Sequence[tuple[str, str]]) -> str:
    """Return the rows of a numeric profile that differ from the campaign's."""
    known = dict(profile)
    return ", ".join(f"{key} {value}" for key, value in other if known.get(key) != value)


def front_view(record: RunRecord) -> dict[str, Any] | None:
    """Return the front's members with their prompts ready to be shown; None if there is one objective."""
    found = members(record)
    if not found:
        return None
    rows = [{"member": member, "prompt": compare(member.genome, member.genome)[1]} for member in found]
    return {"objectives": objectives(record), "rows": rows, "rule": rule(record)}


def drawn(svg: str) -> Markup:
    """Return a figure that narrow windows can scroll, as trusted markup: all text inside is escaped already."""
    return Markup(svg and f'<div class="scroll">{svg}</div>')


def _audits(record: RunRecord) -> list[dict[str, Any]]:
    """Return every audit with its figure."""
    rows = []
    for place, audit in enumerate(audits(record)):
        alt = f"{audit.name} against {audit.metric} by gold labels, a dot per individual"
        rows.append({"audit": audit, "figure": drawn(render(dot_plots.against_gold, audit, alt, f"audit{place}"))})
    return rows


def _prompts(record: RunRecord) -> dict[str, Any] | None:
    """Return the founder's and the best's genome, compared; None before there is a best."""
    best, founder = record.best(), record.founder()
    if best is None:
        return None
    result = record.result or {}
    new = (result.get("best") or {}).get("genome") or best.get("genome") or {}
    new = with_chosen(new, result.get("readout"))
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
    """Return the main line of the best, founder first, each ancestor with its change over the one before."""
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
    """Return nested settings as ``("versions.torch", "2.9.0")`` rows."""
    rows: list[tuple[str, str]] = []
    for key, value in tree.items():
        if isinstance(value, dict):
            rows += _flatten(value, f"{prefix}{key}.")
        else:
            rows.append((prefix + key, str(value)))
    return rows
