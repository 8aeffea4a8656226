"""Names of the hub's data sets; neither the hub nor the package ``datasets`` is needed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from evolm.errors import ConfigError, DataError
from evolm.tasks import read_table
from evolm.tasks.tables.hub import DatasetName


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("datasets:acme/pets", ("acme", "pets", "", "")),
        ("datasets:acme/pets#train[:10%]", ("acme", "pets", "", "train[:10%]")),
        ("datasets:Acme-1/pets.v2/en-US", ("Acme-1", "pets.v2", "en-US", "")),
        ("datasets:acme/pets/plain_text#test", ("acme", "pets", "plain_text", "test")),
    ],
)
def test_a_name_has_an_owner_and_may_have_a_config_and_a_split(source: str, expected: tuple) -> None:
    name = DatasetName.parse(source)
    assert (name.owner, name.name, name.config, name.split) == expected


@pytest.mark.parametrize(
    "name", ["", "imdb", "csv", "/etc/passwd", "../acme/pets", "./pets", "a/b/c/d", "a/..", "a/b#", "a/b/../c", "~/x"]
)
def test_a_name_that_could_be_a_path_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="expected datasets:OWNER/NAME"):
        read_table(f"datasets:{name}", root=Path())


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"not installed; try: pip install 'evolm\[datasets\]'"):
        read_table("datasets:acme/pets", root=Path())
