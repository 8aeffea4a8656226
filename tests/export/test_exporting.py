"""What is taken home from a run: whole, new, at work elsewhere, and without rows where that is asked for."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from evolm.campaign import Permissions, build, start_run
from evolm.config import load, read_tables
from evolm.errors import ConfigError, DataError, EvolmError, GenomeError, RunError
from evolm.export.export import export
from evolm.export.folder import write_folder
from evolm.export.predictor import saved_prompt
from evolm.founders.files import chromosomes_of
from evolm.founders.sources import FROM_A_RUN
from evolm.storage import RunLayout
from tests.support.kinds_of_campaigns import write_kind
from tests.support.toy_campaign import ToyCampaign, entries, result_of, toy_rows

ROWS = pd.DataFrame(toy_rows(6), columns=["text", "label"])
SMALL: dict[str, Any] = {"baselines": {"random_search": False, "few_shot": False}, "budget": {"evaluations": 3}}


@pytest.fixture(scope="module")
def shown(finished_run: Callable[..., Path]) -> Path:
    """A finished run whose best shows a demonstration and is calibrated, changed by no test."""
    return finished_run("chat", write=write_kind)


def founders_of(folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the records of an exported population's founders, and the content keys of what they have seen."""
    seen, *records = map(json.loads, (folder / "founders.jsonl").read_text(encoding="utf-8").splitlines())
    return records, seen["seen"]


def prompts_of(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the prompts of founders' records."""
    prompts = [chromosomes_of(record)["prompt"] for record in records]
    return prompts


def texts_in(folder: Path) -> str:
    """Return everything that a folder's files say."""
    return "\n".join(path.read_text(encoding="utf-8") for path in folder.rglob("*") if path.is_file())


# -- a prompt ------------------------------------------------------------------------------------------------


def test_a_prompt_works_elsewhere_as_it_does_in_its_run(
    shown: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = export(shown, tmp_path / "deep" / "prompt")
    assert said[0] == f"Written: {tmp_path / 'deep' / 'prompt'}"
    shutil.move(tmp_path / "deep", tmp_path / "moved")
    monkeypatch.chdir("/")
    with saved_prompt(shown) as here, saved_prompt(tmp_path / "moved" / "prompt") as there:
        assert there.predict(ROWS).equals(here.predict(ROWS))
        assert there.score(ROWS).value == here.score(ROWS).value
    names = {"prompt.txt", "prompt.json", "messages.json"}
    assert {path.name for path in (tmp_path / "moved" / "prompt").iterdir()} == names
    export(tmp_path / "moved" / "prompt", tmp_path / "again")
    assert texts_in(tmp_path / "again") == texts_in(tmp_path / "moved" / "prompt") == texts_in(shown / "best")


def test_a_baseline_is_exported_by_its_name(finished: Path, tmp_path: Path) -> None:
    export(finished, tmp_path / "founder", use="founder")
    record = json.loads((tmp_path / "founder" / "prompt.json").read_text(encoding="utf-8"))
    assert record["genome"] == result_of(finished)["founder"]["genome"]["prompt"]


def test_a_prompt_file_takes_only_itself_along(shown: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_bytes((shown / "best" / "prompt.json").read_bytes())
    (tmp_path / "prompt.txt").write_text("a diary", encoding="utf-8")
    export(tmp_path / "mine.json", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["prompt.json"]


def test_without_examples_a_prompt_holds_no_row_and_says_that_it_is_another_one(shown: Path, tmp_path: Path) -> None:
    (demo,) = json.loads((shown / "best" / "prompt.json").read_text(encoding="utf-8"))["genome"]["demonstrations"]
    said = export(shown, tmp_path / "bare", without_examples=True)
    assert said[-1] == "Without its 1 demonstration this is another prompt than the one that was scored."
    text = texts_in(tmp_path / "bare")
    assert demo["fields"]["text"] not in text and demo["item"] not in text
    record = json.loads((tmp_path / "bare" / "prompt.json").read_text(encoding="utf-8"))
    assert record["left_out"] == 1 and record["genome"]["demonstrations"] == []
    before = json.loads((shown / "best" / "prompt.json").read_text(encoding="utf-8"))
    assert record["prior"] != before["prior"]  # it is the prior of this prompt
    with saved_prompt(tmp_path / "bare") as prompt:
        assert prompt.readout.kind == "contextual"
        assert prompt.score(ROWS).scored == 6


def test_a_prompt_without_demonstrations_stays_as_it_is(toy: Callable[..., ToyCampaign], tmp_path: Path) -> None:
    run = toy(**SMALL, space={"prompt": {"demonstrations": [0, 0]}}, founders=[]).run(tmp_path / "run").directory
    said = export(run, tmp_path / "bare", without_examples=True)
    assert texts_in(tmp_path / "bare") == texts_in(run / "best")
    assert not any("another prompt" in sentence for sentence in said)


# -- a founding population -----------------------------------------------------------------------------------


def test_a_population_is_run_where_its_rows_are_admitted(finished: Path, tmp_path: Path) -> None:
    target, data = tmp_path / "population", finished.parent / "toy"
    said = export(finished, target, "population")
    option = f" --data-root {data}"
    assert said[-1] == f"Next: evolm run {target}{option}"
    text = (target / "campaign.toml").read_text(encoding="utf-8")
    assert f"# The rows are outside of this folder: evolm run .{option}\n" in text
    assert f"`{data / 'toy.csv'}`" in " ".join((target / "README.md").read_text(encoding="utf-8").split())
    settings = {"evaluation": {"n_jobs": 1}, "strategy": {"name": "genetic", "population_size": 2}}
    config = load(target / "campaign.toml", {**SMALL, **settings})
    with pytest.raises(EvolmError, match="expected a path in the campaign's folder"):
        build(config, target)
    permissions = Permissions(data_roots=(data,))
    run = start_run(config, target, tmp_path / "run", permissions=permissions).directory
    first, second = (entries(path, "run")[0] for path in (finished, run))
    assert first["task"] == second["task"] and first["model"] == second["model"]
    assert first["scorers"] == second["scorers"]
    origins = [e["operators"][0] for e in entries(run, "individual", "main")[:3]]
    assert all(origin.startswith(f"{finished.name} #") for origin in origins)


def test_the_campaign_of_a_population_is_the_run_s(finished: Path, tmp_path: Path) -> None:
    export(finished, tmp_path / "population", "population")
    mine, theirs = (
        load(folder / "campaign.toml").model_dump(exclude={"evaluation"})
        for folder in (tmp_path / "population", finished)
    )
    assert mine.pop("task") == {**theirs.pop("task"), "name": "toy"}
    assert mine == theirs
    written = read_tables(tmp_path / "population" / "campaign.toml")
    assert written["schema"] == 1
    assert "chat_template" in written["model"] and "revision" not in written["model"]  # no defaults


def test_with_its_rows_a_population_needs_nothing_else(finished: Path, tmp_path: Path) -> None:
    target = tmp_path / "population"
    assert export(finished, target, "population", copy=True)[-1] == f"Next: evolm run {target}"
    shutil.move(target, tmp_path / "moved")
    config = load(tmp_path / "moved" / "campaign.toml")
    parts = build(config, tmp_path / "moved")
    parts.engine.close()
    assert parts.task.fingerprint == entries(finished, "run")[0]["task"]["fingerprint"]
    assert config.task.data == "data/toy.csv"


def test_rows_that_came_from_python_are_copied_too(toy: Callable[..., ToyCampaign], tmp_path: Path) -> None:
    frame = pd.DataFrame(toy_rows(), columns=["text", "label"])
    run = toy(**SMALL).run(tmp_path / "run", frame=frame).directory
    export(run, tmp_path / "population", "population", copy=True)
    parts = build(load(tmp_path / "population" / "campaign.toml"), tmp_path / "population")
    parts.engine.close()
    assert parts.task.fingerprint == entries(run, "run")[0]["task"]["fingerprint"]
    export(run, tmp_path / "lean", "population")
    assert load(tmp_path / "lean" / "campaign.toml").task.data == str(run / "data.parquet")


def test_code_of_the_user_s_is_named_where_a_population_needs_it(
    toy: Callable[..., ToyCampaign], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_scorers.py").write_text(
        "def short(item, label, probabilities):\n    return 1.0\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_scorers", raising=False)
    small = toy(**SMALL, scorers={"my_scorers:short": 1.0, "longer": 2.0})
    run = small.run(
        tmp_path / "run",
        permissions=Permissions(packages=("my_scorers",)),
        functions={"longer": lambda item, label, probabilities: 0.0},
    ).directory
    said = export(run, tmp_path / "population", "population", copy=True)
    assert said[-1] == f"Next: evolm run {tmp_path / 'population'} --allow my_scorers"
    page = " ".join((tmp_path / "population" / "README.md").read_text(encoding="utf-8").split())
    assert "Its scorers `longer` were functions of a Python program" in page


def test_files_of_given_splits_are_copied_and_installed_ones_stay(
    toy: Callable[..., ToyCampaign], tmp_path: Path
) -> None:
    rows = pd.DataFrame(toy_rows(), columns=["text", "label"])
    small = toy(**SMALL, task__data={"train": "a.csv", "dev": "b.csv", "test": "c.csv"}, founders=[])
    for name, part in (("a", rows[:20]), ("b", rows[20:40]), ("c", rows[40:])):
        part.to_csv(small.folder / f"{name}.csv", index=False)
    run = small.run(tmp_path / "run").directory
    export(run, tmp_path / "population", "population", copy=True)
    config = load(tmp_path / "population" / "campaign.toml")
    assert config.task.data.model_dump() == {name: f"data/{name}.csv" for name in ("train", "dev", "test")}
    build(config, tmp_path / "population").engine.close()
    (small.folder / "b.csv").unlink()
    with pytest.raises(DataError, match=r"b\.csv: expected the run's rows, found no file"):
        export(run, tmp_path / "again", "population", copy=True)
    text = (run / "campaign.toml").read_text(encoding="utf-8")
    for name in "abc":
        text = text.replace(str(small.folder / f"{name}.csv"), "package:somewhere/rows.csv")
    (run / "campaign.toml").write_text(text, encoding="utf-8")
    assert export(run, tmp_path / "installed", "population")[-1] == f"Next: evolm run {tmp_path / 'installed'}"
    assert "The rows are those of `package:somewhere/rows.csv`" in (tmp_path / "installed" / "README.md").read_text(
        encoding="utf-8"
    )


def test_founders_are_the_best_distinct_prompts_with_what_they_have_seen(finished: Path, tmp_path: Path) -> None:
    export(finished, tmp_path / "population", "population")
    records, seen = founders_of(tmp_path / "population")
    result = result_of(finished)
    assert len(records) == FROM_A_RUN
    assert prompts_of(records)[0] == result["best"]["genome"]["prompt"]
    assert records[0]["from"] == f"{finished.name} #{result['best']['id']}"
    assert {record.get("readout", {}).get("kind") for record in records} == {None, "contextual"}
    assert set(seen) == RunLayout(finished).read_seen()
    page = " ".join((tmp_path / "population" / "README.md").read_text(encoding="utf-8").split())
    assert result["claim"] in page
    assert f"{len(seen)} content keys" in page
    assert re.search(rf"\| best of evolution [^|]*\| {result['test']['best']:.3f} \|", page)
    assert "rows of the data, word for word" in page
    assert max(map(len, (tmp_path / "population" / "README.md").read_text(encoding="utf-8").splitlines())) <= 118


def test_without_examples_a_population_holds_no_row(finished: Path, tmp_path: Path) -> None:
    export(finished, tmp_path / "population", "population", without_examples=True)
    records, seen = founders_of(tmp_path / "population")
    assert len({json.dumps({**record, "from": ""}) for record in records}) == len(records)
    assert not any("demonstrations" in prompt for prompt in prompts_of(records))
    assert set(seen) == RunLayout(finished).read_seen()
    text = texts_in(tmp_path / "population")
    assert not [row for row, _ in toy_rows() if row in text]
    tried = [e["genome"]["prompt"] for e in entries(finished, "individual", "main")]
    digests = {demo["item"] for genome in tried for demo in genome["demonstrations"]}
    assert digests and not [digest for digest in digests if digest in text]
    page = " ".join(text.split())
    assert "these are not the prompts that were scored" in page
    assert "No row can be read from it, but a reader who has a row, or guesses it, can tell that it was seen" in page


def test_founders_that_must_show_something_draw_it_anew(toy: Callable[..., ToyCampaign], tmp_path: Path) -> None:
    run = toy(**SMALL, founders=[], space={"prompt": {"demonstrations": [1, 2]}}).run(tmp_path / "run").directory
    export(run, tmp_path / "population", "population", without_examples=True)
    records, _ = founders_of(tmp_path / "population")
    assert {prompt["demonstrations"] for prompt in prompts_of(records)} == {1}
    config = load(tmp_path / "population" / "campaign.toml", {"task": {"data": str(tmp_path / "toy" / "toy.csv")}})
    parts = build(config, tmp_path / "population", permissions=Permissions(trusted_data=True))
    parts.engine.close()
    assert {len(founder.prompt.demonstrations) for founder in parts.founders.genomes} == {1}


def test_the_members_of_a_front_come_right_behind_the_winner(toy: Callable[..., ToyCampaign], tmp_path: Path) -> None:
    run = toy(
        **{**SMALL, "budget": {"evaluations": 12}},
        scorers={"label_likelihood": 1.0, "prompt_length": 1.0},
        fitness={"combine": "pareto"},
        strategy={"name": "nsga2", "population_size": 4},
    )
    directory = run.run(tmp_path / "run").directory
    export(directory, tmp_path / "population", "population")
    records, _ = founders_of(tmp_path / "population")
    result = result_of(directory)
    front = [f"run #{member['id']}" for member in result["front"]["members"]]
    origins = [record["from"] for record in records]
    assert origins[0] == f"run #{result['best']['id']}"
    assert set(origins[: len(front)]) == set(front)


def test_a_run_that_was_stopped_is_exported_as_far_as_it_came(finished: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    lines = (run / "journal.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (run / "result.json").unlink()
    (run / "journal.jsonl").write_text("".join(lines[:4]) + lines[4][:20], encoding="utf-8")
    export(run, tmp_path / "population", "population")
    assert len(founders_of(tmp_path / "population")[0]) == 3
    assert "exported before it was finished" in (tmp_path / "population" / "README.md").read_text(encoding="utf-8")
    (run / "journal.jsonl").write_text(lines[0], encoding="utf-8")
    with pytest.raises(GenomeError, match=r"journal\.jsonl: expected evaluated individuals, found none"):
        export(run, tmp_path / "nothing", "population")
    assert not (tmp_path / "nothing").exists()


# -- refusals ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"to": "promt"},
            ConfigError,
            r"expected one of 'prompt', 'peft', 'merged', 'population', found 'promt'; did you mean 'prompt'",
        ),
        ({"copy": True}, ConfigError, "can only be copied into a population, found --copy with .prompt."),
        (
            {"to": "population", "use": "founder"},
            ConfigError,
            "expected no --use with --to population.*found 'founder'",
        ),
        ({"to": "population", "copy": True, "without_examples": True}, ConfigError, "found both"),
        ({"use": "foundr"}, RunError, "did you mean 'founder'"),
    ],
)
def test_what_contradicts_itself_is_refused_and_nothing_is_written(
    finished: Path, tmp_path: Path, arguments: dict[str, Any], error: type[EvolmError], message: str
) -> None:
    with pytest.raises(error, match=message):
        export(finished, tmp_path / "out", **arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("to", ["prompt", "population"])
def test_what_lies_there_is_left_alone(finished: Path, tmp_path: Path, to: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("years of work", encoding="utf-8")
    os.symlink("nowhere", tmp_path / "link")
    for name in ("empty", "file", "link"):
        with pytest.raises(RunError, match=rf"{name}: expected a new folder, found an existing file or folder"):
            export(finished, tmp_path / name, to)
    with pytest.raises(RunError, match="cannot be written"):
        export(finished, tmp_path / "file" / "below", to)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "link"]
    assert (tmp_path / "file").read_text(encoding="utf-8") == "years of work" and not list(
        (tmp_path / "empty").iterdir()
    )


@pytest.mark.parametrize("to", ["prompt", "population"])
def test_a_place_that_is_no_run_has_nothing_to_export(tmp_path: Path, to: str) -> None:
    with pytest.raises(RunError, match="expected a run"):
        export(tmp_path / "nowhere", tmp_path / "out", to)
    assert not (tmp_path / "out").exists()


def test_a_folder_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"missing\.csv: expected a file to copy, found none"):
        write_folder(tmp_path / "out", {"a.txt": "text", "data/b.csv": tmp_path / "missing.csv"})
    assert not list(tmp_path.iterdir())
    (tmp_path / "b.csv").write_text("x,y\n", encoding="utf-8")
    write_folder(tmp_path / "out", {"a.txt": "Übel", "data/b.csv": tmp_path / "b.csv"})
    assert {str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.*")} == {"a.txt", "data/b.csv"}
    assert (tmp_path / "out" / "a.txt").read_text(encoding="utf-8") == "Übel"
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o755
