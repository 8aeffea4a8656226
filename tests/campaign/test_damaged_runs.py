"""Every file of a run's directory, damaged in every way: a command does its work, or says which file it is about."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.support.command_line import evolm, refused
from tests.support.delta_campaigns import changing, write_delta_campaign
from tests.support.once import SharedFolder
from tests.support.toy_campaign import ToyCampaign, bytes_of, merged, quick, result_of, toy_rows, write_rows

FILES = (
    "answers.sqlite",
    "baselines/founder/prompt.json",
    "best/delta.safetensors",
    "best/prompt.json",
    "best/prompt.txt",
    "campaign.toml",
    "checkpoint/state.json",
    "checkpoint/arrays",
    "data.parquet",
    "founders.jsonl",
    "genes/main-00000.safetensors",
    "items.json",
    "journal.jsonl",
    "lock",
    "report.html",
    "result.json",
    "test.json",
    "timing.jsonl",
)
DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(b"\xff\x00garbage{]\n" * 40),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "an object": lambda path: path.write_bytes(b"{}\n"),
    "a list": lambda path: path.write_bytes(b"[1]\n"),
    "missing": lambda path: path.unlink(),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}
COMMANDS: dict[str, tuple[str, ...]] = {
    "resume": ("resume", "run"),
    "resume with more": ("resume", "run", "--add", "evaluations=2"),
    "report": ("report", "run"),
    "compare": ("compare", "run", "other"),
    "predict": ("predict", "run", "rows.csv", "--out", "out.csv"),
    "score": ("score", "run", "rows.csv"),
    "export prompt": ("export", "run", "out", "--to", "prompt"),
    "export peft": ("export", "run", "out", "--to", "peft"),
    "export population": ("export", "run", "out", "--to", "population", "--copy"),
    "warm start": ("run", "toy", "--warm-start", "run", "--dry-run"),
}
REWRITTEN = {"answers.sqlite", "lock", "report.html", "timing.jsonl"}  # by every command that works on a run

READ_FIRST = ("campaign.toml", "checkpoint", "data.parquet", "founders.jsonl", "journal.jsonl")  # by resume


@pytest.fixture(scope="module")
def places(shared_folder: SharedFolder, tiny_model_folder: Path) -> Path:
    """A folder with a finished ``run``, an ``other`` one of a larger population, and new ``rows.csv``."""

    def build(folder: Path) -> None:
        frame = pd.DataFrame(toy_rows(), columns=["text", "label"])
        small = {"budget__evaluations": 6, "evaluation__n_jobs": 1, "baselines__random_search": False}

        def write(size: int, seed: int) -> ToyCampaign:
            return write_delta_campaign(
                folder / "toy", tiny_model_folder, "hybrid", strategy__population_size=size, seed=seed, **small
            )

        def run(toy: ToyCampaign, out: Path) -> Path:
            with quick():
                return (
                    ToyCampaign(toy.folder, merged(toy.tables, {"task.data": "frame"}))
                    .run(out, frame=frame)
                    .directory
                )

        found = changing(lambda seed: run(write(3, seed), folder / f"seed-{seed}"))
        toy = write(4, int(found.name.removeprefix("seed-")))
        found.rename(folder / "run")
        run(toy, folder / "other")
        (toy.folder / "campaign.toml").write_text(toy.config.to_toml(), encoding="utf-8")
        write_rows(folder / "rows.csv", toy_rows(6))

    return shared_folder.once("damaged-runs", build)


@pytest.fixture
def here(places: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The places, copied into the working folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(places, tmp_path, dirs_exist_ok=True)
    return tmp_path


def damage(run: Path, file: str, how: str) -> Path:
    """Damage a file of a run and return it; the arrays of a checkpoint are named after their content."""
    (path,) = [path for path in run.rglob("*") if path.relative_to(run).as_posix().startswith(file)]
    DAMAGES[how](path)
    return path


def content_of(run: Path) -> dict[str, bytes]:
    return {
        path.relative_to(run).as_posix(): path.read_bytes()
        for path in run.rglob("*")
        if path.is_file() and path.name.removesuffix("-wal").removesuffix("-shm") not in REWRITTEN
    }


def works_or_names(here: Path, file: str, how: str, name: str) -> None:
    path = damage(here / "run", file, how)
    before = content_of(here / "run")
    said = evolm(*COMMANDS[name])
    if said.exit_code == 0:
        return
    refused(said, path.stem)
    if name != "resume with more" or file.startswith(READ_FIRST):
        assert content_of(here / "run") == before, "a refused command changed the run"
    assert not (here / "out").exists() and not (here / "out.csv").exists()


QUICK = [
    ("answers.sqlite", "garbage", "resume with more"),
    ("items.json", "empty", "score"),
    ("items.json", "half", "warm start"),
    ("items.json", "a list", "export population"),
    ("journal.jsonl", "empty", "resume"),
    ("journal.jsonl", "half", "resume"),
    ("journal.jsonl", "a list", "report"),
    ("journal.jsonl", "missing", "predict"),
    ("founders.jsonl", "garbage", "compare"),
    ("result.json", "half", "resume"),
    ("checkpoint/arrays", "garbage", "resume"),
    ("best/prompt.txt", "a folder", "export prompt"),
]


@pytest.mark.parametrize(("file", "how", "name"), QUICK)
def test_a_damaged_file_is_named(here: Path, file: str, how: str, name: str) -> None:
    works_or_names(here, file, how, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("file", FILES)
def test_every_file_in_every_damage_for_every_command(here: Path, file: str, how: str, name: str) -> None:
    works_or_names(here, file, how, name)


def test_the_table_has_every_file_of_a_run(places: Path) -> None:
    found = {path.relative_to(places / "run").as_posix() for path in (places / "run").rglob("*") if path.is_file()}
    alike = ("baselines/", "genes/", "checkpoint/arrays")
    assert {name for name in found if not name.startswith(alike)} == {
        name for name in FILES if not name.startswith(alike)
    }


def test_undamaged_every_command_works(here: Path) -> None:
    for command in COMMANDS.values():
        said = evolm(*command)
        assert said.exit_code == 0, said.output
        shutil.rmtree("out", ignore_errors=True)


# -- what may be deleted -------------------------------------------------------------------------------------


def test_what_a_sentence_says_may_be_deleted_may_be_deleted(here: Path) -> None:
    run = here / "run"
    before, result = bytes_of(run), result_of(run)
    damage(run, "answers.sqlite", "garbage")
    refused(evolm("resume", "run"), "answers.sqlite: .* found a damaged file .*; delete it")
    (run / "answers.sqlite").unlink()
    damage(run, "result.json", "half")
    refused(
        evolm("resume", "run"), "result.json: .* found a damaged file .*; if it is deleted, 'evolm resume' writes"
    )
    (run / "result.json").unlink()
    assert evolm("resume", "run").exit_code == 0
    assert bytes_of(run) == before
    again = result_of(run)
    assert again["budget"].pop("seconds") >= result["budget"].pop("seconds") and again == result
    damage(run, "checkpoint/state.json", "half")
    refused(evolm("resume", "run"), "state.json: .*; if .*checkpoint is deleted, 'evolm resume' begins the run again")
    shutil.rmtree(run / "checkpoint")
    assert evolm("resume", "run").exit_code == 0
    assert bytes_of(run) == before


def test_a_checkpoint_whose_values_changed_is_refused(here: Path) -> None:
    state = here / "run" / "checkpoint" / "state.json"
    record = json.loads(state.read_bytes())
    record["state"]["searches"]["main"]["ledger"]["evaluations"] = 3
    state.write_text(json.dumps(record), encoding="utf-8")
    refused(evolm("resume", "run"), "state.json: .* found a damaged file .*its digest differs")


def test_a_journal_that_is_too_short_is_never_filled_up(here: Path) -> None:
    path = here / "run" / "journal.jsonl"
    kept = path.read_bytes().splitlines(keepends=True)[:3]
    path.write_bytes(b"".join(kept))
    refused(evolm("resume", "run"), r"journal.jsonl: expected entries up to byte \d+, as the checkpoint says, found")
    assert path.read_bytes() == b"".join(kept)


def test_predictions_need_nothing_but_the_prompt(here: Path) -> None:
    for file in ("items.json", "result.json", "test.json", "timing.jsonl", "data.parquet", "founders.jsonl"):
        damage(here / "run", file, "garbage")
    assert evolm(*COMMANDS["predict"]).exit_code == 0
