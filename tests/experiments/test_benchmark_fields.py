"""Fields of the benchmarks: variants of a population's own, and the table of what is finished, on the tiny model."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import field as fields
from benchmarks.field import Field
from benchmarks.self_feedback import FIELD
from benchmarks.setting import with_earlier
from evolm.config import overlay
from evolm.errors import RunError
from evolm.experiments.finished_runs import is_finished
from evolm.experiments.sweep import Sweep, run_sweep, strategy_variants
from tests.support.toy_campaign import ToyCampaign, quick

SMALL: dict[str, Any] = {"budget": {"evaluations": 4}, "baselines": {"few_shot": True, "prior_corrected": False}}


def small_field(toy: ToyCampaign, seeds: int) -> Field:
    population = toy.folder.name
    return Field(
        "toy",
        strategy_variants(["random_search", "genetic"]),
        {population: SMALL},
        pairs=[("hill_climb", "random_search"), ("hill_climb", "absent")],
        seeds=range(seeds),
        own={
            population: {
                "random_search": {"strategy": {"name": "random_search"}},
                "hill_climb": {"strategy": {"name": "hill_climb"}, "baselines": {"few_shot": False}},
            }
        },
    )


def in_last_layer(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables of a variant for a model of two layers."""
    changed = {"space": {"delta": {"layers": "last:1"}}} if tables["space"]["delta"] else {}
    return overlay(copy.deepcopy(dict(tables)), changed)


def run_cells(sweep: Sweep) -> None:
    with quick():
        run_sweep(sweep)


def test_the_table_holds_the_cells_that_are_finished(
    toy: Callable[..., ToyCampaign], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, out, results = toy(), tmp_path / "out", tmp_path / "results"
    results.mkdir()
    monkeypatch.chdir(here.folder.parent)
    monkeypatch.setattr("benchmarks.setting.RESULTS", results)
    monkeypatch.setattr(fields, "RESULTS", results)
    one, two = small_field(here, 1), small_field(here, 2)
    (population,) = one.populations

    with pytest.raises(RunError, match="expected two or more finished variants of a population, found none"):
        one.write(out, "toy")
    assert not list(results.iterdir())

    run_cells(one.sweep(population, one.seeds, out))
    second = two.sweep(population, [1], out)
    run_cells(replace(second, cells=second.cells[:1]))  # a second seed of the first variant alone
    with quick():
        two.write(out, "toy --finished")

    written = json.loads((results / "toy.json").read_text(encoding="utf-8"))
    record = written["populations"][population]
    assert written["setting"]["command"] == "python -m benchmarks.toy --finished"
    assert [group["name"] for group in record["groups"]] == ["random_search", "hill_climb"]
    assert (record["seeds"], record["left_out"]) == ([0], {"random_search": [1]})
    assert [pair["first"] for pair in record["pairs"]] == ["hill_climb"]
    for group in record["groups"]:
        assert group["spent"]["evaluations"] == 4
        assert group["spent"]["tokens"] > 0
        assert ("few_shot" in group["baselines"]) == (group["name"] == "random_search")
        assert "runs" not in group
    assert (results / "toy.png").exists()


@pytest.mark.slow
@pytest.mark.extras
@pytest.mark.parametrize("population", FIELD.populations)
def test_every_way_of_improvement_runs_on_its_task(population: str, tiny_model_folder: Path, tmp_path: Path) -> None:
    tiny = {
        "model": {"name": str(tiny_model_folder), "dtype": "float32"},
        "budget": {"tokens": 4_000},
        "self_training": {"rows": 16, "warm_up": 2},
        "task": {"split": {"dev": 12, "validation": 12, "test": 24}},
    }
    small = overlay(copy.deepcopy(dict(FIELD.populations[population])), tiny)
    if population == "past-tense":
        small["learning"] = {"reward": "chrf"}  # the tiny model writes no right answer
    variants = {name: in_last_layer(tables) for name, tables in FIELD.variants_of(population).items()}
    shrunk = replace(FIELD, populations={population: small}, own={population: variants})
    sweep = shrunk.sweep(population, [100], tmp_path / "out")
    run_cells(sweep)
    assert {cell.variant for cell in sweep.cells} == set(FIELD.variants_of(population))
    assert all(is_finished(cell.directory) for cell in sweep.cells)


def test_populations_that_were_not_measured_now_stay_with_their_setting() -> None:
    first, second = {"command": "one", "commit": "a"}, {"command": "two", "commit": "b"}
    spam, trec, new = {"groups": [1]}, {"groups": [2]}, {"groups": [3]}
    earlier = {"setting": first, "populations": {"spam": spam, "trec": trec}}
    assert with_earlier({"spam": new}, earlier, second) == {
        "spam": {**new, "setting": second},
        "trec": {**trec, "setting": first},
    }
    part = {**first, "limits": {}, "populations": {"spam": spam}}  # its setting is beside its populations
    merged = with_earlier({"trec": new}, part, second)
    assert merged == {"trec": {**new, "setting": second}, "spam": {**spam, "setting": first}}
    assert with_earlier({}, {"setting": second, "populations": merged}, second) == {
        "trec": merged["trec"],
        "spam": merged["spam"],
    }
    assert with_earlier({"spam": new}, {}, first) == {"spam": {**new, "setting": first}}
