"""Run directories wherever users have them: moved, renamed, linked to, read-only, on a full disk, under any name."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.command_line import evolm, refused
from tests.support.crashes import Crash, CrashAfterGeneration
from tests.support.delta_campaigns import changing, write_delta_campaign
from tests.support.interruptions import unequal
from tests.support.once import SharedFolder
from tests.support.privileges import ordinary_permissions, read_only
from tests.support.small_disks import fill_disk, small_disk
from tests.support.tiers import slow
from tests.support.toy_campaign import quick, toy_rows, write_campaign, write_rows

SMALL = {
    "budget__evaluations": 6,
    "strategy__population_size": 3,
    "baselines": {"random_search": False, "few_shot": False, "bag_of_words": False, "probe": False},
}
NAMES = ["with spaces", "Größe ✓ 模型", 'it\'s "quoted"', "a%20b?c=d&e#f", "[x]*{y}", "-dash", "$HOME;~"]


@pytest.fixture(scope="module")
def places(shared_folder: SharedFolder, tiny_model_folder: Path) -> Path:
    """A folder with ``toy``, its run ``whole``, ``half`` of the same run, other runs, and new ``rows.csv``."""

    def build(folder: Path) -> None:
        toy = write_campaign(folder / "toy", tiny_model_folder, **SMALL)
        with quick():
            toy.run(folder / "whole")
            with pytest.raises(Crash):
                toy.run(folder / "half", observers=[CrashAfterGeneration(1)])
            larger = {**SMALL, "strategy__population_size": 4}
            write_campaign(folder / "larger", tiny_model_folder, **larger).run(folder / "other")
            changing(lambda seed: delta_run(folder, tiny_model_folder, seed)).rename(folder / "changed")
        write_rows(folder / "rows.csv", toy_rows(6))

    return shared_folder.once("places-of-runs", build)


def delta_run(folder: Path, model: Path, seed: int) -> Path:
    toy = write_delta_campaign(folder / "deltas", model, "delta", seed=seed, **SMALL)
    return toy.run(folder / f"seed-{seed}").directory


@pytest.fixture
def here(places: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with the runs and ``rows.csv``; the data stays where the campaign is."""
    monkeypatch.chdir(tmp_path)
    for name in ("half", "whole", "other", "changed"):
        shutil.copytree(places / name, name)
    shutil.copy(places / "rows.csv", "rows.csv")
    return tmp_path


def done(*arguments: object) -> str:
    said = evolm(*arguments)
    assert said.exit_code == 0, said.output
    return said.output


def use_everything(run: str, places: Path) -> None:
    """Resume a run and use it by each command that a user has."""
    done("resume", run)
    assert unequal(Path(run), places / "whole") == []
    done("report", run)
    done("predict", run, "rows.csv", "--out", "out.csv")
    done("score", run, "rows.csv")
    done("export", run, "exported")
    done("compare", run, places / "other")
    assert unequal(Path(run), places / "whole") == []


def moved(here: Path) -> str:
    (here / "deep" / "er").mkdir(parents=True)
    (here / "half").rename(here / "deep" / "er" / "renamed")
    return "deep/er/renamed"


def linked(here: Path) -> str:
    (here / "elsewhere").mkdir()
    (here / "half").rename(here / "elsewhere" / "half")
    (here / "link").symlink_to("elsewhere/half")
    return "link"


def of_another_folder(here: Path) -> str:
    (here / "work").mkdir()
    shutil.copy(here / "rows.csv", here / "work" / "rows.csv")
    os.chdir(here / "work")
    return "../half"


@pytest.mark.parametrize("change", [moved, slow(linked), slow(of_another_folder)])
def test_a_run_that_was_moved_goes_on_and_can_be_used(
    here: Path, places: Path, change: Callable[[Path], str]
) -> None:
    use_everything(change(here), places)


@pytest.mark.parametrize("name", [NAMES[0], *map(slow, NAMES[1:])])
def test_a_run_may_have_any_name_and_the_command_that_goes_on_is_as_a_shell_reads_it(
    here: Path, places: Path, name: str
) -> None:
    folder = here / name / name
    folder.mkdir(parents=True)
    shutil.copytree(places / "toy", folder / "toy")
    done("run", folder / "toy", "--out", folder / "run")
    assert unequal(folder / "run", places / "whole") == []
    sentence = refused(evolm("run", folder / "toy", "--out", folder / "run"), "found another run")
    assert f"'{shlex.join(['evolm', 'resume', str(folder / 'run')])}'" in sentence
    (here / "half").rename(folder / "half")
    use_everything(str(folder / "half"), places)


def test_a_campaign_that_is_reached_through_links_gives_the_same_run(here: Path, places: Path) -> None:
    (here / "campaign").symlink_to(places / "toy")
    (here / "real").mkdir()
    (here / "out").symlink_to("real")
    done("run", "campaign", "--out", "out/run")
    assert unequal(here / "real" / "run", places / "whole") == []


@pytest.mark.parametrize("data", ["../data/toy.csv", "./toy.csv", slow("sub/../toy.csv")])
def test_relative_data_is_found_again_from_any_working_folder(
    here: Path, places: Path, monkeypatch: pytest.MonkeyPatch, data: str
) -> None:
    shutil.copytree(places / "toy", here / "toy")
    (here / "toy" / "sub").mkdir()
    (here / "data").mkdir()
    shutil.copy(places / "toy" / "toy.csv", here / "data" / "toy.csv")
    done("run", "toy", "--out", "run", "--set", f"task.data={data}", "--data-root", ".")
    for folder in ("toy", "/"):
        monkeypatch.chdir(here / folder)
        done("resume", here / "run", "--add", "evaluations=1")


def test_data_that_has_moved_is_one_sentence_that_says_where_its_new_place_is_written(
    here: Path, places: Path
) -> None:
    shutil.copytree(places / "toy", here / "toy")
    done("run", "toy", "--out", "run")
    (here / "toy").rename(here / "renamed")
    before = content(here / "run")
    command = ("resume", "run", "--add", "evaluations=2")
    refused(evolm(*command), r"toy\.csv: expected a file, found none; .*new place into run/campaign\.toml")
    assert content(here / "run") == before
    done("predict", "run", "rows.csv", "--out", "out.csv")
    file = here / "run" / "campaign.toml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace(str(here / "toy" / "toy.csv"), str(here / "renamed" / "toy.csv")), encoding="utf-8")
    done(*command)


def content(folder: Path) -> dict[str, bytes]:
    """Return the files of a run, the lock and the databases left out: reading them may leave a log behind."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "lock" and not path.name.startswith("answers.sqlite")
    }


# -- read-only -----------------------------------------------------------------------------------------------

READING: dict[str, tuple[str, ...]] = {
    "predict": ("predict", "whole", "rows.csv", "--out", "out.csv"),
    "score": ("score", "whole", "rows.csv"),
    "compare": ("compare", "whole", "other"),
    "export": ("export", "whole", "exported"),
    "population": ("export", "whole", "exported", "--to", "population", "--copy"),
}
WRITING: dict[str, tuple[str, ...]] = {
    "resume": ("resume", "half"),
    "resume with more": ("resume", "whole", "--add", "evaluations=2"),
    "report": ("report", "whole"),
    "run into it": ("run", "toy", "--out", "half/inside"),
    "predict into it": ("predict", "whole", "rows.csv", "--out", "half/out.csv"),
    "export into it": ("export", "whole", "half/exported"),
}


@pytest.mark.parametrize("name", READING)
def test_a_run_that_is_read_only_can_be_used(here: Path, name: str) -> None:
    with read_only(here / "whole"):
        done(*READING[name])


@pytest.mark.parametrize("name", WRITING)
def test_what_cannot_be_written_for_want_of_permission_is_one_sentence(here: Path, places: Path, name: str) -> None:
    shutil.copytree(places / "toy", here / "toy")
    before = content(here)
    with read_only(here / "half"), read_only(here / "whole"):
        refused(evolm(*WRITING[name]), "Permission denied|expected permission to write")
    assert content(here) == before
    done("resume", "half")
    assert unequal(here / "half", places / "whole") == []


def test_a_file_of_a_run_that_is_read_only_is_one_sentence(here: Path, places: Path) -> None:
    for name in ("journal.jsonl", "answers.sqlite"):
        path = here / "half" / name
        mode = path.stat().st_mode
        path.chmod(0o444)
        with ordinary_permissions():
            refused(evolm("resume", "half"), f"{name}: .*(Permission denied|readonly)")
        path.chmod(mode)
    done("resume", "half")
    assert unequal(here / "half", places / "whole") == []


# -- full disks ----------------------------------------------------------------------------------------------

PAGE = 4096


@contextmanager
def nearly_full(disk: Path, pages: int) -> Iterator[None]:
    """Leave so many pages of a disk free."""
    filler = disk / "filler"
    fill_disk(filler)
    size = filler.stat().st_size
    os.truncate(filler, size - pages * PAGE)
    try:
        yield
    finally:
        filler.unlink()


@pytest.fixture
def disk(here: Path) -> Iterator[Path]:
    """A disk of 4 MiB, which the working folder's commands write to."""
    try:
        with small_disk(here / "disk", mebibytes=4) as folder:
            yield folder
    except PermissionError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("pages", [0, 3, 20, *map(slow, (1, 2, 5, 8, 12, 16, 24, 32, 40))])
def test_a_run_on_a_disk_with_little_room_is_one_sentence_and_goes_on_with_more(
    disk: Path, places: Path, pages: int
) -> None:
    """Each amount of room ends at another file: the first ones, answers, journal, a checkpoint, the best."""
    with nearly_full(disk, pages):
        refused(evolm("run", places / "toy", "--out", disk / "run"), "No space left on device|disk is full|disk I/O")
    if (disk / "run" / "campaign.toml").exists():
        done("resume", disk / "run")
    else:
        done("run", places / "toy", "--out", disk / "run")
    assert unequal(disk / "run", places / "whole") == []


FILLING: dict[str, tuple[str, ...]] = {
    "predict": ("predict", "whole", "rows.csv", "--out", "disk/out.csv"),
    "export": ("export", "whole", "disk/out"),
    "export population": ("export", "whole", "disk/out", "--to", "population", "--copy"),
    "export peft": ("export", "changed", "disk/out", "--to", "peft"),
    "export merged": ("export", "changed", "disk/out", "--to", "merged"),
    "init": ("init", "rows.csv", "--out", "disk/out", "--copy"),
}


@pytest.mark.parametrize("name", FILLING)
def test_what_a_full_disk_refuses_leaves_nothing_half_written(disk: Path, name: str) -> None:
    with nearly_full(disk, 0):
        refused(evolm(*FILLING[name]), "No space left on device")
        assert [path.name for path in disk.iterdir()] == ["filler"]
    done(*FILLING[name])


@pytest.mark.parametrize("pages", [0, 10])
def test_a_model_is_converted_on_a_disk_with_room_or_not_at_all(
    disk: Path, places: Path, monkeypatch: pytest.MonkeyPatch, pages: int
) -> None:
    """Converted models are in a folder of their own, perhaps on a disk of its own."""
    monkeypatch.setenv("EVOLM_CACHE", str(disk / "cache"))
    command = ("run", places / "toy", "--out", "run", "--set", "model.dtype=bfloat16")
    with nearly_full(disk, pages):
        refused(evolm(*command), "model cache .*No space left on device.*EVOLM_CACHE")
        assert not [path for path in (disk / "cache").rglob("*") if path.is_file() and path.suffix != ".lock"]
    done(*command)


def test_a_cache_of_models_that_is_read_only_is_one_sentence(
    here: Path, places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "cache" / "models").mkdir(parents=True)
    monkeypatch.setenv("EVOLM_CACHE", str(here / "cache"))
    command = ("run", places / "toy", "--out", "run", "--set", "model.dtype=bfloat16")
    with read_only(here / "cache"):
        refused(evolm(*command), "model cache .*Permission denied.*EVOLM_CACHE")


@pytest.mark.parametrize("name", ["resume", slow("resume with more"), "report"])
def test_a_run_on_a_full_disk_loses_nothing(disk: Path, places: Path, here: Path, name: str) -> None:
    for run in ("half", "whole"):
        shutil.move(here / run, disk / run)
    (verb, run, *options) = WRITING[name]
    before = content(disk)
    with nearly_full(disk, 0):
        refused(evolm(verb, disk / run, *options), "No space left on device|disk is full|disk I/O")
    assert content(disk) == before
    done("resume", disk / "half")
    assert unequal(disk / "half", places / "whole") == []
