"""Several processes, one budget: real processes, one ledger, one cache, a journal each."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evolm import BudgetSpent, Objective
from evolm.campaign import Observer
from evolm.errors import RunError
from evolm.individual import Individual
from evolm.storage import SharedLedger
from tests.support.processes import in_processes
from tests.support.toy_campaign import entries, result_of

BUDGET = 23
Arguments = Callable[..., dict[str, Any]]


def spend(settings: dict[str, Any], out: Path, seed: int) -> None:
    """Ask, in batches of different sizes, until nothing is left."""
    rng = np.random.default_rng(seed)
    with Objective(**settings, out=out, shared=True) as objective:
        objective(objective.x0)
        while True:
            try:
                objective.many(rng.normal(0, 20, (rng.integers(1, 5), objective.dimension)))
            except BudgetSpent:
                break


def count(out: Path) -> dict[str, int]:
    """Return what the ledger says."""
    with sqlite3.connect(out / "ledger.sqlite") as connection:
        row = connection.execute("SELECT evaluations, items, tokens FROM ledger").fetchone()
    return dict(zip(("evaluations", "items", "tokens"), row, strict=True))


def test_two_processes_spend_one_budget_to_the_last_evaluation(arguments: Arguments, tmp_path: Path) -> None:
    settings, out = arguments(budget=BUDGET), tmp_path / "shared"
    assert in_processes(spend, (settings, out, 1), (settings, out, 2)) == [0, 0]
    runs = sorted(path for path in out.iterdir() if path.is_dir())
    assert len(runs) == 2
    assert all(path.name.startswith("ForkProcess-") for path in runs)
    asked = [entries(run, "individual", "main") for run in runs]
    assert all(asked)
    assert sum(map(len, asked)) == BUDGET
    for mine in asked:
        assert [entry["id"] for entry in mine] == list(range(len(mine)))
    spent = count(out)
    assert (spent["evaluations"], spent["items"]) == (BUDGET, 10 * BUDGET)
    assert spent["tokens"] == sum(entries(run, "generation", "main")[-1]["tokens"] for run in runs)


def test_processes_know_each_others_answers_and_each_judges_its_own_best(
    arguments: Arguments, tmp_path: Path
) -> None:
    settings, out = arguments(budget=6), tmp_path / "shared"
    with Objective(**settings, out=out, shared=True) as one, Objective(**settings, out=out, shared=True) as other:
        assert (one.directory.name, other.directory.name) == ("MainProcess-1", "MainProcess-2")
        value = one(np.full(6, 9.0))
        assert other(np.full(6, 9.0)) == value
        assert other._campaign.parts.engine.usage.tokens_forwarded == 0
        assert one.left == other.left == 4
        other.many(np.full((3, 6), -9.0))
        assert one.left == 1
        result = one.finish()
        assert result.record["budget"]["evaluations"] == 1
        assert len(entries(one.directory, "individual", "random_search")) == 1
        other(np.full(6, 5.0))
        with pytest.raises(BudgetSpent, match="all 6 evaluations are spent"):
            other(np.full(6, 4.0))
    assert result_of(out / "MainProcess-1")["best"]["id"] == 0


def test_a_winner_that_is_named_beyond_a_shared_budget_is_charged_in_full(
    arguments: Arguments, tmp_path: Path
) -> None:
    out = tmp_path / "shared"
    with Objective(**arguments(budget=2), out=out, shared=True) as objective:
        objective.many(np.stack([np.full(6, 1.0), np.full(6, 2.0)]))
        assert objective.left == 0
        result = objective.finish(np.full(6, 3.0))
        assert result.record["budget"] == {**result.record["budget"], **count(out)}
        assert count(out)["evaluations"] == 3


def die(settings: dict[str, Any], out: Path) -> None:
    """End without a word in the middle of the second batch."""
    calls = 0

    def deadly(item: Any, predicted: str, shares: dict[str, float]) -> float:
        nonlocal calls
        calls += 1
        if calls > 25:
            os._exit(9)
        return 1.0

    with Objective(**{**settings, "scorers": {"mine": deadly}}, out=out, shared=True) as objective:
        objective.many(np.zeros((2, 6)))
        objective.many(np.ones((3, 6)))


def test_what_a_killed_process_had_reserved_stays_charged(arguments: Arguments, tmp_path: Path) -> None:
    settings, out = arguments(budget=8), tmp_path / "shared"
    assert in_processes(die, (settings, out)) == [9]
    harmless = {"mine": lambda item, predicted, shares: 1.0}
    with Objective(**{**settings, "scorers": harmless}, out=out, shared=True) as objective:
        assert objective.left == 3
    (killed,) = out.glob("ForkProcess-*")
    assert len(entries(killed, "individual")) == 2


def test_a_process_with_another_configuration_is_refused(arguments: Arguments, tmp_path: Path) -> None:
    out = tmp_path / "shared"
    with Objective(**arguments(), out=out, shared=True):
        for changes in ({"seed": 1}, {"budget": 13}, {"space": {"delta": {"layers": "last:1", "dimension": 5}}}):
            with pytest.raises(RunError, match="must have one configuration: expected [0-9a-f]{16}, found"):
                Objective(**{**arguments(), **changes}, out=out, shared=True)
        with pytest.raises(RunError, match="expected a new or empty directory, found"):
            Objective(**arguments(), out=out)
    assert len([path for path in out.iterdir() if path.is_dir()]) == 1
    with Objective(**arguments(), out=tmp_path / "alone"):
        with pytest.raises(RunError, match="found a run of one process alone"):
            Objective(**arguments(), out=tmp_path / "alone", shared=True)


def test_a_directory_of_a_shared_run_is_not_opened_alone(arguments: Arguments, tmp_path: Path) -> None:
    out = tmp_path / "shared"
    with Objective(**arguments(), out=out, shared=True) as objective:
        objective(objective.x0)
        member = objective.directory
    before = entries(member)
    with pytest.raises(RunError, match=f"share a budget; open it with out={out}, shared=True"):
        Objective(**arguments(), out=member)
    assert entries(member) == before


@pytest.mark.parametrize("kind", ["alone", "shared", "temporary"])
def test_who_fails_is_told_how_to_go_on_with_what_he_named(kind: str, arguments: Arguments, tmp_path: Path) -> None:
    class Clumsy(Observer):
        def on_evaluation(self, individual: Individual) -> None:
            raise ZeroDivisionError

    named = {} if kind == "temporary" else {"out": tmp_path / "run", "shared": kind == "shared"}
    with (
        Objective(**arguments(callbacks=[Clumsy()]), **named) as objective,
        pytest.raises(ZeroDivisionError) as caught,
    ):
        objective(objective.x0)
    again = f"the run is saved, go on by starting the program again with out={tmp_path / 'run'}"
    assert caught.value.__notes__ == [
        "In the callback Clumsy.on_evaluation; "
        + {
            "alone": again,
            "shared": f"{again}, shared=True",
            "temporary": "the run is temporary and cannot be gone on with: give it an out",
        }[kind]
    ]


def test_a_ledger_grants_what_is_left_and_no_more(tmp_path: Path) -> None:
    ledger = SharedLedger(tmp_path / "ledger.sqlite", "a")
    left = lambda counts: 10 - counts["evaluations"]  # noqa: E731
    assert [ledger.reserve(wanted, 7, left) for wanted in (4, 4, 4, 4)] == [4, 4, 2, 0]
    assert ledger.counts() == {"evaluations": 10, "items": 70, "tokens": 0}
    ledger.add_tokens(5)
    assert ledger.reserve(3, 1, lambda counts: None) == 3
    assert ledger.counts() == {"evaluations": 13, "items": 73, "tokens": 5}
    ledger.close()
    with pytest.raises(RunError, match="expected a, found b"):
        SharedLedger(tmp_path / "ledger.sqlite", "b")
