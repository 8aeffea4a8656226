"""Campaigns that race: what they save, what they never let through, and that they stay resumable to the byte."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from evolm import config as configuration
from evolm.campaign import Observer, continue_run
from evolm.campaign.runs import build_from_run
from evolm.cli import app
from evolm.errors import ConfigError, RunError
from evolm.genomes import from_summary
from evolm.individual import Individual
from evolm.progress_view import ProgressView, log_to
from evolm.report import RunRecord, render_summary
from evolm.report.page import render_page
from evolm.report.tables import failures
from evolm.storage import RunLayout
from evolm.strategies import STRATEGIES
from tests.support.tiers import slow
from tests.support.toy_campaign import ToyCampaign, bytes_of, entries, result_of, write_campaign
from tests.support.warm_evolm import KILLED

N_DEV = 24
RACING: dict[str, Any] = {
    "task__split": {"train": 10, "dev": N_DEV, "test": 12, "validation": 8},
    "evaluation": {"n_jobs": 1, "racing": "race", "race_level": 0.6, "race_block": 4},
    "budget__evaluations": 40,
    "strategy": {"name": "genetic", "population_size": 4, "offspring": 8},
}
SEARCHES = ("main", "random_search")
MODES = ("race", "halving")


def changed(mode: str = "race", **changes: Any) -> dict[str, Any]:
    evaluation = {**RACING["evaluation"], "racing": mode, **changes.pop("evaluation", {})}
    return {**RACING, "evaluation": evaluation, **changes}


@pytest.fixture(scope="module", params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def run(mode: str, finished_run: Callable[..., Path]) -> Path:
    """A finished run of either mode, changed by no test."""
    return finished_run(**changed(mode))


def dropped(run: Path, search: str = "main") -> list[dict[str, Any]]:
    return [e for e in entries(run, "individual", search) if e["status"] == "dropped"]


def test_some_are_dropped_by_both_searches_and_say_why_and_after_how_many_items(run: Path, mode: str) -> None:
    for search in SEARCHES:
        gone = dropped(run, search)
        assert gone
        for entry in gone:
            assert entry["items"] in (4, 8, 16)
            assert entry["reason"].startswith("worse than #" if mode == "race" else "not among the better")
            assert entry["reason"].endswith(f"on {entry['items']} of {N_DEV} items")
            assert entry["fitness"] is None and entry["score"] is None and entry["measures"] == {}


def test_the_items_of_individuals_add_up_to_what_is_charged_and_saved(run: Path, mode: str) -> None:
    for search in SEARCHES:
        people = entries(run, "individual", search)
        last = entries(run, "generation", search)[-1]
        assert last["items"] == sum(e["items"] for e in people) < len(people) * N_DEV
        assert last["evaluations"] == len(people) == 40
        assert last["dropped"] == len(dropped(run, search))
        assert {e["items"] for e in people if e["status"] == "evaluated"} == {N_DEV}
    result, people = result_of(run), entries(run, "individual", "main")
    saved = 40 * N_DEV - sum(e["items"] for e in people)
    level = {"level": 0.6} if mode == "race" else {}
    assert result["racing"] == {
        "mode": mode,
        "block": 4,
        **level,
        "dropped": len(dropped(run)),
        "items_saved": saved,
        "share_saved": saved / (40 * N_DEV),
    }
    assert result["budget"]["items"] == 40 * N_DEV - saved


def test_founders_are_never_dropped(run: Path) -> None:
    for search in SEARCHES:
        founders = [e for e in entries(run, "individual", search) if e["operators"][0].startswith("founders.jsonl")]
        assert [e["status"] for e in founders] == ["evaluated", "evaluated"]


def test_who_was_dropped_is_no_parent_no_finalist_and_not_the_best(run: Path) -> None:
    for search in SEARCHES:
        gone = {e["id"] for e in dropped(run, search)}
        assert not gone & {parent for e in entries(run, "individual", search) for parent in e["parents"]}
        assert not gone & {e["best_id"] for e in entries(run, "generation", search)}
        (final,) = entries(run, "validation", search)
        assert not gone & {finalist["id"] for finalist in final["finalists"]}
    assert result_of(run)["best"]["id"] not in {e["id"] for e in dropped(run)}


def test_whoever_stayed_has_the_record_of_an_evaluation_without_racing(run: Path) -> None:
    config = configuration.load(run / "campaign.toml")
    parts = build_from_run(RunLayout(run), config)
    stayed = [e for e in entries(run, "individual", "main") if e["status"] == "evaluated"]
    again = [Individual(entry["id"], from_summary(entry["genome"], {})) for entry in stayed]
    parts.evaluator.score_individuals(again, parts.task.dev)
    for individual, entry in zip(again, stayed, strict=True):
        assert (list(individual.fitness.values), individual.score) == (entry["fitness"], entry["score"])
        assert individual.measures == entry["measures"]
        assert individual.digest == entry["digest"]
    assert any(entry["operators"] != ["random"] and entry["parents"] for entry in stayed)  # not founders alone
    parts.engine.close()


@pytest.mark.parametrize("mode", [slow("race"), slow("halving")], indirect=True)
def test_two_workers_write_the_bytes_of_one(
    run: Path, mode: str, toy: Callable[..., ToyCampaign], tmp_path: Path
) -> None:
    two = toy(**changed(mode, evaluation={"n_jobs": 2})).run(tmp_path / "run").directory
    assert bytes_of(two) == bytes_of(run)


@pytest.mark.parametrize("at", [slow(1), 3, slow(8)])
def test_stopped_and_resumed_it_writes_the_bytes_of_an_undisturbed_run(
    run: Path, mode: str, at: int, toy: Callable[..., ToyCampaign], tmp_path: Path
) -> None:
    class Stop(Observer):
        heard = 0

        def on_generation(self, progress: object) -> None:
            self.heard += 1
            if self.heard == at:
                raise RuntimeError

    with pytest.raises(RuntimeError):
        toy(**changed(mode)).run(tmp_path / "run", observers=[Stop()])
    continue_run(tmp_path / "run")
    assert bytes_of(tmp_path / "run") == bytes_of(run)


@pytest.mark.parametrize("at", [2, slow(9)])
def test_killed_in_the_middle_of_a_race_and_resumed_it_writes_the_bytes_of_an_undisturbed_run(
    run: Path, mode: str, at: int, evolm: Any, tiny_model_folder: Path, tmp_path: Path
) -> None:
    """By SIGKILL, when a look has its answers and no candidate is dropped yet."""
    folder = write_campaign(tmp_path / "toy", tiny_model_folder, **changed(mode)).folder
    out = tmp_path / "run"
    assert evolm("run", folder, "--out", out, call=f"look of a {mode}", at=at)["exit"] == KILLED
    assert len(entries(out, "individual")) < 80
    resumed = evolm("resume", out)
    assert resumed["exit"] == 0, resumed["log"]
    assert bytes_of(out) == bytes_of(run)


@pytest.mark.parametrize("mode", ["race", slow("halving")], indirect=True)
def test_stopped_between_two_looks_it_writes_the_bytes_of_an_undisturbed_run(
    run: Path, mode: str, toy: Callable[..., ToyCampaign], tmp_path: Path
) -> None:
    class Stop(Observer):
        heard = 0

        def on_requests(self, done: int, total: int, purpose: str) -> None:
            self.heard += 1
            if self.heard == 12:
                raise RuntimeError

    with pytest.raises(RuntimeError):
        toy(**changed(mode)).run(tmp_path / "run", observers=[Stop()])
    assert (tmp_path / "run" / "journal.jsonl").read_bytes() != bytes_of(run)["journal.jsonl"]
    continue_run(tmp_path / "run")
    assert bytes_of(tmp_path / "run") == bytes_of(run)


@pytest.mark.parametrize(
    ("key", "value", "found"),
    [
        ("racing", '"off"', r"racing changed .*, found None"),
        ("race_level", "0.2", r"racing\.level changed .*, found 0\.2"),
        ("race_block", "8", r"racing\.block changed .*, found 8"),
    ],
)
def test_a_resume_with_another_rule_is_refused(
    run: Path, mode: str, key: str, value: str, found: str, tmp_path: Path
) -> None:
    if (mode, key) == ("halving", "race_level"):
        pytest.skip("the level decides nothing in a halving")
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    text = (copy / "campaign.toml").read_text(encoding="utf-8")
    before = next(line for line in text.splitlines() if line.startswith(f"{key} = "))
    (copy / "campaign.toml").write_text(text.replace(before, f"{key} = {value}"), encoding="utf-8")
    with pytest.raises(RunError, match=found):
        continue_run(copy)


def test_reports_tell_the_dropped_from_the_failed(run: Path, mode: str) -> None:
    record = RunRecord.read(run)
    assert failures(record) == []
    name = "Racing" if mode == "race" else "Successive halving"
    said = f"{name} dropped {len(dropped(run))} of 40 individuals early"
    console = Console(width=200, file=io.StringIO())
    console.print(render_summary(run))
    for text in (console.file.getvalue(), render_page(record)):  # type: ignore[attr-defined]
        assert said in text
        assert "individuals that failed" not in text.lower()
    history = record.individuals("main")
    assert (history["status"] == "dropped").sum() == len(dropped(run))
    assert history.loc[history["status"] == "dropped", "score"].isna().all()
    assert history["items"].sum() == result_of(run)["budget"]["items"]


def test_a_run_without_racing_says_nothing_about_it(finished: Path) -> None:
    assert result_of(finished)["racing"] is None
    assert {e["status"] for e in entries(finished, "individual")} == {"evaluated"}
    assert "dropped" not in render_page(RunRecord.read(finished)).lower()


@pytest.mark.parametrize("items", [slow(480), 555])
def test_the_budget_of_items_buys_more_evaluations_and_is_never_exceeded(
    toy: Callable[..., ToyCampaign], tmp_path: Path, items: int
) -> None:
    out = toy(**changed(budget={"evaluations": 0, "items": items})).run(tmp_path / "run").directory
    limit = items
    for search in SEARCHES:
        last = entries(out, "generation", search)[-1]
        assert limit - N_DEV < last["items"] <= limit
        assert last["evaluations"] > limit // N_DEV
        limit = last["items"]  # random search has what the search spent


DELTA = {"layers": "last:1", "target_modules": ["q_proj", "v_proj"], "dimension": 6, "sigma": 2.0}
PROMPT = {"demonstrations": [0, 2], "max_tokens": 240}
OTHERS: dict[str, dict[str, Any]] = {
    "hill_climb": {"strategy": {"name": "hill_climb"}},
    "islands": {"strategy": {"name": "islands", "population_size": 3}},
    "random_search": {"strategy": {"name": "random_search"}},
    "memetic": {
        "strategy": {"name": "memetic", "population_size": 4, "gradient_steps": 1, "batch_size": 4},
        "space": {"delta": DELTA, "prompt": PROMPT},
    },
    "differential_evolution": {
        "strategy": {"name": "differential_evolution", "population_size": 5},
        "space": {"delta": DELTA},
        "founders": [],
    },
}


RACED_ALWAYS = ("hill_climb", "differential_evolution")


def test_every_strategy_that_accepts_partial_results_races_in_a_campaign() -> None:
    assert {"genetic", *OTHERS} == {name for name, kind in STRATEGIES.items() if kind.accepts_partial}


@pytest.mark.parametrize("name", [name if name in RACED_ALWAYS else slow(name) for name in OTHERS])
def test_other_strategies_race_too(name: str, toy: Callable[..., ToyCampaign], tmp_path: Path) -> None:
    baselines = {"random_search": False, "fine_tuning": False}  # whose individuals have numbers of their own
    out = toy(**changed(**OTHERS[name], baselines=baselines)).run(tmp_path / "run").directory
    gone = {e["id"] for e in dropped(out)}
    assert gone
    assert not gone & {parent for e in entries(out, "individual") for parent in e["parents"]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"strategy": {"name": "genetic", "survival": "generational"}},
            r"racing = 'race': expected a strategy that can drop individuals \('genetic', 'hill_climb', "
            r"'random_search', 'islands'.*\), found 'genetic': survival = 'generational' keeps all children",
        ),
        (
            {"strategy": {"name": "cmaes"}},
            "found 'cmaes': it learns from the fitness of every individual",
        ),
        (
            {"strategy": {"name": "nsga2"}, "fitness": {"combine": "pareto"}, "scorers": {"margin": 1, "p_true": 1}},
            "racing = 'race': expected fitness.combine = 'sum', found 'pareto'",
        ),
        (
            {"task__metric": "macro_f1"},
            "means of one bounded number per item, found 'label_likelihood' by the metric 'macro_f1'",
        ),
        ({"scorers": {"margin": 1, "mutual_information": 1}}, "bounded number per item, found 'mutual_information'$"),
        ({"evaluation": {"race_block": 17}}, "race_block: expected at most two thirds of the 24 dev items, found 17"),
    ],
)
def test_what_cannot_race_is_refused_in_one_sentence(
    changes: dict[str, Any], message: str, toy: Callable[..., ToyCampaign], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        toy(**changed(**changes)).run(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_command_line_refuses_it_with_exit_code_2(toy: Callable[..., ToyCampaign]) -> None:
    folder = str(toy(**RACING).folder)
    said = CliRunner().invoke(app, ["run", folder, "--dry-run", "--set", "task.metric=macro_f1"])
    assert said.exit_code == 2
    assert "macro_f1" in said.stderr and len(said.stderr.strip().splitlines()) == 1


def test_a_function_races_when_its_range_is_known(toy: Callable[..., ToyCampaign], tmp_path: Path) -> None:
    function = {"mine": lambda item, predicted, probabilities: probabilities["spam"]}
    unknown = toy(**changed(scorers={"mine": 1.0}))
    with pytest.raises(ConfigError, match=r"found 'mine'; say in \[scorers\] .*: range = \[0, 1\]"):
        unknown.run(tmp_path / "unknown", functions=function)
    known = toy(**changed("halving", scorers={"mine": {"weight": 2.0, "range": [0, 1]}}))
    assert known.run(tmp_path / "known", functions=function).result["racing"]["dropped"] > 0


def test_a_short_prompt_may_be_worth_something_in_a_race(toy: Callable[..., ToyCampaign], tmp_path: Path) -> None:
    both = toy(**changed(scorers={"label_likelihood": 1.0, "prompt_length": 0.01}))
    out = both.run(tmp_path / "run").directory
    assert dropped(out)
    for entry in entries(out, "individual", "main"):
        if entry["fitness"]:
            score, length = entry["measures"]["label_likelihood"], entry["measures"]["prompt_length"]
            assert entry["fitness"][0] == pytest.approx(score + 0.01 * length)


def test_the_live_view_and_the_dry_run_say_what_racing_does(toy: Callable[..., ToyCampaign], tmp_path: Path) -> None:
    campaign = toy(**changed("halving", baselines={"random_search": False}))
    console = Console(file=io.StringIO(), width=200)
    log_to(console)
    view = ProgressView(console)
    campaign.run(tmp_path / "run", observers=[view])
    view.close()
    assert "% of items saved" in console.file.getvalue()  # type: ignore[attr-defined]
    said = CliRunner().invoke(app, ["run", str(campaign.folder), "--dry-run"])
    assert "With successive halving, candidates may be dropped after 4, 8, 16 of 24 items" in " ".join(
        said.stdout.split()
    )
