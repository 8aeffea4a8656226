"""Founding populations: found by path, by file, by name; every shipped one is valid."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from evolm.config import load
from evolm.errors import ConfigError
from evolm.founders.files import chromosomes_of
from evolm.founders.populations import find_population, shipped_populations


def test_sms_spam_is_shipped() -> None:
    assert shipped_populations()["sms-spam"] == find_population("sms-spam")


@pytest.mark.parametrize("name", shipped_populations())
def test_a_shipped_population_reads_only_packages_and_its_own_folder(name: str) -> None:
    folder = shipped_populations()[name]
    config = load(folder / "campaign.toml")
    data = config.task.data
    for source in [data] if isinstance(data, str) else data.model_dump().values():
        written = (folder / "extract.py").exists()  # writes the file beside it
        assert not source or source.startswith("package:") or (folder / source).exists() or written
    made = name == "from-scratch"  # by `evolm pretrain`, as its README says
    assert config.model.name == "./model" if made else config.model.name.startswith("package:")
    assert all(":" not in scorer for scorer in config.scorers)
    assert ":" not in config.strategy.get("name", "")
    for source in config.founders:
        records = [json.loads(line) for line in (folder / source).read_text(encoding="utf-8").splitlines()]
        assert records
        assert all(isinstance(chromosomes_of(record)["prompt"]["instruction"], str) for record in records)


def test_a_folder_or_its_campaign_file_is_taken_before_a_shipped_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "sms-spam"
    folder.mkdir()
    (folder / "campaign.toml").touch()
    monkeypatch.chdir(tmp_path)
    assert find_population("sms-spam") == Path("sms-spam")
    assert find_population(str(folder / "campaign.toml")) == folder


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sms-spm", r"'sms-spm': expected a folder with a campaign.toml or one of .*; did you mean 'sms-spam'\?"),
        ("", r"campaign.toml"),
        ("other.toml", r"'other.toml': expected a folder"),
        (".", r"expected a campaign.toml in this folder, found none"),
    ],
)
def test_what_is_no_population_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.toml").touch()
    with pytest.raises(ConfigError, match=message):
        find_population(name)


def test_rows_of_functions_are_their_first_line_and_what_follows_it() -> None:
    path = shipped_populations()["function-docs"] / "extract.py"
    spec = importlib.util.spec_from_file_location("extract", path)
    assert spec and spec.loader
    extract = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(extract)
    described = "It is counted over all rows, and a row without a value is left out of the count, as in a database."
    source = f'''
def counted(rows):
    """Return the number of rows.

    {described}

    Parameters
    ----------
    rows : list
    """

def _hidden(rows):
    """Return the number of rows.

    {described}
    """

def short(rows):
    """Return the number of rows."""
'''
    assert list(extract.documented(source)) == [{"summary": "Return the number of rows.", "description": described}]
    assert list(extract.documented("def broken(")) == []
