"""prompt.json: one model writes and reads it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evolm.artifacts import PromptRecord, find_prompt
from evolm.errors import ConfigError


def test_a_prompt_is_read_as_it_was_written_to_the_byte(finished: Path) -> None:
    folders = [finished / "best", *(finished / "baselines").iterdir()]
    assert len(folders) > 1
    for folder in folders:
        path = folder / "prompt.json"
        assert PromptRecord.read(path).to_json() == path.read_text(encoding="utf-8")


def test_the_file_has_all_keys_of_the_template_also_those_with_default_values(finished: Path) -> None:
    found = json.loads(find_prompt(finished).read_text(encoding="utf-8"))
    assert set(found["template"]) == {"item", "answer", "separator", "system"}
    assert {"answers", "prior", "normalization", "generation"} <= set(found)
    assert "delta" not in found and "left_out" not in found


def test_another_name_of_the_model_changes_nothing_else(finished: Path) -> None:
    record = PromptRecord.read(find_prompt(finished))
    moved = record.with_model_name("elsewhere")
    assert moved.model.name == "elsewhere"
    assert moved.with_model_name(record.model.name) == record


def test_a_key_that_is_unknown_is_refused_with_its_place(finished: Path, tmp_path: Path) -> None:
    found = json.loads(find_prompt(finished).read_text(encoding="utf-8"))
    path = tmp_path / "prompt.json"
    path.write_text(json.dumps({**found, "templat": {}}), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"prompt\.json.*templat"):
        PromptRecord.read(path)
