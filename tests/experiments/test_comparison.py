"""Comparing finished runs of the tiny model: groups, their names, their numbers, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from evolm.cli import app
from evolm.errors import RunError
from evolm.experiments.comparison import Comparison, compare_runs
from evolm.experiments.finished_runs import grouped, read_run, telling_names
from evolm.storage.layout import find_runs
from tests.support.once import SharedFolder
from tests.support.toy_campaign import TEST, ToyCampaign, merged, quick, result_of, write_campaign

SMALL = {"budget": {"evaluations": 6}, "baselines": {"random_search": False, "few_shot": False}}
CELLS: dict[str, dict[str, Any]] = {
    "genetic-0": {"seed": 0},
    "genetic-1": {"seed": 1},
    "genetic-2": {"seed": 2},
    "climb-0": {"seed": 0, "strategy": {"name": "hill_climb"}},
    "climb-1": {"seed": 1, "strategy": {"name": "hill_climb"}},
    "other-1": {"seed": 1, "strategy": {"name": "genetic", "population_size": 3}},
}


@pytest.fixture(scope="module")
def finished_runs(shared_folder: SharedFolder, tiny_model_folder: Path) -> Path:
    """A folder of finished runs by the names of ``CELLS``, changed by no test."""

    def build(folder: Path) -> None:
        toy = write_campaign(folder / "toy", tiny_model_folder, **SMALL)
        with quick():
            for name, changes in CELLS.items():
                ToyCampaign(toy.folder, merged(toy.tables, changes)).run(folder / "runs" / name)

    return shared_folder.once("comparison", build) / "runs"


@pytest.fixture
def runs(finished_runs: Path, tmp_path: Path) -> Path:
    """The same, to be changed by a test."""
    return Path(shutil.copytree(finished_runs, tmp_path / "runs"))


def rewritten(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a JSON file in place."""
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def compared(folder: Path, *names: str) -> Comparison:
    return compare_runs(find_runs([folder / name for name in names]))


# -- numbers -------------------------------------------------------------------------------------------------


def test_scores_are_those_of_the_verdicts_and_differences_are_theirs(finished_runs: Path) -> None:
    found = compared(finished_runs, "genetic-0", "genetic-1", "climb-0", "climb-1")
    verdicts = {name: result_of(finished_runs / name)["test"] for name in CELLS}
    genetic, climb = found.groups
    assert [genetic.name, climb.name] == ["genetic", "hill_climb"]
    assert genetic.seeds == {0: verdicts["genetic-0"]["best"], 1: verdicts["genetic-1"]["best"]}
    assert genetic.score == pytest.approx(np.mean(list(genetic.seeds.values())))
    assert genetic.baselines == {
        "founder": pytest.approx(np.mean([verdicts[name]["founder"] for name in ("genetic-0", "genetic-1")]))
    }
    (pair,) = found.differences
    assert (pair.first, pair.second) == ("genetic", "hill_climb")
    assert pair.difference == pytest.approx(genetic.score - climb.score)
    assert pair.low <= pair.difference <= pair.high
    assert pair.p_holm == pair.p  # one pair needs no correction
    assert (found.metric, found.items, found.seeds) == ("balanced_accuracy", TEST, [0, 1])


def test_intervals_stay_where_scores_and_differences_can_be(finished_runs: Path) -> None:
    found = compared(finished_runs, *CELLS)
    assert all(0 <= group.low <= group.score <= group.high <= 1 for group in found.groups)
    assert all(-1 <= pair.low <= pair.difference <= pair.high <= 1 for pair in found.differences)


def test_the_order_of_test_items_in_a_run_does_not_matter(finished_runs: Path, runs: Path) -> None:
    def reverse(test: dict[str, Any]) -> None:
        test["items"].reverse()
        test["gold"].reverse()
        for several in test["outcomes"].values():
            for outcomes in several:
                outcomes.reverse()

    rewritten(runs / "climb-0" / "test.json", reverse)
    before, after = (compared(folder, "genetic-0", "climb-0") for folder in (finished_runs, runs))
    assert after.differences == before.differences


def test_only_the_seeds_that_all_groups_have_are_compared_and_the_others_are_named(finished_runs: Path) -> None:
    found = compared(finished_runs, *CELLS)
    assert found.seeds == [1]
    assert found.left_out == {"genetic, population_size=5": [0, 2], "hill_climb": [0]}
    assert len(found.differences) == 3
    assert all(pair.p <= pair.p_holm <= 1 for pair in found.differences)


def test_a_folder_of_runs_stands_for_all_of_them(finished_runs: Path) -> None:
    everything, one_by_one = compare_runs(find_runs([finished_runs])), compared(finished_runs, *sorted(CELLS))
    assert everything == one_by_one


# -- groups and their names ----------------------------------------------------------------------------------


def test_runs_that_differ_in_the_seed_or_in_what_changes_no_result_are_one_group(
    finished_runs: Path, runs: Path
) -> None:
    campaign = runs / "genetic-1" / "campaign.toml"
    text = (
        campaign.read_text(encoding="utf-8")
        .replace("n_jobs = 1", "n_jobs = 2")
        .replace("few_shot = false", "few_shot = true")
    )
    campaign.write_text(text.replace('name = ""', 'name = "my mail"', 1), encoding="utf-8")
    names = ("genetic-0", "genetic-1", "climb-0")
    assert [len(members) for members in grouped([read_run(runs / name) for name in names]).values()] == [2, 1]


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ([{"strategy.name": "genetic"}, {"strategy.name": "hill_climb"}], ["genetic", "hill_climb"]),
        (
            [{"strategy.name": "genetic", "strategy.elites": 1}, {"strategy.name": "genetic", "strategy.elites": 2}],
            ["genetic, elites=1", "genetic, elites=2"],
        ),
        (
            [
                {"strategy.name": "genetic", "budget.items": 1, "limit.items": 5},
                {"strategy.name": "genetic", "budget.items": 2, "limit.items": 5},
            ],
            ["genetic, budget.items=1", "genetic, budget.items=2"],
        ),
        (
            [
                {"strategy.name": "genetic", "model.name": "a", "model.fingerprint": "1"},
                {"strategy.name": "genetic", "model.name": "b", "model.fingerprint": "2"},
                {"strategy.name": "random_search", "model.name": "b", "model.fingerprint": "2"},
            ],
            ["genetic, a", "genetic, b", "random_search"],
        ),
        (
            [
                {"strategy.name": "genetic", "scorers": ["judge", "label_likelihood", "prompt_length"]},
                {"strategy.name": "genetic", "scorers": ["judge"]},
            ],
            ["genetic, scorers=#c4223b", "genetic, scorers=judge"],
        ),
        ([{"strategy.name": "genetic"}], ["genetic"]),
    ],
    ids=["strategies", "one of their keys", "an ambiguous key", "models", "long values", "one"],
)
def test_groups_are_named_by_what_tells_them_apart(settings: list[dict[str, Any]], names: list[str]) -> None:
    assert telling_names(settings) == names


# -- refusals ------------------------------------------------------------------------------------------------


def other_items(test: dict[str, Any]) -> None:
    test["items"][:2] = ["0" * 16, "1" * 16]


def other_gold(test: dict[str, Any]) -> None:
    test["gold"][:3] = [1 - index for index in test["gold"][:3]]


CHANGES: dict[str, tuple[str, Callable[[dict[str, Any]], object], str]] = {
    "items": (
        "test.json",
        other_items,
        rf"expected the same test items, found 4 that only one .* of {TEST} and {TEST}",
    ),
    "gold": ("test.json", other_gold, rf"expected the same gold, found 3 of {TEST} test items that differ"),
    "metric": (
        "test.json",
        lambda test: test.update(metric="accuracy"),
        "expected one metric of the task, found 'balanced_accuracy' and 'accuracy'",
    ),
    "no test": ("result.json", lambda result: result.update(test=None), "expected a run with a labelled test split"),
}


@pytest.mark.parametrize(("file", "change", "message"), CHANGES.values(), ids=CHANGES.keys())
def test_runs_whose_scores_mean_something_else_are_refused_by_name(
    runs: Path, file: str, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    rewritten(runs / "climb-0" / file, change)
    with pytest.raises(RunError, match=rf"{runs / 'climb-0'}: {message}"):
        compared(runs, "genetic-0", "climb-0")


def test_an_unfinished_run_is_refused(runs: Path) -> None:
    (runs / "climb-0" / "result.json").unlink()
    with pytest.raises(RunError, match=rf"expected a finished run.*evolm resume {runs / 'climb-0'}"):
        compared(runs, "genetic-0", "climb-0")


def test_a_finished_run_that_was_gone_on_with_and_stopped_is_refused(runs: Path) -> None:
    with (runs / "climb-0" / "journal.jsonl").open("a", encoding="utf-8") as journal:
        journal.write('{"type":"individual"}\n')
    with pytest.raises(RunError, match="expected a finished run"):
        compared(runs, "genetic-0", "climb-0")


def test_a_run_that_kept_no_answers_is_refused(runs: Path) -> None:
    (runs / "climb-0" / "test.json").unlink()
    with pytest.raises(RunError, match=r"climb-0: expected test.json"):
        compared(runs, "genetic-0", "climb-0")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("genetic-0", "genetic-2"), "found one group: genetic with seeds 0, 2"),
        (("genetic-2", "climb-0", "climb-1"), "that all groups have, found none: genetic with seed 2; .* seeds 0, 1"),
        (("genetic-0", "genetic-0", "climb-0"), "genetic: expected every seed once, found seed 0 in .* and "),
        (("genetic-0", "nowhere"), "nowhere: expected a run's directory or one that holds some, found none"),
    ],
)
def test_groups_that_cannot_be_compared_are_refused(
    finished_runs: Path, names: tuple[str, ...], message: str
) -> None:
    with pytest.raises(RunError, match=message):
        compared(finished_runs, *names)


# -- the command ---------------------------------------------------------------------------------------------


def test_the_command_shows_both_tables_and_writes_them(
    finished_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    directories = [str(finished_runs / name) for name in CELLS]
    for suffix in ("csv", "json"):
        said = CliRunner().invoke(app, ["compare", *directories, "--out", str(tmp_path / f"out.{suffix}")])
        assert said.exit_code == 0, said.output
    assert "best founder" in said.stdout
    assert "genetic, population_size=5 over hill_climb" in said.stdout
    assert "Seed 1 on 14 test items" in said.stdout
    assert "Left out of genetic, population_size=5, since not all have them: seeds 0, 2." in said.stdout
    record = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert record == compared(finished_runs, *CELLS).to_record()
    frame = pd.read_csv(tmp_path / "out.csv")
    assert frame["difference"].tolist() == pytest.approx((frame["first_score"] - frame["second_score"]).tolist())
    assert frame["p_holm"].tolist() == pytest.approx([pair["p_holm"] for pair in record["differences"]])


@pytest.mark.parametrize(
    ("name", "message"), [("kept.csv", "expected a new file"), ("out.xlsx", "ends in .csv or .json, found '.xlsx'")]
)
def test_the_command_refuses_a_file_that_exists_or_that_it_cannot_write(
    finished_runs: Path, tmp_path: Path, name: str, message: str
) -> None:
    (tmp_path / "kept.csv").write_text("mine", encoding="utf-8")
    said = CliRunner().invoke(app, ["compare", str(finished_runs), "--out", str(tmp_path / name)])
    assert said.exit_code == 2
    assert message in said.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["kept.csv"]
    assert (tmp_path / "kept.csv").read_text(encoding="utf-8") == "mine"
