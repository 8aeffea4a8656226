"""Campaigns that learn from their own answers: with few labels and with none, resumed, and as a baseline."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from evolm.campaign import continue_run
from evolm.errors import EvolmError
from evolm.operators import OPERATORS
from tests.support.crashes import Crash, CrashAfterGeneration
from tests.support.toy_campaign import (
    FOUNDERS,
    ToyCampaign,
    bytes_of,
    entries,
    quick,
    result_of,
    toy_rows,
    write_campaign,
    write_rows,
)

DELTA = {"layers": "last:1", "target_modules": ["q_proj", "v_proj"], "encoding": "lowrank", "rank": 2}
ALONE = {"name": "self_training", "learning_rates": [0.02], "grid_steps": 2, "gradient_steps": 2, "batch_size": 6}
MEMETIC = {"name": "memetic", "population_size": 3, "gradient_steps": 2, "batch_size": 6}
LOOPS: dict[str, dict[str, Any]] = {
    "few labels": {"strategy": ALONE, "self_training__warm_up": 2, "budget__evaluations": 5},
    "no gold": {
        "strategy": ALONE,
        "task__gold": "audit",
        "scorers": {"mutual_information": 1.0},
        "budget__evaluations": 5,
    },
    "memetic without gold": {
        "strategy": MEMETIC,
        "task__gold": "audit",
        "scorers": {"margin": 1.0},
        "self_training__confidence": "committee",
        "budget__evaluations": 7,
    },
    "baseline": {
        "strategy": MEMETIC,
        "baselines__self_training": True,
        "baselines__fine_tuning": False,
        "operators": {"self_training": 0.0},
        "self_training__warm_up": 0,
        "budget__evaluations": 5,
    },
}


def campaign(folder: Path, model: Path, loop: str = "few labels", **changes: Any) -> ToyCampaign:
    more = {"task__unlabelled": "more.csv", "self_training__rows": 8, **LOOPS[loop], **changes}
    toy = write_campaign(folder, model, **more)
    toy.tables["space"] = {"delta": DELTA}
    (folder / "founders.jsonl").write_text(json.dumps(FOUNDERS[0]) + "\n", encoding="utf-8")
    write_rows(folder / "more.csv", [(text, "?") for text, _ in toy_rows(90)[60:]])
    return toy


@pytest.fixture(scope="module", params=LOOPS)
def loop(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def run(loop: str, finished_run: Callable[..., Path]) -> Path:
    return finished_run(loop, write=campaign)


def test_children_learn_from_their_own_answers_and_selection_decides_how_many(run: Path, loop: str) -> None:
    search = "self_training" if loop == "baseline" else "main"
    first, *others = entries(run, "individual", search)
    assert first["genome"]["delta"]["learning"] is None
    learnt = [each for each in others if "self_training" in each["operators"]]
    kept = ["keep" in each["genome"]["delta"]["learning"] for each in learnt]
    assert any(kept) and all(kept) == (loop != "few labels")  # there, labels teach alone at first
    if loop != "baseline":
        assert "gradient_step" not in entries(run, "operators")[0]["rates"]
    tokens = [each["tokens"] for each in entries(run, "generation", search)]
    assert all(later - earlier > tokens[0] for earlier, later in pairwise(tokens))


def test_gold_of_unlabelled_rows_is_nowhere_in_the_run_but_the_audit(run: Path, loop: str) -> None:
    measures = [each["measures"] for each in entries(run, "individual", "main")]
    assert all(("gold" in each) == ("no gold" in loop or "without gold" in loop) for each in measures)
    test = result_of(run)["test"]
    assert (test["self_training"] is not None) == (loop == "baseline")
    assert (test["fine_tuning"] is not None) == (loop == "few labels")  # it learns labels, of which others know none
    [head] = entries(run, "run")
    assert "unlabelled: 30 rows without a label" in head["task"]["notes"]


@pytest.mark.parametrize("loop", ["few labels", "memetic without gold"], indirect=True)
def test_an_interrupted_run_goes_on_to_the_same_bytes(
    run: Path, loop: str, tiny_model_folder: Path, tmp_path: Path
) -> None:
    with quick():
        with pytest.raises(Crash):
            campaign(tmp_path / "c", tiny_model_folder, loop).run(
                tmp_path / "run", observers=[CrashAfterGeneration(1)]
            )
        continue_run(tmp_path / "run")
    assert bytes_of(tmp_path / "run") == bytes_of(run)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task__unlabelled": ""}, "strategy 'self_training': expected unlabelled rows to learn from"),
        (
            {"task__unlabelled": "", "strategy": MEMETIC, "operators": {"self_training": 1.0}},
            r"operators.self_training: expected unlabelled rows to learn from .*, found none",
        ),
        (
            {"task__unlabelled": "", "strategy": MEMETIC, "baselines__self_training": True},
            r"baselines.self_training: strategy 'self_training': expected unlabelled rows",
        ),
        ({"operators": {"self_training": 0.0}}, "operators.self_training: expected a weight above 0"),
        ({"task__unlabelled": "nowhere.csv"}, "nowhere.csv"),
        ({"self_training__keep": 0.0}, "self_training.keep"),
        ({"strategy": {**ALONE, "learning_rates": []}}, "learning_rates"),
    ],
)
def test_what_cannot_teach_is_one_sentence_and_nothing_is_written(
    changes: dict[str, Any], message: str, tiny_model_folder: Path, tmp_path: Path
) -> None:
    toy = campaign(tmp_path, tiny_model_folder, **changes)
    with pytest.raises(EvolmError, match=message) as caught:
        toy.run(tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_unlabelled_rows_add_the_operator_to_those_of_a_memetic_search(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    from evolm.campaign import build

    def chosen(**changes: Any) -> set[str]:
        toy = campaign(tmp_path, tiny_model_folder, strategy=MEMETIC, **changes)
        parts = build(toy.config, toy.folder)
        return {operator.name for operator, _ in parts.stages[0].choice.operators if operator.role == "learning"}

    assert {name for name in OPERATORS if "learning" in OPERATORS[name].role} >= {"gradient_step", "self_training"}
    assert {"gradient_step", "self_training"} <= chosen()
    assert "self_training" not in chosen(task__unlabelled="")
    assert "gradient_step" not in chosen(task__gold="audit", scorers={"margin": 1.0})
