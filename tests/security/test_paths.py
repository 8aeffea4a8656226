"""Paths that lead elsewhere: links in a run's directory, names with .., and files that are no files."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from evolm.data_access import locate
from evolm.errors import DataError, EvolmError, PermissionNeeded, RunError
from evolm.storage import read_checkpoint
from tests.support.command_line import evolm, refused
from tests.support.sealed import sealed
from tests.support.toy_campaign import ToyCampaign, toy_rows, write_rows

# Files of a run that resuming or a report would write, or read into a page, and where a link would lead.
LINKS = ("journal.jsonl", "timing.jsonl", "lock", "report.html", "result.json", "answers.sqlite", "best/prompt.txt")
FOLDERS = ("checkpoint", "best", "genes", "baselines")
COMMANDS = {
    "resume": "resume run",
    "report": "report run",
    "predict": "predict run rows.csv --out out.csv",
    "export": "export run out --to population",
    "compare": "compare run",
    "warm start": "run toy --warm-start run --dry-run",
}


@pytest.fixture
def here(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, founding: ToyCampaign) -> Path:
    """A folder with a finished ``run``, and a folder ``secret`` beside it that nothing may touch."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished, tmp_path / "run")
    shutil.copytree(founding.folder, tmp_path / "toy")
    (tmp_path / "secret").mkdir()
    write_rows(tmp_path / "rows.csv", toy_rows(6))
    return tmp_path


def linked(here: Path, name: str, exists: bool = True) -> dict[Path, bytes]:
    """Move a file or folder of the run out of it, put a link in its place; return the files outside."""
    inside, outside = here / "run" / name, here / "secret" / "target"
    if inside.exists():
        inside.rename(outside)
    elif exists:
        outside.write_text("", encoding="utf-8")
    inside.symlink_to(outside)
    return contents(here / "secret")


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", [*LINKS, *FOLDERS])
@pytest.mark.parametrize("command", ["resume", "report"])
def test_a_run_with_a_link_to_elsewhere_is_neither_written_nor_reported(here: Path, name: str, command: str) -> None:
    before = linked(here, name)
    with sealed(here, here / "secret"):
        refused(evolm(*COMMANDS[command].split()), "expected a (file of this folder|run's directory), found")
    assert contents(here / "secret") == before


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_follows_a_link_out_of_a_run(here: Path, command: str) -> None:
    before = linked(here, "best/prompt.txt")
    with sealed(here, here / "secret"):
        refused(evolm(*COMMANDS[command].split()), "prompt.txt: expected a file of this folder, found a symbolic")
    assert contents(here / "secret") == before and not (here / "out").exists()


def test_a_run_is_not_begun_behind_a_link_that_leads_nowhere_yet(here: Path) -> None:
    (here / "new").mkdir()
    (here / "new" / "lock").symlink_to(here / "secret" / "target")
    refused(evolm("run", "toy", "--out", "new"), "lock: expected a file of this folder")
    assert not (here / "secret" / "target").exists()


def test_links_inside_of_a_run_and_to_a_run_are_followed(here: Path) -> None:
    (here / "run" / "again.html").symlink_to("report.html")
    (here / "same").symlink_to("run")
    assert evolm("report", "same").exit_code == 0


def test_a_pipe_in_a_run_is_refused_instead_of_waited_for(here: Path) -> None:
    (here / "run" / "test.json").unlink(missing_ok=True)
    os.mkfifo(here / "run" / "test.json")
    refused(evolm("report", "run"), "test.json: expected a file or a folder, found a pipe")


def test_a_pipe_among_a_campaign_s_rows_is_refused_instead_of_waited_for(here: Path) -> None:
    os.mkfifo(here / "toy" / "rows.csv")
    with pytest.raises(DataError, match="expected a file, found a pipe"):
        locate("rows.csv", here / "toy")


@pytest.mark.parametrize("name", ["/dev/zero", "../../secret/target", "../journal.jsonl", "arrays-0.safetensors", ""])
def test_a_checkpoint_names_no_file_but_its_own(here: Path, name: str) -> None:
    state = here / "run" / "checkpoint" / "state.json"
    record = json.loads(state.read_bytes())
    state.write_text(json.dumps({**record, "arrays": name}), encoding="utf-8")
    with sealed(here, here / "secret"), pytest.raises(RunError, match="found a damaged file"):
        read_checkpoint(state.parent)


PLACES = ("../secret/rows.csv", "toy/../../secret/rows.csv", "link.csv", "folder/rows.csv", "{secret}/rows.csv")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "key", ["task.data", "task.unlabelled", "guard.data", "founders", "task.data.dev"], ids=lambda key: key
)
def test_a_campaign_reads_nothing_outside_of_its_folder(here: Path, place: str, key: str) -> None:
    from evolm.campaign.resolution import resolved
    from evolm.config import CampaignConfig, overlay, validate

    write_rows(here / "secret" / "rows.csv", toy_rows())
    (here / "toy" / "link.csv").symlink_to(here / "secret" / "rows.csv")
    (here / "toy" / "folder").symlink_to(here / "secret")
    place = place.format(secret=here / "secret")
    value: object = [place] if key == "founders" else place
    *path, last = key.split(".")
    tables: dict[str, object] = {last: value}
    for part in reversed(path):
        tables = {part: tables}
    if key == "task.data.dev":
        tables = {"task": {"data": {"dev": place}}}
    import tomllib

    base = tomllib.loads((here / "toy" / "campaign.toml").read_text(encoding="utf-8"))
    if key == "task.data.dev":
        base["task"].pop("split")
    config = validate(CampaignConfig, overlay(base, tables), "campaign.toml")
    with sealed(here, here / "secret"), pytest.raises(PermissionNeeded, match="found one outside"):
        resolved(config, here / "toy")


@pytest.mark.parametrize("name", ["../x", "..", ".", "a/b", "\0", "~", "-rf", "a\nb"])
def test_a_campaign_s_name_is_a_folder_below_runs(name: str) -> None:
    from evolm.cli.shared import file_name

    folder = f"{file_name(name)}-20260302-091400"
    assert Path(folder).name == folder and folder != file_name(name)


def test_genes_are_read_from_the_run_s_own_files_alone(here: Path, make_entry: Callable[..., None]) -> None:
    from evolm.founders.sources import read_source

    for generation in ("../../secret/x", -1, 1e300, "00000", None, [0]):
        make_entry(generation)
        with sealed(here, here / "secret"):
            try:
                read_source(here / "run", "run")
            except EvolmError:
                continue


@pytest.fixture
def make_entry(here: Path) -> Callable[..., None]:
    """Return a function that gives every individual of the run's journal another generation."""
    path = here / "run" / "journal.jsonl"
    entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    def write(generation: object) -> None:
        changed = [{**each, "generation": generation} if each["type"] == "individual" else each for each in entries]
        changed[0] = {**changed[0], "identities": {"delta": {}}}
        path.write_text("".join(json.dumps(each) + "\n" for each in changed), encoding="utf-8")

    return write
