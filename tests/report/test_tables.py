"""The numbers that are shown: Wilson's interval, the verdict's rows, the terminal's summary."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from evolm.report import RunRecord, render_summary
from evolm.report.tables import (
    budget_rows,
    failures,
    headline,
    operator_rows,
    savings,
    score_rows,
    signed,
    wilson,
)
from tests.support.synthetic_run import make_audited, revise


def printed(directory: Path) -> str:
    console = Console(width=110, record=True, quiet=True)
    with console.capture() as capture:
        console.quiet = False
        console.print(render_summary(directory))
    return capture.get()


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_agrees_with_published_values(successes: int, trials: int, low: float, high: float) -> None:
    assert wilson(successes, trials) == pytest.approx((low, high), abs=5e-5)


def test_wilson_knows_its_ends() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(0, 7)[0] == 0.0
    assert wilson(7, 7)[1] == 1.0


@pytest.mark.parametrize(
    ("value", "text"), [(0.04, "+0.040"), (-0.012, "\N{MINUS SIGN}0.012"), (0.0002, "0.000"), (-0.0, "0.000")]
)
def test_differences_carry_their_sign(value: float, text: str) -> None:
    assert signed(value) == text


def test_the_best_comes_first_and_intervals_stand_only_where_they_were_computed(run: Path) -> None:
    rows = score_rows(RunRecord.read(run))
    assert [r.key for r in rows] == [
        "best",
        "random_search",
        "few_shot",
        "prior_corrected",
        "founder",
        "majority",
    ]
    assert {r.key for r in rows if r.interval} == {"random_search", "founder"}
    assert [r.key for r in rows if r.strongest] == ["random_search"]
    assert rows[1].gain == pytest.approx(0.042)


def test_baselines_that_were_switched_off_or_have_no_score_are_left_out(run: Path) -> None:
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    result["test"] |= {
        "majority": float("nan"),
        "random_search": None,
        "strongest_baseline": "founder",
        "interval": [0.2, 0.3],
    }
    del result["test"]["few_shot"], result["test"]["draws"], result["test"]["prior_corrected"]
    (run / "result.json").write_text(json.dumps(result), encoding="utf-8")
    rows = score_rows(RunRecord.read(run))
    assert [(r.key, r.strongest) for r in rows] == [("best", False), ("founder", True)]
    assert rows[1].interval == (0.2, 0.3)


def test_a_best_and_a_founder_that_are_read_otherwise_say_so(run: Path) -> None:
    revise(
        run,
        result=lambda r: {k: {**r[k], "genome": {"readout": {"kind": "contextual"}}} for k in ("best", "founder")},
    )
    names = [row.name for row in score_rows(RunRecord.read(run)) if "(contextual readout)" in row.name]
    assert names == ["best of evolution (contextual readout)", "best founder (contextual readout)"]
    assert "best of evolution (contextual readout)" in printed(run)


def test_operators_are_listed_with_their_rates(run: Path) -> None:
    rows = operator_rows(RunRecord.read(run))
    assert [r.tried for r in rows] == sorted((r.tried for r in rows), reverse=True)
    assert rows[0].rate == pytest.approx(9 / 31)
    assert rows[0].interval == wilson(9, 31)


def test_rates_of_runs_that_knew_no_fallback_are_read(run: Path) -> None:
    assert {row.fallback for row in operator_rows(RunRecord.read(run))} == {0}


def test_budget_and_savings_come_from_the_last_counts(run: Path) -> None:
    record = RunRecord.read(run)
    spent = {row.name: row.spent for row in budget_rows(record)}
    assert spent["evaluations"] == 96
    assert spent["seconds"] == 424.1
    saved = savings(record)
    assert saved["cache_share"] == pytest.approx(0.21)
    assert saved["tokens_saved"] == pytest.approx(1 - 4210 / 12531)


def test_failures_are_grouped_by_their_reason(run: Path) -> None:
    [(reason, count, ids)] = failures(RunRecord.read(run))
    assert reason.startswith("the prompt has 713 tokens")
    assert count == len(ids) == 5


def test_the_headline_of_a_finished_run_is_its_claim(run: Path) -> None:
    claim = json.loads((run / "result.json").read_text(encoding="utf-8"))["claim"]
    assert headline(RunRecord.read(run)) == claim


def test_the_summary_ends_with_the_claim(run: Path) -> None:
    claim = json.loads((run / "result.json").read_text(encoding="utf-8"))["claim"]
    lines = printed(run).rstrip().splitlines()
    assert lines[-1] == claim
    assert any("random search" in line and "+0.042" in line for line in lines)


def test_the_summary_of_a_search_without_gold_says_what_its_score_is_worth(audited: Path) -> None:
    lines = " ".join(printed(audited).split())
    assert "mutual information against gold on dev: rank correlation +" in lines
    assert "over 91 prompts" in lines


def test_the_summary_tells_the_front_and_the_rule_that_picked(pareto: Path) -> None:
    lines = " ".join(printed(pareto).split())
    assert "Front: 3 prompts; picked: the highest balanced accuracy on dev and validation together" in lines


def test_the_summary_warns_of_one_answer_for_everything_before_the_claim(audited: Path) -> None:
    revise(audited, individual=lambda e: {"measures": {**e["measures"], "largest_share": 1.0}})
    text = " ".join(printed(audited).split())
    claim = json.loads((audited / "result.json").read_text(encoding="utf-8"))["claim"]
    assert (
        "Warning: The best prompt gives the same label to 100\N{NO-BREAK SPACE}%".replace("\N{NO-BREAK SPACE}", " ")
        in text
    )
    assert text.index("Warning") < text.index(claim)


def test_a_running_search_without_gold_is_measured_in_its_own_score(run_factory: Callable[..., Path]) -> None:
    run = make_audited(run_factory(finished=False))
    assert "mutual information on dev, " in headline(RunRecord.read(run))
    assert "mutual information on dev" in printed(run)


def test_the_summary_of_a_running_search_shows_its_progress(run_factory: Callable[..., Path]) -> None:
    text = printed(run_factory(finished=False))
    assert "running" in text
    assert "96 of 200" in text
    assert "Best so far" in text


def test_the_summary_of_an_empty_run_says_that_there_is_no_score(run_factory: Callable[..., Path]) -> None:
    assert "No individual has a score yet." in printed(run_factory(generations=0, finished=False))
