"""Sweeps of the tiny model: cells are ordinary runs, whatever stops a sweep, and nothing is run twice."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest
from typer.testing import CliRunner

from evolm.campaign import Observer, Permissions, RunInfo, continue_run
from evolm.campaign.build import Models
from evolm.cli import app
from evolm.errors import ConfigError, PermissionNeeded, RunError
from evolm.experiments.sweep import Sweep, plan_sweep, run_sweep, strategy_variants
from tests.support.once import SharedFolder
from tests.support.tiers import slow
from tests.support.toy_campaign import FOUNDERS, ToyCampaign, entries, quick, result_of, write_campaign

SMALL = {"budget": {"evaluations": 6}, "baselines": {"few_shot": False}}
STRATEGIES = ("hill_climb", "random_search")
SEEDS = range(3, 5)


def planned(
    toy: ToyCampaign, out: Path, names: tuple[str, ...] = STRATEGIES, seeds: range = SEEDS, **more: Any
) -> Sweep:
    return plan_sweep(toy.folder, out, strategy_variants(names), seeds, more, Permissions())


@pytest.fixture(scope="session")
def small(shared_folder: SharedFolder, tiny_model_folder: Path) -> ToyCampaign:
    """A toy campaign of six evaluations, changed by no test."""
    folder = shared_folder.once("sweeping", lambda folder: write_campaign(folder / "toy", tiny_model_folder, **SMALL))
    return ToyCampaign(folder / "toy", tomllib.loads((folder / "toy" / "campaign.toml").read_text(encoding="utf-8")))


@pytest.fixture(scope="session")
def finished_sweep(small: ToyCampaign, shared_folder: SharedFolder) -> Path:
    """The directory of a finished sweep of it, changed by no test."""

    def build(folder: Path) -> None:
        with quick():
            run_sweep(planned(small, folder / "out"))

    return shared_folder.once("sweep", build) / "out"


@pytest.fixture
def swept(finished_sweep: Path, tmp_path: Path) -> Path:
    """The same, to be changed by a test."""
    return Path(shutil.copytree(finished_sweep, tmp_path / "swept"))


class Counter(Observer):
    """Counts the cells that are run, and stops one of them in its first generation if told so."""

    def __init__(self, stop_at: int = 0) -> None:
        self.cells = 0
        self.stop_at = stop_at

    def on_start(self, info: RunInfo) -> None:
        self.cells += 1

    def on_generation(self, progress: Any) -> None:
        if self.cells == self.stop_at:
            raise RuntimeError("stopped by the test")

    @contextmanager
    def watch(self) -> Iterator[Observer]:
        yield self


def tables_of(out: Path) -> dict[str, bytes]:
    """Return the files that a sweep ends with, without the places of its runs."""
    record = json.loads((out / "sweep.json").read_text(encoding="utf-8"))
    for group in record["groups"]:
        group["runs"] = [str(Path(run).relative_to(out)) for run in group["runs"]]
    files = {path.name: path.read_bytes() for path in out.glob("sweep.*") if path.suffix != ".json"}
    return {**files, "sweep.json": json.dumps(record).encode()}


def searches_of(run: Path) -> list[str]:
    """Return what was tried in a run, entry by entry."""
    return [json.dumps(entry) for entry in entries(run) if entry["type"] in ("individual", "generation")]


# -- what it does --------------------------------------------------------------------------------------------


def test_every_cell_is_an_ordinary_run_and_the_shared_answers_change_nothing(
    small: ToyCampaign, finished_sweep: Path, tmp_path: Path
) -> None:
    cells = {path.parent.relative_to(finished_sweep) for path in finished_sweep.rglob("result.json")}
    assert cells == {Path(name) / f"seed-{seed}" for name in STRATEGIES for seed in SEEDS}
    config = small.config.model_copy(update={"seed": 4, "strategy": {"name": "hill_climb"}})
    alone = ToyCampaign(small.folder, config.model_dump(by_alias=True)).run(tmp_path / "alone").directory
    cell = finished_sweep / "hill_climb" / "seed-4"
    main = [text for text in searches_of(alone) if '"search": "main"' in text]
    assert searches_of(cell) == main
    assert result_of(cell)["test"]["best"] == result_of(alone)["test"]["best"]
    assert (finished_sweep / "answers.sqlite").exists()
    assert not list(finished_sweep.glob("*/*/answers.sqlite"))


def test_random_search_beside_a_search_is_left_out_only_where_it_is_a_strategy_itself(
    small: ToyCampaign, tmp_path: Path
) -> None:
    def beside(names: tuple[str, ...], **more: Any) -> set[bool | None]:
        cells = planned(small, tmp_path / "out", names, **more).cells
        return {cell.config.baselines.get("random_search") for cell in cells}

    assert beside(("genetic", "random_search")) == {False}
    assert beside(("genetic", "hill_climb")) == {None}  # the default
    assert beside(("genetic", "random_search"), baselines={"random_search": True}) == {True}
    assert not (tmp_path / "out").exists()


def test_the_tables_agree_with_the_verdicts(finished_sweep: Path) -> None:
    record = json.loads((finished_sweep / "sweep.json").read_text(encoding="utf-8"))
    assert [group["name"] for group in record["groups"]] == list(STRATEGIES)
    for group in record["groups"]:
        verdicts = [result_of(finished_sweep / group["name"] / f"seed-{seed}")["test"] for seed in SEEDS]
        assert list(group["seeds"].values()) == [verdict["best"] for verdict in verdicts]
        assert group["baselines"].keys() == {"founder"}
    (pair,) = record["differences"]
    assert (pair["first"], pair["second"]) == ("random_search", "hill_climb")
    frame = pd.read_csv(finished_sweep / "sweep.csv")
    assert frame["score"].tolist() == pytest.approx([group["score"] for group in record["groups"]])
    assert frame["difference"].tolist()[1] == pytest.approx(pair["difference"])
    assert frame["p_holm"].isna().tolist() == [True, False]
    text = (finished_sweep / "sweep.md").read_text(encoding="utf-8")
    assert "| random_search over hill_climb |" in text
    assert "Means over 2 seeds and 14 test items" in text


def test_the_plot_is_a_file_that_stands_on_its_own(finished_sweep: Path) -> None:
    drawing = ElementTree.parse(finished_sweep / "sweep.svg").getroot()
    assert drawing.tag == "{http://www.w3.org/2000/svg}svg"
    words = " ".join(drawing.itertext())
    assert all(name in words for name in STRATEGIES)


def test_one_strategy_alone_has_a_mean_and_nothing_to_be_compared_with(small: ToyCampaign, swept: Path) -> None:
    comparison = run_sweep(planned(small, swept, ("hill_climb",)))
    assert [group.name for group in comparison.groups] == ["hill_climb"]
    assert not comparison.differences
    assert (swept / "sweep.md").read_text(encoding="utf-8").startswith("|  | test balanced accuracy |")


# -- going on ------------------------------------------------------------------------------------------------


def test_finished_cells_are_not_run_again_and_the_tables_are_the_same(
    small: ToyCampaign, finished_sweep: Path, swept: Path
) -> None:
    counter = Counter()
    run_sweep(planned(small, swept), counter.watch)
    assert counter.cells == 0
    assert tables_of(swept) == tables_of(finished_sweep)


def test_a_sweep_that_crashed_in_a_cell_goes_on_to_what_an_undisturbed_one_gives(
    small: ToyCampaign, finished_sweep: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(RuntimeError, match="stopped by the test"):
        run_sweep(planned(small, out), Counter(stop_at=2).watch)
    assert len(list(out.rglob("result.json"))) == 1
    assert not (out / "sweep.json").exists()
    counter = Counter()
    run_sweep(planned(small, out), counter.watch)
    assert counter.cells == 3
    assert tables_of(out) == tables_of(finished_sweep)


def test_the_cells_of_a_sweep_share_one_loaded_model(small: ToyCampaign, swept: Path) -> None:
    for name in STRATEGIES:
        shutil.rmtree(swept / name / "seed-3")
    models: Models = {}
    with quick():
        run_sweep(planned(small, swept), models=models)
        (model,) = models.values()
        loaded = model.forward
        run_sweep(planned(small, swept, seeds=range(3, 6)), models=models)
    assert list(models.values()) == [model] and model.forward is loaded


def test_seeds_and_strategies_can_be_added(small: ToyCampaign, swept: Path) -> None:
    counter = Counter()
    more = planned(small, swept, (*STRATEGIES, "genetic"), range(4, 6), strategy={})
    comparison = run_sweep(more, counter.watch)
    assert counter.cells == 4  # genetic with two seeds, the others with one
    assert comparison.seeds == [4, 5]
    assert len(comparison.differences) == 2


@pytest.mark.parametrize(("call", "at"), [("put", 3), slow("replace", 26)])
def test_a_killed_sweep_is_gone_on_with_by_the_same_command(
    evolm: Any, small: ToyCampaign, finished_sweep: Path, tmp_path: Path, call: str, at: int
) -> None:
    out = tmp_path / "out"
    command = command_of(small, out)
    told = evolm(*command, call=call, at=at)
    assert told["exit"] == -9, told["log"]
    told = evolm(*command)
    assert told["exit"] == 0, told["log"]
    assert tables_of(out) == tables_of(finished_sweep)


def test_ctrl_c_exits_with_130_and_says_that_the_same_command_goes_on(
    evolm: Any, small: ToyCampaign, finished_sweep: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = command_of(small, out)
    told = evolm(*command, call="put", at=8, signal="SIGINT")
    assert told["exit"] == 130, told["log"]
    assert "Stopped. The same command goes on with the sweep." in told["log"]
    assert "Traceback" not in told["log"]
    assert 0 < len(list(out.rglob("result.json"))) < 4
    told = evolm(*command)
    assert told["exit"] == 0, told["log"]
    assert "random_search over hill_climb" in told["log"]
    assert f"{out}/sweep.*" in told["log"]
    assert tables_of(out) == tables_of(finished_sweep)


def command_of(toy: ToyCampaign, out: Path) -> list[object]:
    """Return the command that ``finished_sweep`` stands for."""
    numbers = ["--seeds", len(SEEDS), "--first-seed", SEEDS.start]
    return ["sweep", toy.folder, "--strategy", ",".join(STRATEGIES), *numbers, "--out", out]


# -- refusals ------------------------------------------------------------------------------------------------


def test_a_cell_of_another_configuration_is_refused_before_anything_is_run(small: ToyCampaign, swept: Path) -> None:
    cell = swept / "hill_climb" / "seed-3"
    with pytest.raises(RunError, match=rf"{cell}: expected budget.evaluations = 9, found a run with 6; .*--out"):
        planned(small, swept, budget={"evaluations": 9})
    planned(small, swept, evaluation={"n_jobs": 2}, name="any")  # no result depends on these


def test_a_cell_whose_budget_was_raised_is_refused(small: ToyCampaign, swept: Path) -> None:
    continue_run(swept / "random_search" / "seed-3", add={"evaluations": 2})
    with pytest.raises(RunError, match=r"random_search/seed-3: expected budget.evaluations = 6, found a run with 8"):
        planned(small, swept)


def test_founders_that_changed_on_the_way_are_refused(toy: Callable[..., ToyCampaign], tmp_path: Path) -> None:
    changing = toy(**SMALL)
    run_sweep(planned(changing, tmp_path / "out", ("hill_climb",), range(1)))
    (changing.folder / "founders.jsonl").write_text(
        json.dumps(FOUNDERS[0] | {"instruction": "Ham?"}) + "\n", encoding="utf-8"
    )
    with pytest.raises(
        RunError, match=r"hill_climb: expected cells that differ in the seed only, found .*'instructions'"
    ):
        run_sweep(planned(changing, tmp_path / "out", ("hill_climb",), range(2)))


def test_directories_that_hold_something_else_are_left_alone(small: ToyCampaign, swept: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(
        RunError, match="mine: expected a new, empty or a sweep's directory, found 'thesis.txt' in it"
    ):
        planned(small, tmp_path / "mine")
    with pytest.raises(RunError, match="expected a sweep's directory, found a run's"):
        planned(small, swept / "hill_climb" / "seed-3")


def test_a_task_without_a_labelled_test_split_is_refused_after_its_first_cell(
    toy: Callable[..., ToyCampaign], tmp_path: Path
) -> None:
    untested = toy(**SMALL, task__split={"train": 10, "dev": 10, "test": 0, "validation": 8})
    counter = Counter()
    with pytest.raises(RunError, match=r"hill_climb/seed-3: expected a run with a labelled test split"):
        run_sweep(planned(untested, tmp_path / "out"), counter.watch)
    assert counter.cells == 1


@pytest.mark.parametrize(
    ("names", "more", "message"),
    [
        (("genetics",), {}, "'genetics' is unknown.*did you mean 'genetic'"),
        (("os:system",), {}, "'os:system' is code outside evolm; admit it with --allow os"),
        (("genetic", "genetic"), {}, "--strategy: expected different names.*found 'genetic', 'genetic'"),
        ((), {}, "--strategy: expected different names.*found none"),
        (("genetic",), {"seed": 3}, "--set seed: expected a sweep's seeds in --seeds"),
        (("genetic",), {"strategy": {"name": "genetic"}}, "--set strategy.name: expected .* its strategies in"),
        (("genetic",), {"strategy": {"elite": 3}}, "unknown key 'elite'; did you mean 'elites'"),
        (("genetic",), {"budget": {"evaluations": 0}}, "budget: expected a limit"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(
    small: ToyCampaign, tmp_path: Path, names: tuple[str, ...], more: dict[str, Any], message: str
) -> None:
    with pytest.raises((ConfigError, PermissionNeeded), match=message):
        planned(small, tmp_path / "out", names, **more)
    assert not (tmp_path / "out").exists()


def test_the_command_goes_on_in_a_directory_named_after_the_campaign(
    small: ToyCampaign, finished_sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    shutil.copytree(finished_sweep, tmp_path / "runs" / "toy-sweep")
    arguments = [str(part) for part in command_of(small, Path())[:-2]]
    said = CliRunner().invoke(app, arguments)
    assert said.exit_code == 0, said.output
    assert re.search(r"random_search over hill_climb +[+−]?0\.\d{3}", said.stdout)
    assert "Tables and plot: runs/toy-sweep/sweep.*" in said.stdout
    refused = CliRunner().invoke(app, ["sweep", str(small.folder), "--strategy", "genetics"])
    assert refused.exit_code == 2
    assert refused.stderr.startswith("error: strategy.name: 'genetics' is unknown")
