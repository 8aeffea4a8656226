"""The written campaign.toml: it reads back, and says of every key what the configuration says."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolm.config import BudgetSection, CampaignConfig, SplitSection, validate
from evolm.operators import OPERATORS
from evolm.scaffold.toml_text import WIDTH, campaign_text, toml_value
from evolm.strategies import STRATEGIES

TABLES: dict[str, Any] = {
    "founders": ["founders.jsonl"],
    "model": {"name": "folder"},
    "task": {
        "data": "rows.csv",
        "columns": {"text": "the text", "label": "y"},
        "labels": {"0": 'so "so"', "a b": "ü"},
        "split": {"dev": 20, "balanced": True},
    },
    "scorers": {"label_likelihood": 1.0, "mine.scorers:short": {"weight": 0.5, "deep": {"x": [1, 2]}}},
    "strategy": {"name": "hill_climb", "patience": 4},
    "operators": {"instruction_swap": 0.0},
    "budget": {"evaluations": 7},
}

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
values = st.recursive(
    st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@given(values)
def test_any_value_reads_back(value: Any) -> None:
    assert tomllib.loads(f"x = {toml_value(value)}") == {"x": value}


def test_what_is_written_reads_back_as_the_same_campaign() -> None:
    why = {"task.labels": "they said so", "task.split": "why\nnot"}
    tables = tomllib.loads(campaign_text(TABLES, why, {"template.item": "{{ a }}"}))
    assert {name: table for name, table in tables.items() if name in TABLES} == TABLES
    assert validate(CampaignConfig, tables, "written") == validate(CampaignConfig, TABLES, "given")


def test_every_key_has_the_configuration_s_own_meaning_beside_it() -> None:
    text = campaign_text(TABLES, {}, {})
    meaning = BudgetSection.model_fields["evaluations"].description
    assert f"\nevaluations = 7  # {meaning}\n" in text
    assert f"\n# seconds = 0.0  # {BudgetSection.model_fields['seconds'].description}\n" in text
    assert f'\n# validation = "auto"  # {SplitSection.model_fields["validation"].description}\n' in text
    assert '\nname = "hill_climb"\n' in text
    assert " | ".join(STRATEGIES) in text.replace("\n# ", " ")
    assert f"\ninstruction_swap = 0.0  # {OPERATORS['instruction_swap'].summary}\n" in text
    assert '\n"mine.scorers:short" = {weight = 0.5, deep = {x = [1, 2]}}\n' in text


def test_a_commented_key_uncommented_still_reads_as_a_campaign() -> None:
    text = campaign_text(TABLES, {}, {"task.exclude": "^x$"})
    campaign = validate(
        CampaignConfig, tomllib.loads(re.sub(r"^# (?=\w+ = )", "", text, flags=re.MULTILINE)), "uncommented"
    )
    given = validate(CampaignConfig, TABLES, "given")
    assert campaign.task.exclude == "^x$"
    assert campaign.model_copy(update={"task": given.task}) == given


def test_reasons_and_long_meanings_stand_above_their_key() -> None:
    reason = "because " * 30
    text = campaign_text(TABLES, {"budget.evaluations": reason, "task.split": "half of them"}, {})
    before = text.partition("\nevaluations = 7")[0].splitlines()
    assert before[-3].startswith("# Here: because because") and before[-2].startswith("# because")
    assert "[task.split]\n# Here: half of them\n" in text
    assert all(len(line) <= WIDTH for line in text.splitlines())


def test_keys_that_a_kind_of_task_does_not_have_are_not_shown() -> None:
    task = {"data": "d", "columns": {"a": "b"}}
    text = campaign_text({"task": {**task, "kind": "generation"}}, {}, {})
    assert "labels = " not in text and "balanced = " not in text and "verbalizers = " not in text
    assert "# verbalizers = {}" in campaign_text({"task": task}, {}, {})


@pytest.mark.parametrize("kept", ["[task.split]", "[template]", "[space.prompt]"])
def test_tables_worth_knowing_are_shown_and_others_left_out(kept: str) -> None:
    text = campaign_text({"model": {"name": "m"}, "task": {"data": "d", "columns": {"a": "b"}}}, {}, {})
    assert kept in text
    assert "[generation]" not in text and "[baselines]" not in text and "[scorers]" not in text
