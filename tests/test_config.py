"""``campaign.toml``: what is wrong is said in one sentence, what is right reads back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evolm.config import CampaignConfig, load, overlay, parse_assignments, read_tables, validate
from evolm.errors import ConfigError

MINIMAL = """
[model]
name = "folder"
[task]
data = "rows.csv"
columns = {text = "t", label = "y"}
"""


def written(folder: Path, text: str = "") -> Path:
    path = folder / "campaign.toml"
    path.write_text(MINIMAL + text, encoding="utf-8")
    return path


def refusal(path: Path, overrides: dict[str, Any] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path, overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_three_keys_are_enough(tmp_path: Path) -> None:
    campaign = load(written(tmp_path))
    assert campaign.strategy == {"name": "genetic"}
    assert campaign.scorers == {}
    assert campaign.budget.evaluations == 200
    assert campaign.task.split.test == 0.4


@pytest.mark.parametrize("key", ["name", "data", "columns"])
def test_each_of_the_three_is_required(key: str, tmp_path: Path) -> None:
    path = tmp_path / "campaign.toml"
    path.write_text("\n".join(line for line in MINIMAL.splitlines() if not line.startswith(key)), encoding="utf-8")
    assert f"{key}' is required and missing" in refusal(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[budget]\nevaluation = 3", "unknown key 'budget.evaluation'; did you mean 'evaluations'?"),
        ("[bugdet]\nevaluations = 3", "unknown key 'bugdet'; did you mean 'budget'?"),
        ("[space.prompt]\nmax_token = 3", "unknown key 'space.prompt.max_token'; did you mean 'max_tokens'?"),
        ("split = {trian = 0.5}", "unknown key 'task.split.trian'; did you mean 'train'?"),
        ("[baselines]\nfew_shot = 3", "'baselines.few_shot' is 3"),
        ("[budget]\nevaluations = 'many'", "'budget.evaluations' is 'many'"),
        ("[budget]\nevaluations = -1", "'budget.evaluations' is -1"),
        ("[budget]\nseconds = nan", "'budget.seconds' is nan"),
        ("[fitness]\ncombine = 'max'", "'fitness.combine' is 'max'"),
        ("[generation]\nstop_strings = ['']", "'generation.stop_strings' is ['']"),
        ("max_chars = 'x'", "'task.max_chars' is 'x'"),
        ("[model", "expected TOML"),
    ],
)
def test_what_is_wrong_is_named(text: str, message: str, tmp_path: Path) -> None:
    found = refusal(written(tmp_path, text))
    assert message in found
    assert "campaign.toml" in found


def test_another_version_of_the_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "campaign.toml"
    path.write_text("schema = 2\n" + MINIMAL, encoding="utf-8")
    assert "'schema' is 2" in refusal(path)


def test_a_misspelt_key_of_a_file_per_split_is_named(tmp_path: Path) -> None:
    path = tmp_path / "campaign.toml"
    path.write_text(MINIMAL.replace('"rows.csv"', '{dve = "a.csv", dev = "b.csv"}'), encoding="utf-8")
    assert "did you mean 'dev'?" in refusal(path)


def test_a_missing_or_unreadable_file_is_refused(tmp_path: Path) -> None:
    assert "expected a campaign file, found none" in refusal(tmp_path / "campaign.toml")
    (tmp_path / "campaign.toml").write_bytes(b"\xff")
    assert "cannot be read" in refusal(tmp_path / "campaign.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_tables(tmp_path)


def test_a_campaign_reads_back_what_it_writes(tmp_path: Path) -> None:
    text = (
        'labels = {0 = "ham", 1 = "spam \\"x\\" ü"}\nexclude = "a\\\\d"\n'
        '[template]\nitem = """\nText: {{ text }}\nLabel:"""\n'
        "[space.prompt]\ndemonstrations = [1, 3]\nverbalizers = {ham = ['ok', 'fine']}\n"
        "[scorers]\nlabel_likelihood = {weight = 2.0, normalization = 'sum'}\n"
        "[strategy]\nname = 'hill_climb'\npatience = 4\n[operators]\ndemonstrations_add = 0.0\n"
    )
    campaign = load(written(tmp_path, text))
    again = tmp_path / "again.toml"
    again.write_text(campaign.to_toml(), encoding="utf-8")
    assert load(again) == campaign
    assert load(again).to_toml() == campaign.to_toml()
    assert campaign.task.labels == {"0": "ham", "1": 'spam "x" ü'}


def test_values_cannot_be_changed_afterwards(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(written(tmp_path)).budget.evaluations = 5  # type: ignore[misc]


# -- overrides -----------------------------------------------------------------------------------------------


def test_assignments_are_toml_where_they_can_be_and_text_where_not() -> None:
    tables = parse_assignments(
        ["budget.evaluations=50", "model.dtype=float32", "task.split.train = 0.5", "founders=['a', 'b']", "name=a=b"]
    )
    assert tables == {
        "budget": {"evaluations": 50},
        "model": {"dtype": "float32"},
        "task": {"split": {"train": 0.5}},
        "founders": ["a", "b"],
        "name": "a=b",
    }
    assert parse_assignments(["a.b=true", "a.c=false"]) == {"a": {"b": True, "c": False}}
    outside = parse_assignments(['scorers."mine.scores:Length"=2', "labels.naïve=a b"])
    assert outside == {"scorers": {"mine.scores:Length": 2}, "labels": {"naïve": "a b"}}
    assert parse_assignments(["name=", "x=a = 1\nb"]) == {"name": "", "x": "a = 1\nb"}


@pytest.mark.parametrize("text", ["budget.evaluations", "=5", "budget.=5", ".a=1", "#=1", ""])
def test_an_assignment_without_key_or_value_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected key=value"):
        parse_assignments([text])


def test_overrides_win_table_by_table(tmp_path: Path) -> None:
    path = written(tmp_path, "[budget]\nevaluations = 7\nplateau = 3")
    campaign = load(path, parse_assignments(["budget.evaluations=9"]))
    assert (campaign.budget.evaluations, campaign.budget.plateau) == (9, 3)
    assert "did you mean 'plateau'?" in refusal(path, {"budget": {"plataeu": 1}})


def test_another_strategy_drops_the_old_ones_keys(tmp_path: Path) -> None:
    path = written(tmp_path, "[strategy]\nname = 'genetic'\nelites = 3")
    assert load(path, {"strategy": {"name": "hill_climb"}}).strategy == {"name": "hill_climb"}
    assert load(path, {"strategy": {"name": "genetic"}}).strategy == {"name": "genetic", "elites": 3}
    assert load(path, {"strategy": {"elites": 1}}).strategy == {"name": "genetic", "elites": 1}


def test_overlaying_leaves_the_changes_alone() -> None:
    changes = {"a": {"b": {"c": 1}}}
    base = overlay({}, changes)
    overlay(base, {"a": {"b": {"c": 2}}})
    assert base == {"a": {"b": {"c": 2}}}


def test_a_section_says_where_it_stands() -> None:
    with pytest.raises(ConfigError, match=r"\[strategy\] x: unknown key 'nmae'; did you mean 'name'"):
        validate(
            CampaignConfig, {"nmae": 1, "model": {"name": "m"}, "task": {"data": "d", "columns": {}}}, "[strategy] x"
        )
