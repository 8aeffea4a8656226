"""The JSON Schema of campaign.toml: it takes what the program takes, and refuses what it refuses."""

from __future__ import annotations

import copy
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from evolm import config as configuration
from evolm.cli import app
from evolm.config import CampaignConfig, OperatorsSection, validate
from evolm.errors import ConfigError
from evolm.founders.populations import shipped_populations
from evolm.operators import OPERATORS
from evolm.schema import campaign_schema
from evolm.scorers import SCORERS
from evolm.strategies import STRATEGIES
from evolm.tasks import KINDS, METRICS
from tests.support.toy_campaign import TABLES, merged

MINIMAL = {"model": {"name": "folder"}, "task": {"data": "rows.csv", "columns": {"text": "t", "label": "y"}}}


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    Draft202012Validator.check_schema(campaign_schema())
    return Draft202012Validator(campaign_schema())


def with_keys(**changes: Any) -> dict[str, Any]:
    """The smallest campaign with keys set, their dots as ``__``."""
    return merged(copy.deepcopy(MINIMAL), {key.replace("__", "."): value for key, value in changes.items()})


def test_the_command_prints_it() -> None:
    said = CliRunner().invoke(app, ["schema"])
    assert said.exit_code == 0
    assert json.loads(said.stdout) == campaign_schema()


@pytest.mark.parametrize("folder", shipped_populations().values(), ids=shipped_populations())
def test_shipped_campaigns_fit_with_and_without_their_defaults(folder: Path, schema: Draft202012Validator) -> None:
    path = folder / "campaign.toml"
    schema.validate(tomllib.loads(path.read_text(encoding="utf-8")))
    schema.validate(tomllib.loads(configuration.load(path).to_toml()))


def test_the_resolved_campaign_of_a_run_fits(finished: Path, schema: Draft202012Validator) -> None:
    schema.validate(tomllib.loads((finished / "campaign.toml").read_text(encoding="utf-8")))


GOOD: dict[str, dict[str, Any]] = {
    "minimal": {},
    "toy": TABLES | {"model": {"name": "folder"}},
    "files per split": with_keys(task__data={"dev": "a.csv", "test": "b.csv"}),
    "words without gold": with_keys(task__labels=["a", "b"]),
    "options": with_keys(
        task__kind="choice", task__columns={"q": "q", "options": ["A", "B"]}, task__metric="accuracy"
    ),
    "own metric": with_keys(task__kind="generation", task__metric=""),
    "a strategy's name": with_keys(strategy="auto"),
    "stages": with_keys(stage=[{"strategy": "genetic", "space": "prompt"}, {"space": ["delta"], "share": 2}]),
    "stages in short": with_keys(stage="prompt -> delta"),
    "default strategy's keys": with_keys(strategy={"population_size": 5}),
    "outside code": with_keys(
        strategy={"name": "my.module:Mine", "depth": 3},
        scorers={"my_scorers:short": {"a": 1}},
        space={"my.module:Mine": {"b": 2}},
    ),
    "table of a scorer": with_keys(scorers={"label_likelihood": {"weight": 2.0}, "margin": 1}),
}


@pytest.mark.parametrize("changes", GOOD.values(), ids=GOOD.keys())
def test_good_campaigns_fit(changes: dict[str, Any], schema: Draft202012Validator) -> None:
    campaign = MINIMAL | changes
    validate(CampaignConfig, campaign, "good")
    schema.validate(campaign)


MISSPELT: dict[str, dict[str, Any]] = {
    "table": with_keys(bugdet={"evaluations": 3}),
    "key": with_keys(budget__evaluation=3),
    "key of a split": with_keys(task__split__trian=0.5),
    "key of a file per split": with_keys(task__data={"dve": "a.csv", "dev": "b.csv"}),
    "strategy": with_keys(strategy__name="genetics"),
    "key of a strategy": with_keys(strategy={"name": "genetic", "populationsize": 5}),
    "another strategy's key": with_keys(strategy={"name": "hill_climb", "population_size": 5}),
    "keys of no strategy": with_keys(strategy={"patience": 3}),
    "scorer": with_keys(scorers={"likelihood": 1.0}),
    "key of a scorer": with_keys(scorers={"label_likelihood": {"wieght": 1.0}}),
    "operator": with_keys(operators={"instruction_drop": 1.0}),
    "kind": with_keys(task__kind="classify"),
    "metric": with_keys(task__metric="acuracy"),
    "metric of another kind": with_keys(task__metric="chrf"),
    "metric of the default kind": with_keys(task__kind="generation", task__metric="balanced_accuracy"),
    "kind of chromosome": with_keys(space={"promt": {}}),
    "no scorer's table": with_keys(scorers={"label_likelihood": "much"}),
    "missing model": {"task": MINIMAL["task"]},
    "missing data": {**MINIMAL, "task": {"columns": {"text": "t"}}},
}


@pytest.mark.parametrize("campaign", MISSPELT.values(), ids=MISSPELT.keys())
def test_misspelt_names_and_missing_keys_do_not_fit(campaign: dict[str, Any], schema: Draft202012Validator) -> None:
    assert not schema.is_valid(campaign)


WRONG: dict[str, dict[str, Any]] = {
    "schema": with_keys(schema=2),
    "text for a number": with_keys(budget__evaluations="many"),
    "negative": with_keys(budget__evaluations=-1),
    "fraction for a count": with_keys(budget__evaluations=1.5),
    "word of no enumeration": with_keys(model__dtype="float16"),
    "combine": with_keys(fitness__combine="product"),
    "columns in a list": with_keys(task__columns=["text", "label"]),
    "labels as a word": with_keys(task__labels="ham"),
    "three bounds": with_keys(space__prompt__demonstrations=[0, 1, 2]),
    "no dev": with_keys(task__split__dev=0),
    "founders as a word": with_keys(founders="founders.jsonl"),
    "workers": with_keys(evaluation__n_jobs="all"),
    "table for a value": with_keys(seed={"deep": 3}),
    "value for a table": with_keys(task=3),
    "a list of operators": with_keys(operators=["instruction_swap"]),
}


@pytest.mark.parametrize("campaign", WRONG.values(), ids=WRONG.keys())
def test_types_that_the_configuration_refuses_do_not_fit(
    campaign: dict[str, Any], schema: Draft202012Validator
) -> None:
    with pytest.raises(ConfigError):
        validate(CampaignConfig, campaign, "wrong")
    assert not schema.is_valid(campaign)


@pytest.mark.parametrize("name", STRATEGIES)
def test_values_of_a_strategy_are_those_of_its_params(name: str, schema: Draft202012Validator) -> None:
    defaults = {key: field.get_default() for key, field in STRATEGIES[name].Params.model_fields.items()}
    schema.validate(with_keys(strategy={"name": name, **defaults}))
    for key in defaults:
        assert not schema.is_valid(with_keys(strategy={"name": name, **defaults, key: {"wrong": 1}}))


@pytest.mark.parametrize("name", SCORERS)
def test_values_of_a_scorer_are_those_of_its_params(name: str, schema: Draft202012Validator) -> None:
    fields = SCORERS[name].Params.model_fields
    defaults = {key: field.get_default(call_default_factory=True) for key, field in fields.items()}
    table = json.loads(json.dumps(defaults))
    schema.validate(with_keys(scorers={name: table}))
    schema.validate(with_keys(scorers={name: 0.5}))
    for key in defaults:
        assert not schema.is_valid(with_keys(scorers={name: {**table, key: {"wrong": 1}}}))


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_its_own_metrics(kind: str, schema: Draft202012Validator) -> None:
    for metric in METRICS.values():
        assert schema.is_valid(with_keys(task__kind=kind, task__metric=metric.name)) == (
            KINDS[kind].form in metric.forms
        )


def test_an_editor_is_told_what_every_name_means() -> None:
    schema = campaign_schema()

    def followed(part: dict[str, Any]) -> dict[str, Any]:
        return schema["$defs"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part

    keys = {name: followed(key) for name, key in schema["properties"].items()}
    assert {"writer": OperatorsSection.model_fields["writer"].description} | {
        operator.name: operator.summary for operator in OPERATORS.values()
    } == {name: key["description"] for name, key in keys["operators"]["properties"].items()}
    assert set(keys["scorers"]["properties"]) == set(SCORERS)
    branches = [followed(branch) for branch in keys["strategy"]["anyOf"][0]["oneOf"]]
    assert [branch["title"] for branch in branches] == [*STRATEGIES, "auto", "package.module:attribute"]
    assert all(part["description"] for part in [*keys["scorers"]["properties"].values(), *branches])
