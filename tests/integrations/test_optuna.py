"""Optuna as the host: its samplers on evolm's spaces, evolm's strategies on its studies."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

optuna = pytest.importorskip("optuna")
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from evolm.errors import BudgetSpent, ConfigError
from evolm.integrations.optuna import EvolmSampler, optimize, suggest
from evolm.objective.objective import Objective
from tests.support.processes import in_processes
from tests.support.toy_campaign import entries

pytestmark = pytest.mark.extras

optuna.logging.set_verbosity(optuna.logging.ERROR)


def study_of(sampler: BaseSampler | None = None, **directions: Any) -> optuna.Study:
    sampler = sampler or TPESampler(n_startup_trials=4, seed=1)
    return optuna.create_study(sampler=sampler, **(directions or {"direction": "maximize"}))


def states(study: optuna.Study) -> list[TrialState]:
    return [trial.state for trial in study.trials]


# -- batches -------------------------------------------------------------------------------------------------


def test_a_study_is_driven_in_batches(objective: Objective) -> None:
    study, left = study_of(), objective.left
    optimize(study, objective, n_trials=10, batch_size=4)
    assert states(study).count(TrialState.RUNNING) == 0
    assert len(study.trials) == 10
    assert left is not None
    assert objective.left == left - 10
    assert set(study.best_trial.params) == {variable.name for variable in objective.codec.variables}
    best = suggest(study.best_trial, objective)
    assert best.digest == study.best_trial.user_attrs["digest"]
    assert objective(best) == study.best_value


def test_a_users_own_function_suggests_a_genome(objective: Objective) -> None:
    study = study_of()
    study.optimize(lambda trial: objective(suggest(trial, objective.space)), n_trials=3)
    assert study.best_value == objective(suggest(study.best_trial, objective))


def test_an_individual_without_fitness_is_a_failed_trial(moody: Objective) -> None:
    study = study_of()
    optimize(study, moody, n_trials=6, batch_size=3)
    assert states(study) == [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.FAIL] * 2
    assert "nan" in study.trials[2].user_attrs["reason"]


def test_a_study_of_several_objectives_finds_a_front(front: Objective) -> None:
    study = study_of(RandomSampler(seed=1), directions=["maximize", "maximize"])
    optimize(study, front, n_trials=8, batch_size=4)
    for trial in study.best_trials:
        assert trial.values == front(suggest(trial, front)).tolist()


@pytest.mark.parametrize(
    "directions",
    [{"direction": "minimize"}, {"directions": ["maximize", "minimize"]}, {"directions": ["maximize", "maximize"]}],
)
def test_other_directions_are_refused_before_a_trial_is_asked_for(
    delta: Objective, directions: dict[str, Any]
) -> None:
    study = study_of(**directions)
    with pytest.raises(ConfigError, match=r"expected (direction 'maximize'|1 directions)"):
        optimize(study, delta, n_trials=4)
    assert not study.trials


def test_batches_of_nothing_are_refused(delta: Objective) -> None:
    with pytest.raises(ConfigError, match="batch_size of at least 1, found 4 and 0"):
        optimize(study_of(), delta, n_trials=4, batch_size=0)


def test_a_spent_budget_leaves_every_scored_trial_told(hosted: Callable[..., Objective]) -> None:
    objective, study = hosted("delta", budget=6), study_of()
    with pytest.raises(BudgetSpent) as spent:
        optimize(study, objective, n_trials=20, batch_size=4)
    assert states(study) == [TrialState.COMPLETE] * 6 + [TrialState.FAIL] * 2
    assert spent.value.best is not None
    assert spent.value.best.fitness.values[0] == study.best_value


def test_the_study_ends_by_itself_where_a_spent_budget_is_the_worst(hosted: Callable[..., Objective]) -> None:
    objective, study = hosted("delta", budget=6, on_spent="worst"), study_of()
    optimize(study, objective, n_trials=9, batch_size=4)
    assert len(study.trials) == 9
    assert objective.best is not None
    assert study.best_value == objective.best.fitness.values[0]
    assert objective.finish(suggest(study.best_trial, objective)).test is not None


# -- evolm as a sampler --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "strategy"), [("delta", "cmaes"), ("delta", "genetic"), ("prompt", "random_search")]
)
def test_trials_are_what_the_strategy_asks_for(hosted: Callable[..., Objective], kind: str, strategy: str) -> None:
    objective = hosted(kind)
    study = study_of(EvolmSampler(objective, strategy, seed=5))
    optimize(study, objective, n_trials=30, batch_size=8)
    by_hand, asked = objective.strategy(strategy, seed=5), []
    while len(asked) < 30:
        generation = by_hand.ask(30 - len(asked))
        objective.evaluate(generation)
        by_hand.tell(generation)
        asked += [individual.digest for individual in generation]
    assert [trial.user_attrs["digest"] for trial in study.trials] == asked


def test_proposals_that_optuna_cannot_express_take_no_trial(hosted: Callable[..., Objective]) -> None:
    writing = {"operators": {"instruction_duplicate": 50.0}, "baselines": {"random_search": False, "few_shot": False}}
    objective = hosted("prompt", options=writing)
    sampler = EvolmSampler(objective, {"name": "genetic", "population_size": 4}, seed=2)
    study = study_of(sampler)
    optimize(study, objective, n_trials=16, batch_size=4)
    assert states(study) == [TrialState.COMPLETE] * 16
    assert sampler.strategy.state_dict()["next_id"] > 16  # others had instructions of their own making
    for trial in study.trials:
        assert objective(suggest(trial, objective)) == trial.value


def test_a_trial_that_was_enqueued_does_not_count_for_the_strategy(delta: Objective) -> None:
    sampler = EvolmSampler(delta, "cmaes", seed=5)
    study = study_of(sampler)
    values = delta.codec.values(delta.decode(delta.bounds.mean(axis=1) + 1.0))
    names = [variable.name for variable in delta.codec.variables]
    study.enqueue_trial(dict(zip(names, values, strict=True)))
    optimize(study, delta, n_trials=2, batch_size=1)
    assert list(study.trials[0].params.values()) == values
    first = delta.strategy("cmaes", seed=5).ask(1)[0]
    assert study.trials[1].user_attrs["digest"] == first.digest


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("sampler", [TPESampler, EvolmSampler])
def test_a_study_runs_in_two_threads_and_spends_what_one_spends(
    sampler: Any, shared: bool, hosted: Callable[..., Objective], tmp_path: Path
) -> None:
    objective = hosted("prompt", budget=30, out=tmp_path / "run", shared=shared)
    study = study_of(EvolmSampler(objective, "genetic") if sampler is EvolmSampler else TPESampler(seed=1))
    threads = set()

    def value(trial: optuna.Trial) -> float:
        threads.add(threading.get_ident())
        return objective(suggest(trial, objective))

    study.optimize(value, n_trials=24, n_jobs=2)
    assert threading.get_ident() not in threads
    assert states(study) == [TrialState.COMPLETE] * 24
    assert objective.left == 6
    assert [entry["id"] for entry in entries(objective.directory, "individual")] == list(range(24))
    for trial in study.trials[:6]:  # every trial has its own value, and that of this thread
        assert objective(suggest(trial, objective)) == trial.value


def test_an_objective_can_be_finished_in_another_thread(hosted: Callable[..., Objective]) -> None:
    objective = hosted("delta", budget=6, options={})
    with ThreadPoolExecutor(1) as pool:
        value = pool.submit(objective, objective.x0).result()
        record = pool.submit(objective.finish).result().record
    assert record["budget"]["evaluations"] == 1
    assert value == objective.best.fitness.values[0]  # type: ignore[union-attr]


def test_the_sampler_refuses_what_is_not_of_its_space(delta: Objective) -> None:
    with pytest.raises(ConfigError, match="'rate'"):
        study_of(EvolmSampler(delta)).optimize(lambda trial: trial.suggest_float("rate", 0, 1), n_trials=1)
    with pytest.raises(ConfigError, match="expected direction 'maximize'"):
        study_of(EvolmSampler(delta), direction="minimize").ask()


def test_a_strategy_of_one_objective_is_no_sampler_of_two(front: Objective) -> None:
    with pytest.raises(ConfigError):
        EvolmSampler(front, "hill_climb")


# -- a study that processes share ----------------------------------------------------------------------------

EACH, PROCESSES = 4, 4


def add_trials(settings: dict[str, Any], out: Path, storage: str) -> None:
    with Objective(**settings, out=out, shared=True) as objective:
        study = optuna.load_study(study_name="mail", storage=storage, sampler=RandomSampler())
        optimize(study, objective, n_trials=EACH, batch_size=2)


@pytest.mark.slow
def test_four_processes_on_a_study_in_sqlite_lose_no_trial(
    arguments: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """A dashboard, which reads the same file, is stood in for by a reader in this process."""
    storage = f"sqlite:///{tmp_path / 'study.db'}?timeout=120"  # seconds to wait for a writer; Optuna's own is 5
    study = optuna.create_study(study_name="mail", storage=storage, direction="maximize")
    settings, out = arguments(budget=EACH * PROCESSES), tmp_path / "shared"

    def read() -> None:
        optuna.load_study(study_name="mail", storage=storage).get_trials(deepcopy=False)

    work = (settings, out, storage)
    codes = in_processes(add_trials, *[work] * PROCESSES, meanwhile=read)
    assert codes == [0] * PROCESSES
    assert states(study) == [TrialState.COMPLETE] * (EACH * PROCESSES)
    journals = sorted(out.glob("*/journal.jsonl"))
    recorded = [entry for journal in journals for entry in entries(journal.parent, "individual")]
    assert sorted(entry["digest"] for entry in recorded) == sorted(
        trial.user_attrs["digest"] for trial in study.trials
    )
