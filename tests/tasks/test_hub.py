"""Data sets of the hub, through the real package on a folder of that name; the hub itself is never asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from evolm.config import TaskSection, TemplateSection
from evolm.errors import ConfigError, DataError, PermissionNeeded
from evolm.tasks import How, load_task, read_table

datasets = pytest.importorskip("datasets")
pytestmark = pytest.mark.extras


@pytest.fixture
def pets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set ``acme/pets`` in the working directory: splits train (30 rows) and test (2 rows)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "acme" / "pets"
    for split, n in (("train", 30), ("test", 2)):
        columns = {
            "text": [f"{split} {row}" for row in range(n)],
            "sound": [row % 2 for row in range(n)],
            "options": [{"text": ["a cat", "a dog"], "label": ["A", "B"]}] * n,
        }
        data = datasets.Dataset.from_dict(columns).cast_column("sound", datasets.ClassLabel(names=["miau", "wuff"]))
        folder.mkdir(parents=True, exist_ok=True)
        data.to_parquet(folder / f"{split}.parquet")
    return folder


def test_rows_come_with_the_names_of_class_labels(pets: Path) -> None:
    table = read_table("datasets:acme/pets#test", root=Path(), trusted=True)
    frame, notes = table.frame, table.notes
    assert frame["text"].tolist() == ["test 0", "test 1"] and frame["sound"].tolist() == ["miau", "wuff"]
    assert frame["options"].tolist()[0] == {"text": ["a cat", "a dog"], "label": ["A", "B"]} and notes == []


def test_a_class_label_that_is_missing_stays_missing(pets: Path) -> None:
    data = datasets.load_dataset("acme/pets", split="test").map(lambda row: {"sound": -1})
    data.to_parquet(pets / "test.parquet")
    table = read_table("datasets:acme/pets#test", root=Path(), trusted=True)
    assert table.frame["sound"].isna().all()


def test_a_task_is_named_after_its_data_set(pets: Path) -> None:
    section = TaskSection(data="datasets:acme/pets#train", columns={"text": "text", "label": "sound"})
    task = load_task(section, TemplateSection(), root=Path(), trusted=True)
    assert (task.name, task.labels, sum(task.splits().values())) == ("pets", ("miau", "wuff"), 30)


def test_a_choice_task_reads_a_table_of_options(pets: Path) -> None:
    columns = {"text": "text", "options": "options"}
    section = TaskSection(kind="choice", data="datasets:acme/pets#train", columns=columns)
    task = load_task(section, TemplateSection(), root=Path(), trusted=True)
    assert {item.options for item in task.dev} == {("a cat", "a dog")}


def test_a_local_folder_of_that_name_is_not_read_on_a_campaign_files_word(pets: Path, tmp_path: Path) -> None:
    with pytest.raises(PermissionNeeded, match=r"found 'acme/pets' in the working directory; .*--set"):
        read_table("datasets:acme/pets#test", root=tmp_path, admitted=[tmp_path])


@pytest.mark.parametrize(
    ("name", "error", "named"),
    [
        ("acme/pets", ConfigError, "expected #SPLIT at the end, one of 'train', 'test', found none"),
        ("acme/pets#dev", DataError, "'datasets:acme/pets#dev': cannot be read: Unknown split"),
        ("acme/pets/large#test", DataError, "BuilderConfig 'large' not found"),
    ],
)
def test_what_a_data_set_does_not_have_is_named(pets: Path, name: str, error: type[Exception], named: str) -> None:
    with pytest.raises(error) as caught:
        read_table(f"datasets:{name}", root=Path(), trusted=True)
    assert named in str(caught.value) and "\n" not in str(caught.value)


def test_the_only_split_need_not_be_named(pets: Path) -> None:
    (pets / "train.parquet").unlink()
    table = read_table("datasets:acme/pets", How(pattern="x"), root=Path(), trusted=True)
    assert len(table.frame) == 2 and table.notes == ["`pattern` not used: data sets are read as tables"]


def test_a_data_set_that_is_not_here_while_offline_is_one_sentence(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    with pytest.raises(DataError) as caught:
        read_table("datasets:acme/pets", root=tmp_path)
    assert str(caught.value) == (
        "'datasets:acme/pets': cannot be read: Couldn't reach 'acme/pets' on the Hub (OfflineModeIsEnabled)"
    )
