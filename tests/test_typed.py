"""What users type: places below ``~``, byte order marks, escapes and backslashes."""

from __future__ import annotations

import codecs
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import evolm as library
from evolm import config as configuration
from evolm.artifacts import find_prompt
from evolm.artifacts.prompt_record import PromptRecord
from evolm.campaign import build
from evolm.config import CampaignConfig, parse_assignments, validate
from evolm.errors import ConfigError
from evolm.founders.files import read_lines
from evolm.models.conversion import cache_folder
from evolm.typed import at_home, text_of
from tests.support.command_line import evolm, refused
from tests.support.toy_campaign import ToyCampaign

TABLES: dict[str, Any] = {"model": {"name": "m"}, "task": {"data": "d.csv", "columns": {"text": "text"}}}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder, and another working directory."""
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "home"


# -- ~ --------------------------------------------------------------------------------------------------------


def test_every_place_of_a_campaign_file_may_begin_at_home(home: Path) -> None:
    files = {"data": {"train": "~/a.csv", "dev": "~/b.csv"}}
    tables = TABLES | {"founders": ["~/f.jsonl"], "model": {"name": "~/tiny"}, "task": TABLES["task"] | files}
    config = validate(CampaignConfig, tables, "campaign.toml")
    assert config.model.name == f"{home}/tiny"
    assert config.founders == [f"{home}/f.jsonl"]
    assert list(config.task.data) == [("train", f"{home}/a.csv"), ("dev", f"{home}/b.csv"), ("test", "")]
    assert at_home("package:x/~y") == "package:x/~y"


def test_a_campaign_at_home_runs_predicts_and_scores(
    home: Path, toy: Callable[..., ToyCampaign], tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_model_folder, home / "models" / "tiny")
    campaign = toy(model__name="~/models/tiny", budget={"evaluations": 2}, baselines={"random_search": False})
    shutil.copytree(campaign.folder, home / "toy")
    said = evolm("run", "~/toy", "--out=~/runs/first")
    assert said.exit_code == 0, said.output
    assert evolm("report", "~/runs/first").exit_code == 0
    said = evolm("predict", "~/runs/first", "~/toy/toy.csv", "--out", "~/predicted.csv")
    assert said.exit_code == 0, said.output
    assert evolm("score", "~/runs/first", "~/toy/toy.csv", "--out=~/score.json").exit_code == 0
    assert {path.name for path in home.iterdir()} == {"models", "toy", "runs", "predicted.csv", "score.json"}
    result = library.load_result("~/runs/first")
    assert len(result.predict("~/toy/toy.csv")) == 60
    result.export("~/exported")
    assert (home / "exported" / "prompt.json").exists()
    assert list(Path().iterdir()) == []


def test_the_cache_may_be_at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOLM_CACHE", "~/x")
    assert cache_folder() == home / "x"


def test_data_at_home_needs_the_permission_that_any_other_place_needs(
    home: Path, toy: Callable[..., ToyCampaign]
) -> None:
    campaign = toy(task__data="~/toy.csv")
    shutil.move(campaign.folder / "toy.csv", home / "toy.csv")
    refused(evolm("run", campaign.folder, "--dry-run"), "expected a path in the campaign's folder, found one outside")
    assert evolm("run", campaign.folder, "--dry-run", "--data-root", "~").exit_code == 0
    assert evolm("run", campaign.folder, "--dry-run", "--set", "task.data=~/toy.csv").exit_code == 0


# -- byte order marks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_files_of_any_editor_are_read(encoding: str, toy: Callable[..., ToyCampaign]) -> None:
    campaign = toy()
    for name in ("campaign.toml", "founders.jsonl"):
        path = campaign.folder / name
        path.write_text(path.read_text(encoding="utf-8"), encoding=encoding, newline="\r\n")
    parts = build(configuration.load(campaign.folder / "campaign.toml"), campaign.folder)
    parts.engine.close()
    assert "Is it spam, or ham?" in [genome.prompt.instruction for genome in parts.founders.genomes]


def test_a_saved_prompt_may_have_a_byte_order_mark(finished: Path, tmp_path: Path) -> None:
    saved = find_prompt(finished)
    (tmp_path / "prompt.json").write_bytes(codecs.BOM_UTF8 + saved.read_bytes())
    assert PromptRecord.read(tmp_path / "prompt.json") == PromptRecord.read(saved)


def test_a_line_separator_within_an_instruction_ends_no_line(tmp_path: Path) -> None:
    instruction = "One.\u2028Two.\x85Three."
    path = tmp_path / "founders.jsonl"
    path.write_text(json.dumps({"instruction": instruction}, ensure_ascii=False) + "\n", encoding="utf-8")
    [(record, where)] = read_lines(path, "founders.jsonl").records
    assert (record["instruction"], where) == (instruction, "founders.jsonl:1")


def test_text_that_is_neither_is_refused(tmp_path: Path) -> None:
    (tmp_path / "campaign.toml").write_bytes("name = 'é'".encode("latin-1"))
    with pytest.raises(UnicodeDecodeError):
        text_of(tmp_path / "campaign.toml")
    refused(evolm("run", tmp_path), "campaign.toml: cannot be read: .*utf-8")


# -- keys and values -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ['[task.labels]\n1.0 = "bad"\n2.5 = "good"', 'task.labels."1.0" = "bad"\ntask.labels.2.5 = "good"'],
)
def test_numbers_are_keys_of_labels_without_quotes(text: str, tmp_path: Path) -> None:
    path = tmp_path / "campaign.toml"
    path.write_text(
        f'model.name = "m"\ntask.data = "d.csv"\ntask.columns = {{ text = "t", label = "l" }}\n{text}\n',
        encoding="utf-8",
    )
    assert configuration.load(path).task.labels == {"1.0": "bad", "2.5": "good"}
    changed = configuration.load(path, parse_assignments(["task.labels.2.5=fine"]))
    assert changed.task.labels == {"1.0": "bad", "2.5": "fine"}


def test_labels_with_points_are_keys_of_ranges_and_verbalizers_without_quotes() -> None:
    assignments = parse_assignments(["task.bins={ approx.low = [1, 2], high = [4, 5] }"])
    tables = configuration.overlay({**TABLES, "task": {**TABLES["task"]}}, assignments)
    tables["space"] = {"prompt": {"verbalizers": {"approx": {"low": ["poor"]}}}}
    config = validate(CampaignConfig, tables, "campaign.toml")
    assert list(config.task.bins) == ["approx.low", "high"]
    assert config.space.prompts.verbalizers == {"approx.low": ["poor"]}


@pytest.mark.parametrize(
    ("assignment", "key"),
    [
        (r"template.separator=\n\n", "template.separator"),
        (r"template.separator='\n'", "template.separator"),
        (r"template.item={{ text }}\nLabel:", "template.item"),
        (r"generation.stop_strings=['\n']", "generation.stop_strings"),
    ],
)
def test_an_escape_that_nothing_reads_is_refused_with_what_to_type(assignment: str, key: str) -> None:
    tables = configuration.overlay(dict(TABLES), parse_assignments([assignment]))
    with pytest.raises(ConfigError) as caught:
        validate(CampaignConfig, tables, "campaign.toml")
    assert str(caught.value).endswith(f"""double quotes: {key} = "\\n", or --set '{key}="\\n"'""")


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        (r'template.separator="\n\n"', "\n\n"),
        (r"template.system=Use \nabla, \times and \rho.", r"Use \nabla, \times and \rho."),
        (r"template.item={{ text.replace('\n', ' ') }}", r"{{ text.replace('\n', ' ') }}"),
        (r"model.name=C:\models\tiny", r"C:\models\tiny"),
        (r"model.name='C:\new\tiny'", r"C:\new\tiny"),
        (r"task.pattern=(?P<text>\w+)\n", r"(?P<text>\w+)\n"),
    ],
)
def test_backslashes_that_are_meant_stay(assignment: str, value: str) -> None:
    tables = configuration.overlay(json.loads(json.dumps(TABLES)), parse_assignments([assignment]))
    table, key = assignment.partition("=")[0].split(".")
    assert getattr(getattr(validate(CampaignConfig, tables, "campaign.toml"), table), key) == value


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (r'name = "C:\models\tiny"', r"Unescaped .*line 2.*; write a path with backslashes in single quotes"),
        (r'name = "C:\Users\me"', r"; write a path with backslashes in single quotes"),
        (
            r'name = "C:\new\tiny"',
            r"expected a path, found a control character; write a path with backslashes in single quotes",
        ),
        ("name = tiny", r"Invalid value \(at line 2, column 8\); text stands in quotes"),
    ],
)
def test_a_line_that_toml_reads_otherwise_is_refused_with_what_to_type(
    line: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "campaign.toml").write_text(
        f'[model]\n{line}\n[task]\ndata = "d.csv"\ncolumns = {{ text = "t" }}\n', encoding="utf-8"
    )
    refused(evolm("run", tmp_path), message)


def test_a_value_in_quotes_that_is_no_toml_is_refused() -> None:
    refused(
        evolm("run", "sms-spam", "--set", r'model.name="C:\models\tiny"'),
        r"--set model.name: expected TOML in quotes, found .*; write a path with backslashes in single quotes",
    )


def test_a_home_that_is_not_known_leaves_the_place_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "expanduser", lambda place: place)
    assert at_home("~/x") == "~/x"
