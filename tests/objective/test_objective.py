"""``Objective``: what a caller gets, what it is charged, what it leaves behind, and how it goes on."""

from __future__ import annotations

import gc
import itertools
import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import evolm
from evolm import BudgetSpent, Objective
from evolm.campaign import Observer, Phase, Progress, RunInfo, continue_run
from evolm.cli import app
from evolm.errors import ConfigError, EvolmError, GenomeError, Interrupted, RunError
from evolm.genomes import PROMPT, Demonstration, Prompt, prompt_genome
from evolm.individual import Individual
from evolm.objective import campaign as objective_campaign
from tests.support.toy_campaign import bytes_of, entries, quick, result_of, without_clock

Open = Callable[..., Objective]
PLAIN = {"baselines": {"random_search": False, "few_shot": False, "probe": False, "bag_of_words": False}}
PARETO = {"fitness": {"combine": "pareto"}}


def rows(objective: Objective, count: int, seed: int = 0) -> np.ndarray:
    """Return vectors between the bounds."""
    low, high = objective.bounds.T
    return low + np.random.default_rng(seed).random((count, objective.dimension)) * (high - low)


# -- values --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", ["prompt", "delta", "hybrid", "readout"])
def test_vectors_genomes_and_batches_are_worth_the_same(space: str, opened: Open) -> None:
    objective = opened(space, budget=20)
    X = rows(objective, 3)
    values = objective.many(X)
    assert values.shape == (3,)
    assert values.dtype == np.float64
    assert [objective(x) for x in X] == values.tolist()
    genomes = [objective.decode(x) for x in X]
    assert objective.many(genomes).tolist() == values.tolist()
    assert objective(genomes[0]) == values[0]
    assert isinstance(objective(X[0]), float)
    assert objective.loss(X[1]) == -values[1]
    assert objective.loss_many(X).tolist() == (-values).tolist()
    assert [i.fitness.values[0] for i in objective.individuals(X)] == values.tolist()


def test_an_objective_says_where_it_can_be_asked(opened: Open) -> None:
    objective = opened()
    assert objective.dimension == 6
    assert objective.bounds.shape == (6, 2)
    assert objective.x0.tolist() == [0.0] * 6
    assert objective.objectives == 1
    assert objective.left == 12
    assert objective.best is None
    value = objective(objective.x0)
    assert objective.best is not None
    assert objective.best.fitness.values[0] == value
    assert objective.left == 11
    assert objective.many([]).shape == (0,)
    assert objective.left == 11


def test_every_scorer_of_a_front_is_a_value(opened: Open) -> None:
    scorers = {"label_likelihood": 1.0, "prompt_length": 0.5}
    objective = opened("prompt", scorers=scorers, options=PARETO)
    values = objective.many(rows(objective, 3))
    assert values.shape == (3, 2)
    assert objective(objective.x0).shape == (2,)
    assert objective.objectives == 2
    assert objective.worst.tolist() == [0.0, -256.0]  # half of the 512 tokens of context
    assert (values > objective.worst).any(axis=1).all()
    result = objective.finish()
    assert result.front


def test_individuals_bring_measures_and_the_entropy_of_labels_among_them(opened: Open) -> None:
    objective = opened("prompt")
    for individual in objective.individuals(rows(objective, 4)):
        assert individual.status == "evaluated"
        assert individual.measures["prefix_tokens"] == objective.space.tokens(individual.genome)
        assert 0 <= individual.measures["label_entropy"] <= np.log(2) + 1e-12


def test_worst_is_weighted_and_finite(opened: Open) -> None:
    assert opened("prompt", scorers={"margin": 2.0, "prompt_length": -0.1}).worst == -2.0
    assert opened(scorers={"mine": lambda item, predicted, shares: 1.0}).worst == -1e6


# -- failures ------------------------------------------------------------------------------------------------


def test_what_fails_is_worth_the_worst_and_charged_and_journalled(opened: Open) -> None:
    space = {"prompt": {"demonstrations": [0, 0], "verbalizers": {"ham": ["spam"]}}}
    objective = opened("prompt", tables=space)
    names = [variable.name for variable in objective.codec.variables]
    values = dict(zip(names, objective.codec.values(objective.decode(objective.x0)), strict=True))
    clash = objective.codec.genome(list((values | {"verbalizer_ham": "spam"}).values()))
    assert objective.many([clash, objective.decode(objective.x0)]).tolist()[0] == objective.worst
    assert objective.left == 10
    first, second = entries(objective.directory, "individual")
    assert (first["status"], first["reason"], first["fitness"]) == ("failed", "two labels share one word", None)
    assert second["status"] == "evaluated"
    (failed,) = objective.individuals([clash])
    assert failed.status == "failed"
    assert not failed.fitness.valid


def test_a_scorer_that_says_nan_is_worth_the_worst(opened: Open) -> None:
    objective = opened(scorers={"mine": lambda item, predicted, shares: float("nan")})
    assert objective(objective.x0) == objective.worst
    assert "the function returned nan" in entries(objective.directory, "individual")[0]["reason"]
    with pytest.raises(EvolmError, match="nothing|expected at least one individual"):
        objective.finish()


def test_bad_questions_are_refused_before_anything_is_charged(opened: Open) -> None:
    objective = opened()
    for bad in (np.full(6, np.nan), np.zeros(5), np.zeros((2, 6)), np.full(6, 1e4), "abc"):
        with pytest.raises(GenomeError):
            objective(bad)
    for bad in (np.zeros((6, 3)), [np.zeros(6), np.full(6, np.inf)], [objective.decode(np.zeros(6)), np.zeros(6)]):
        with pytest.raises(GenomeError):
            objective.many(bad)
    with pytest.raises(GenomeError, match="expected chromosomes of the kinds"):
        objective.evaluate([Individual(0, prompt_genome(Prompt("Spam?")))])
    assert objective.left == 12
    assert entries(objective.directory, "individual") == []


@pytest.mark.parametrize("space", ["prompt", "hybrid"])
def test_genomes_of_other_labels_or_with_test_rows_are_refused_before_anything_is_charged(
    space: str, opened: Open
) -> None:
    objective = opened(space)
    parts = objective._campaign.parts
    tested, trained = Demonstration.from_item(parts.task.test[0]), Demonstration.from_item(parts.task.train[0])
    good = objective.decode(objective.x0)
    shouted = tuple((name, text.upper()) for name, text in tested.fields)
    for prompt, message in (
        (
            Prompt("Spam?", (replace(tested, item="mine", fields=shouted),)),
            "expected demonstrations outside the test split",
        ),
        (Prompt("Spam?", (replace(trained, label="eggs"),)), "label is 'eggs', expected one of"),
        (Prompt("Spam?", (), (("eggs", "fine"),)), "stands for 'eggs', expected one of"),
    ):
        genome = objective.space.completed({PROMPT: prompt})
        for ask in (objective, objective.finish, lambda genome: objective.many([good, genome])):
            with pytest.raises(GenomeError, match=f"a genome: .*{message}"):
                ask(genome)
    assert objective.left == 12
    assert entries(objective.directory, "individual") == []
    shown = Prompt("Spam?", (trained,))
    assert objective(objective.space.completed({PROMPT: shown})) > objective.worst


def test_what_is_no_vector_at_all_is_refused_in_one_sentence(opened: Open) -> None:
    objective = opened()
    for nothing in (3.0, None, np.array(3.0), objective.decode(objective.x0), (x for x in [objective.x0])):
        with pytest.raises(GenomeError, match="many: expected vectors"):
            objective.many(nothing)
    for ask in (objective, objective.decode, objective.finish):
        with pytest.raises(GenomeError, match=r"expected shape \(6,\), found rows of different lengths"):
            ask([[1, 2], [3]])
    assert objective.left == 12


@pytest.mark.parametrize("shared", [False, True])
def test_a_space_with_nothing_to_choose_leaves_nothing_behind(shared: bool, opened: Open, tmp_path: Path) -> None:
    place = {"out": tmp_path / "run", "shared": shared}
    tables = {"prompt": {"demonstrations": [0, 0]}}
    with pytest.raises(ConfigError, match="expected something to choose"):
        opened("prompt", tables={**tables, "readout": {"kinds": ["words"]}}, founders=["Spam?"], **place)
    assert not (tmp_path / "run").exists()
    opened("prompt", tables=tables, founders=["Spam?"], **place)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"on_spent": "stop"}, "on_spent: expected 'raise' or 'worst', found 'stop'"),
        ({"shared": True}, "shared: expected out"),
        ({"options": {"strategy": {"name": "genetic"}}}, r"expected no \[strategy\]"),
        ({"options": {"evaluation": {"racing": "race"}}}, "can drop individuals"),
        ({"options": PARETO}, "expected at least two scorers, found 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, Any], message: str, opened: Open) -> None:
    with pytest.raises(ConfigError, match=message):
        opened(**changes)


# -- budget --------------------------------------------------------------------------------------------------


def test_a_budget_is_used_up_exactly_and_then_raises_with_the_best(opened: Open) -> None:
    objective = opened(budget=5)
    values = objective.many(rows(objective, 3))
    with pytest.raises(BudgetSpent, match="all 5 evaluations are spent: expected no more, found 2") as spent:
        objective.many(rows(objective, 4, seed=1))
    assert isinstance(spent.value, RuntimeError)
    assert spent.value.best is not None
    assert spent.value.best.fitness.values[0] >= values.max()
    assert objective.left == 0
    assert len(entries(objective.directory, "individual")) == 5
    with pytest.raises(BudgetSpent):
        objective(objective.x0)
    assert len(entries(objective.directory, "individual")) == 5


def test_a_host_that_ends_by_itself_gets_the_worst_instead(opened: Open) -> None:
    objective = opened(budget=2, on_spent="worst")
    values = objective.many(rows(objective, 4))
    assert values[2:].tolist() == [objective.worst] * 2
    (late,) = objective.individuals(rows(objective, 1))
    assert (late.status, late.reason) == ("failed", "the budget is spent")
    assert len(entries(objective.directory, "individual")) == 2


def test_duplicates_are_charged_and_answered_from_the_cache(opened: Open) -> None:
    objective = opened()
    objective(objective.x0)
    usage = objective._campaign.parts.engine.usage
    forwarded = usage.tokens_forwarded
    objective.many([objective.x0, objective.x0])
    assert usage.tokens_forwarded == forwarded
    assert objective.left == 9
    last = entries(objective.directory, "generation")[-1]
    assert (last["generation"], last["evaluations"], last["items"]) == (1, 3, 30)


def test_a_budget_of_items_counts_items(opened: Open) -> None:
    objective = opened(budget={"evaluations": 0, "items": 25})
    assert objective.left == 2
    with pytest.raises(BudgetSpent, match="the 5 items left are fewer than the 10 of one evaluation"):
        objective.many(rows(objective, 3))


# -- a program that asks ------------------------------------------------------------------------------------


class Killed(Exception):
    """Stands for a signal."""


def host(objective: Objective, upto: int = 99) -> Any:
    """A program that decides by what it was told; it is killed behind so many calls."""
    x, value = objective.x0, objective(objective.x0)
    rng = np.random.default_rng(5)
    for call in itertools.count(1):
        if call >= upto:
            raise Killed
        if not objective.left:
            return objective.finish(x)
        X = x + rng.normal(0, 20, (min(3, objective.left), objective.dimension)).round(3)
        values = objective.many(X)
        if values.max() > value:
            x, value = X[values.argmax()], values.max()


@pytest.fixture(scope="module")
def undisturbed(arguments: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    with quick(), Objective(**arguments(), out=out) as objective:
        host(objective)
    return out


# -- what it leaves behind -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(arguments: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a finished run over hybrids that never asked for a founder; changed by no test."""
    with quick(), Objective(**arguments("hybrid"), out=tmp_path_factory.mktemp("objective") / "run") as objective:
        objective.many(rows(objective, 7))
        objective(rows(objective, 1, seed=1)[0])
        result = objective.finish()
    return result.directory


def test_finish_judges_as_a_campaign_does(finished: Path, arguments: Callable[..., dict[str, Any]]) -> None:
    result = result_of(finished)
    assert result["test"]["openings"] == 1
    assert {"best", "founder", "random_search", "prior_corrected", "majority"} <= result["test"].keys()
    assert result["budget"]["evaluations"] == 8
    assert len(entries(finished, "individual", "random_search")) == 8
    assert entries(finished, "validation", "main")
    assert entries(finished, "run")[0]["strategy"] == {"name": "objective"}
    (founder,) = [e for e in entries(finished, "individual", "main") if e["id"] == result["founder"]["id"]]
    assert founder["genome"]["prompt"]["instruction"] in arguments()["founders"] + arguments("prompt")["founders"]
    assert founder["operators"] != ["proposed"]
    for name in ("result.json", "test.json", "report.html", "best/prompt.txt", "baselines/random_search/prompt.txt"):
        assert (finished / name).exists(), name
    assert "best of the search" in (finished / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def ordered(arguments: Callable[..., dict[str, Any]]) -> list[str]:
    """Three instructions, the worst first and the best last."""
    texts = ["Is it spam, or ham?", "Read the text. Say spam if it sells, else ham.", "Which?"]
    with Objective(**arguments("prompt", founders=texts, scorers={"margin": 1.0})) as objective:
        found = objective.individuals(objective._campaign.parts.founders.genomes)
    return [one.genome.prompt.instruction for one in sorted(found, key=lambda one: one.fitness.values)]


def test_the_best_founder_is_the_best_of_all_whichever_the_host_asked_for(
    ordered: list[str], arguments: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    settings = arguments("prompt", founders=ordered, scorers={"margin": 1.0})
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    with Objective(**settings, out=whole) as objective:
        objective(objective.x0)
        good = objective._campaign.parts.founders.genomes[-1]
        objective.evaluate([Individual(0, good, operators=("random",))])  # known, but not as a founder
        result = objective.finish().record
    assert result["founder"]["genome"]["prompt"]["instruction"] == ordered[-1]
    assert result["budget"]["evaluations"] == 2  # nobody is charged for what nobody asked for
    assert len(entries(whole, "individual", "random_search")) == 2
    first, second, founder = entries(whole, "individual", "main")
    assert (founder["id"], founder["digest"]) == (result["founder"]["id"], result["founder"]["digest"])
    assert founder["fitness"] == second["fitness"] > first["fitness"]
    assert ordered[-1] in (whole / "baselines" / "founder" / "prompt.txt").read_text(encoding="utf-8")
    with Objective(**settings, out=torn) as objective:
        objective(objective.x0)
    with Objective(**settings, out=torn) as objective:
        objective(objective.x0)
        objective.evaluate([Individual(0, good, operators=("random",))])
    with Objective(**settings, out=torn) as objective:
        objective.finish()
    assert bytes_of(torn) == bytes_of(whole)


def test_a_founder_that_the_host_found_to_be_the_best_is_not_asked_for_again(
    ordered: list[str], opened: Open
) -> None:
    objective = opened("prompt", founders=ordered, scorers={"margin": 1.0})
    best = objective._campaign.parts.founders.genomes[-1]
    objective(best)
    assert objective.finish().record["founder"]["id"] == 0
    assert len(entries(objective.directory, "individual", "main")) == 1


def test_the_commands_know_such_a_run(finished: Path, undisturbed: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    pd.read_parquet(finished / "data.parquet").to_csv(rows, index=False)
    for command in (
        ["report", finished],
        ["predict", finished, rows, "--out", tmp_path / "labelled.csv"],
        ["score", finished, rows],
        ["export", finished, "--to", "prompt", tmp_path / "prompt"],
        ["export", finished, "--to", "population", tmp_path / "population"],
        ["compare", finished, undisturbed],
    ):
        told = CliRunner().invoke(app, list(map(str, command)))
        assert told.exit_code == 0, (command, told.output)
    assert "[strategy]" not in (tmp_path / "population" / "campaign.toml").read_text(encoding="utf-8")
    with pytest.raises(RunError, match="found one of evolm.Objective"):
        continue_run(finished)


def test_no_campaign_can_be_run_by_that_strategy(arguments: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is reserved for evolm.Objective"):
        evolm.evolve(**arguments(strategy="objective", out=tmp_path / "run"))


def test_the_winner_can_be_named_and_is_charged_where_it_is_new(opened: Open) -> None:
    objective = opened(budget=3)
    X = rows(objective, 4)
    objective.many(X[:3])
    result = objective.finish(X[3])
    assert result.record["best"]["digest"] == objective.decode(X[3]).digest
    assert result.record["best"]["id"] == 3
    assert result.record["budget"]["evaluations"] == 4
    assert len(entries(result.directory, "individual", "random_search")) == 4
    assert entries(result.directory, "validation", "main") == []
    with pytest.raises(RunError, match="its test split was opened: expected no more questions, found 1"):
        objective(X[0])
    assert objective.finish().record == result.record
    with pytest.raises(RunError, match="expected the same winner"):
        objective.finish(X[0])


@pytest.mark.parametrize("asked_before", [False, True])
def test_a_winner_outside_the_space_is_refused(asked_before: bool, opened: Open) -> None:
    objective = opened("prompt")
    objective(objective.x0)
    long = objective.space.completed({PROMPT: Prompt("Spam? " * 60)})  # it would fit the context
    if asked_before:
        assert objective(long) == objective.worst
    before = objective.left
    with pytest.raises(EvolmError, match="expected a winner that can be scored, found one that failed: .* tokens, "):
        objective.finish(long)
    assert objective.left == before
    assert objective.finish().record["best"]["id"] == 0


def test_a_known_winner_costs_nothing(opened: Open) -> None:
    objective = opened()
    X = rows(objective, 3)
    objective.many(X)
    result = objective.finish(objective.decode(X[1]))
    assert (result.record["best"]["id"], result.record["budget"]["evaluations"]) == (1, 3)


def test_a_temporary_run_lives_as_long_as_objective_or_result(arguments: Callable[..., dict[str, Any]]) -> None:
    with Objective(**arguments()) as objective:
        objective(objective.x0)
        result = objective.finish()
    directory = result.directory
    del objective
    gc.collect()
    assert result.prompt
    del result
    gc.collect()
    assert not directory.exists()


def test_observers_are_told_of_every_call(opened: Open) -> None:
    told: list[Any] = []

    class Watch(Observer):
        def on_phase(self, phase: Phase) -> None:
            told.append(phase.name)

        def on_generation(self, progress: Progress) -> None:
            told.append((progress.search, progress.evaluations))

        def on_end(self, result: dict[str, Any]) -> None:
            told.append("end")

    objective = opened(callbacks=[Watch()])
    objective(objective.x0)
    objective.many(rows(objective, 2))
    objective.finish()
    assert told == ["main", ("main", 1), ("main", 3), "random_search", ("random_search", 3), "verdict", "end"]


def test_a_verdict_that_an_observer_could_not_take_is_told_again_and_then_no_more(
    arguments: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    told: list[dict[str, Any]] = []

    class Down(Observer):
        up = False

        def on_end(self, result: dict[str, Any]) -> None:
            if not self.up:
                raise OSError("connection refused")
            told.append(result)

    watch = Down()
    with Objective(**arguments(callbacks=[watch]), out=tmp_path / "run") as objective:
        objective(objective.x0)
        with pytest.raises(OSError, match="connection refused"):
            objective.finish()
        watch.up = True
        record = objective.finish().record
        assert objective.finish().record == record
        assert told == [record]
    with Objective(**arguments(callbacks=[watch]), out=tmp_path / "run") as objective:
        objective.finish()
    assert told == [record, result_of(tmp_path / "run")]


class PressesCtrlC(Observer):
    """Presses Ctrl-C, once or twice, at one moment of a phase: when the model has answered for the n-th time."""

    def __init__(self, phase: str, moment: int, times: int) -> None:
        self.phase, self.moment, self.times = phase, moment, times
        self.now = ""

    def on_phase(self, phase: Phase) -> None:
        self.now = phase.name

    def on_requests(self, done: int, total: int, purpose: str) -> None:
        if self.now != self.phase:
            return
        self.moment -= 1
        if self.moment == 0:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(
    ("phase", "moment", "times", "said"),
    [
        ("random_search", 1, 1, Interrupted),
        ("random_search", 2, 2, KeyboardInterrupt),
        ("verdict", 1, 1, Interrupted),
        ("verdict", 6, 1, Interrupted),
        ("verdict", 6, 2, KeyboardInterrupt),
    ],
)
def test_a_finish_that_was_interrupted_is_called_again_and_ends_as_an_undisturbed_one(
    phase: str,
    moment: int,
    times: int,
    said: type[BaseException],
    finished: Path,
    arguments: Callable[..., dict[str, Any]],
    tmp_path: Path,
) -> None:
    settings = arguments("hybrid", callbacks=[PressesCtrlC(phase, moment, times)])
    with Objective(**settings, out=tmp_path / "run") as objective:
        objective.many(rows(objective, 7))
        with pytest.raises(said):
            objective.finish()
        objective(rows(objective, 1, seed=1)[0])  # no test split was opened: it may be asked more
        objective.finish()
    assert bytes_of(tmp_path / "run") == bytes_of(finished)
    assert without_clock(result_of(tmp_path / "run")) == without_clock(result_of(finished))


class Stops(Observer):
    """Ends the search after its first call."""

    def on_start(self, info: RunInfo) -> None:
        self.info = info

    def on_generation(self, progress: Progress) -> None:
        self.info.stop("one call is enough")


class Crashes(Observer):
    def on_generation(self, progress: Progress) -> None:
        raise ZeroDivisionError


def test_a_callback_that_stops_the_search_ends_the_budget_also_for_a_program_that_starts_over(
    arguments: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    with Objective(**arguments(callbacks=[Stops()]), out=whole) as objective:
        x = rows(objective, 3)
        objective.many(x[:2])
        assert objective.left == 0
        with pytest.raises(BudgetSpent, match="one call is enough: expected no more, found 1"):
            objective(x[2])
        assert objective.finish().record["stopped"] == "one call is enough"
    assert len(entries(whole, "individual", "random_search")) == 2
    with Objective(**arguments(callbacks=[Crashes()]), out=torn) as objective, pytest.raises(ZeroDivisionError):
        objective.many(x[:2])
    for callbacks in ([Stops()], []):  # the first hears of the call again, and then it is written down
        with Objective(**arguments(callbacks=callbacks), out=torn) as objective:
            objective.many(x[:2])
            with pytest.raises(BudgetSpent, match="one call is enough"):
                objective(x[2])
    with Objective(**arguments(), out=torn) as objective:
        objective.finish()
    assert bytes_of(torn) == bytes_of(whole)


# -- going on ------------------------------------------------------------------------------------------------


def killed(settings: dict[str, Any], out: Path, upto: int) -> None:
    with Objective(**settings, out=out) as objective, pytest.raises(Killed):
        host(objective, upto)


@pytest.mark.parametrize("upto", [1, 3])
def test_a_program_that_starts_over_ends_with_the_journal_of_an_undisturbed_one(
    upto: int, arguments: Callable[..., dict[str, Any]], undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    killed(arguments(), out, upto)
    with (out / "journal.jsonl").open("ab") as stream:
        stream.write(b'{"type":"individual","search":"main","id":99,"generation":9}\n{"type":"indiv')
    with (out / "timing.jsonl").open("ab") as stream:
        stream.write(b'{"event":"gen')
    with Objective(**arguments(), out=out) as objective:
        assert objective.left == 12
        assert objective.best is None
        host(objective)
        usage = objective._campaign.parts.engine.usage
    assert bytes_of(out) == bytes_of(undisturbed)
    assert without_clock(result_of(out)) == without_clock(result_of(undisturbed))
    assert usage.cache_hits > 0


def test_a_finished_run_leads_its_program_to_the_same_result(
    arguments: Callable[..., dict[str, Any]], undisturbed: Path
) -> None:
    before = bytes_of(undisturbed)
    with Objective(**arguments(), out=undisturbed) as objective:
        assert host(objective).record == result_of(undisturbed)
    assert bytes_of(undisturbed) == before


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("on_spent", ["raise", "worst"])
def test_a_finished_run_answers_what_its_budget_did_not_allow_as_it_did_then(
    on_spent: str, named: bool, arguments: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    settings, told = arguments(budget={"evaluations": 5, "plateau": 4}, on_spent=on_spent, options=PLAIN), []
    for _ in range(2):
        with Objective(**settings, out=tmp_path / "run") as objective:
            X, answers = rows(objective, 9), []
            for batch in (X[:3], X[3:6], X[6:]):  # the second one is cut
                try:
                    answers.append(objective.many(batch).tolist())
                except BudgetSpent as spent:
                    answers.append(str(spent))
                answers.append(objective.left)
            answers.append(objective.finish(X[5] if named else None).record)
            with pytest.raises(RunError, match="its test split was opened: expected no more questions, found 1"):
                objective(X[0])
        told.append((answers, bytes_of(tmp_path / "run")))
    assert told[0] == told[1]
    with Objective(**settings | {"budget": 30}, out=tmp_path / "run") as objective:
        with pytest.raises(RunError, match="its test split was opened: expected no more questions, found"):
            objective.many(rows(objective, 8))


def test_a_program_with_a_memory_of_its_own_goes_on_behind_the_last_entry(
    arguments: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    killed(arguments(), out, 3)  # 1 + 3 + 3 evaluations
    before = entries(out)
    with Objective(**arguments(), out=out) as objective:
        value = objective(np.full(6, 7.0))
        assert objective.left == 4
        best = objective.best
        assert best is not None
        assert best.fitness.values[0] >= value
    assert entries(out)[: len(before)] == before
    added = entries(out)[len(before) :]
    assert [(e["type"], e["generation"]) for e in added] == [("individual", 3), ("generation", 3)]
    assert added[0]["id"] == 7
    assert added[1]["evaluations"] == 8
    known = max(e["fitness"][0] for e in entries(out, "individual"))
    assert best.fitness.values[0] == known


def test_a_program_that_starts_over_counts_what_the_model_did_for_the_whole_run(
    arguments: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objective_campaign, "CLOCKED", 0.0)
    out = tmp_path / "run"
    with Objective(**arguments(), out=out) as objective:
        objective.many(rows(objective, 4))
    clock = [json.loads(line) for line in (out / "timing.jsonl").read_text(encoding="utf-8").splitlines()]
    with (out / "timing.jsonl").open("ab") as stream:
        stream.write(b'{"event":"gen')
    with Objective(**arguments(), out=out) as objective:
        usage = objective._campaign.parts.engine.usage
        assert usage.to_record() == {name: clock[-1][name] for name in usage.to_record()}
        objective(rows(objective, 5)[4])
        objective.finish()
        assert objective._campaign.parts.engine.usage.tokens_forwarded > clock[-1]["tokens_forwarded"] > 0


def test_another_configuration_is_refused_and_another_budget_is_not(
    arguments: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with Objective(**arguments("prompt"), out=out) as objective:
        objective(objective.x0)
        with pytest.raises(RunError, match="another process working on this run"):
            Objective(**arguments("prompt"), out=out)
    for changes, message in (
        (
            {"space": {"prompt": {"demonstrations": [0, 1]}}},
            r"space.prompt.demonstrations changed since the run began: expected \[0, 2\], found \[0, 1\]",
        ),
        ({"scorers": {"margin": 1.0}}, "scorers.margin changed since the run began: expected nothing, found 1.0"),
        ({"seed": 1}, "seed changed since the run began: expected 0, found 1"),
        ({"founders": ["Another one?"]}, "founders changed since the run began"),
    ):
        with pytest.raises(RunError, match=message):
            Objective(**{**arguments("prompt"), **changes}, out=out)
    with Objective(**arguments("prompt", budget=30), out=out) as objective:
        assert objective.left == 30  # it may ask again what was asked before
        objective(objective.x0)
        assert objective.left == 29


def test_a_campaigns_directory_is_not_taken_over(arguments: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    settings = arguments(budget=2)
    run = evolm.evolve(**settings, strategy="random_search", out=tmp_path / "run")
    before = json.loads((run.directory / "result.json").read_text(encoding="utf-8"))
    with pytest.raises(RunError, match="strategy.name changed since the run began: expected 'random_search'"):
        Objective(**settings, out=tmp_path / "run")
    assert result_of(run.directory) == before
