"""Where founders come from, and which of them are refused because their lineage knows the test split."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evolm.campaign import Observer, Permissions, build, continue_run
from evolm.campaign.build import Components
from evolm.errors import EvolmError, GenomeError, PermissionNeeded
from evolm.export.export import export
from evolm.founders.files import founders_file
from evolm.founders.sources import FROM_A_RUN, find_source, read_source
from evolm.storage import RunLayout
from tests.support.toy_campaign import (
    FOUNDERS,
    ToyCampaign,
    bytes_of,
    entries,
    result_of,
    toy_rows,
    write_campaign,
    write_rows,
)

SMALL: dict[str, Any] = {"baselines": {"random_search": False, "few_shot": False}, "budget": {"evaluations": 3}}
OTHER_SPLIT = {"train": 10, "dev": 10, "test": 14, "validation": 8, "seed": 1}


def components_of(campaign: ToyCampaign, **arguments: Any) -> Components:
    """Build a campaign without running it."""
    parts = build(campaign.config, campaign.folder, **arguments)
    parts.engine.close()
    return parts


def instructions(parts: Components) -> list[str]:
    return [founder.prompt.instruction for founder in parts.founders.genomes]


@pytest.fixture(scope="module")
def exported(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A founding population made of the finished run, changed by no test."""
    target = tmp_path_factory.mktemp("exported") / "population"
    export(finished, target, "population", copy=True)
    return target


# -- a warm start --------------------------------------------------------------------------------------------


def test_a_run_gives_its_best_the_winner_first_and_says_what_they_have_seen(
    toy: Callable[..., ToyCampaign], finished: Path
) -> None:
    parts = components_of(toy(founders=[]), warm_starts=[finished])
    founders = [founder.prompt.to_record() for founder in parts.founders.genomes]
    assert founders[0] == result_of(finished)["best"]["genome"]["prompt"]
    assert len(founders) == FROM_A_RUN
    tried = {e["digest"]: e for e in entries(finished, "individual", "main")}
    assert [f.digest in tried for f in parts.founders.genomes] == [True] * FROM_A_RUN
    others = [tried[f.digest]["fitness"] for f in parts.founders.genomes[1:]]
    assert others == sorted(others, reverse=True)
    assert set(parts.founders.names.values()) <= {f"{finished.name} #{e['id']}" for e in tried.values()}
    keys = json.loads((finished / "items.json").read_text(encoding="utf-8"))
    assert parts.founders.seen == {key for split in ("train", "dev", "validation") for key in keys[split]}


def test_the_command_line_s_founders_come_before_the_campaign_s(
    toy: Callable[..., ToyCampaign], finished: Path
) -> None:
    found = instructions(components_of(toy(), instructions=["First?"], warm_starts=[finished]))
    assert found[0] == "First?"
    assert found[1] == result_of(finished)["best"]["genome"]["prompt"]["instruction"]
    assert set(found) > {founder["instruction"] for founder in FOUNDERS}


def test_the_same_split_is_accepted_and_another_refused_in_one_sentence(
    toy: Callable[..., ToyCampaign], finished: Path, exported: Path
) -> None:
    for start in (finished, exported, exported / "founders.jsonl"):
        assert components_of(toy(), warm_starts=[start]).founders.seen
        with pytest.raises(
            GenomeError,
            match=rf"^founders from {start.name}: their lineage has seen \d+ items? of the 14 in the test split "
            r"\(the first: \w{16}\); keep the split they were evolved on \(task\.split\), or test on other rows$",
        ):
            components_of(toy(task__split=OTHER_SPLIT), warm_starts=[start])


def test_rows_are_recognised_under_other_names_in_other_case_and_with_other_labels(
    toy: Callable[..., ToyCampaign], finished: Path
) -> None:
    columns = {"columns": {"message": "sms", "label": "kind"}, "data": "toy.csv", "split": OTHER_SPLIT}
    renamed = toy(task=columns, founders=[], space={"prompt": {"demonstrations": [0, 2], "max_tokens": 240}})
    rows = [(f"  {text.upper()} ", {"spam": "junk", "ham": "fine"}[label]) for text, label in toy_rows()]
    write_rows(renamed.folder / "toy.csv", rows, ("sms", "kind"))
    with pytest.raises(GenomeError, match="their lineage has seen"):
        components_of(renamed, warm_starts=[finished])
    others = [(f"another {text}", label) for text, label in rows]
    write_rows(renamed.folder / "toy.csv", others, ("sms", "kind"))
    with pytest.raises(GenomeError, match=f"{finished.name} #"):  # labels that the task lacks
        components_of(renamed, warm_starts=[finished])


def test_what_the_first_of_two_warm_starts_has_seen_is_inherited(
    toy: Callable[..., ToyCampaign], finished: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    rows = [(f"new {text}", label) for text, label in toy_rows()]
    second = toy(**SMALL, founders=[])
    write_rows(second.folder / "toy.csv", rows)
    run = second.run(tmp_path / "second", warm_starts=[finished]).directory
    third = write_campaign(tmp_path / "third", tiny_model_folder, founders=[], task__split=OTHER_SPLIT)
    for start in (run, run / "founders.jsonl"):
        with pytest.raises(GenomeError, match=rf"founders from {start.name}: their lineage has seen"):
            components_of(third, warm_starts=[start])
    export(run, tmp_path / "exported", "population", without_examples=True, copy=False)
    with pytest.raises(GenomeError, match="founders from exported: their lineage has seen"):
        components_of(third, warm_starts=[tmp_path / "exported"])
    seen = RunLayout(run).read_seen()
    assert seen > RunLayout(finished).read_seen()


def test_a_demonstration_from_the_test_split_is_refused(toy: Callable[..., ToyCampaign]) -> None:
    campaign = toy()
    task = components_of(campaign).task
    for item, accepted in ((task.train[0], True), (task.test[0], False)):
        text = dict(item.fields)["text"].upper()
        founder = {"instruction": "Spam?", "demonstrations": [{"fields": {"text": text}, "label": item.gold}]}
        (campaign.folder / "founders.jsonl").write_text(json.dumps(founder) + "\n", encoding="utf-8")
        if accepted:
            assert instructions(components_of(campaign)) == ["Spam?"]
        else:
            with pytest.raises(
                GenomeError, match=r"founders\.jsonl:1: expected demonstrations outside the test split"
            ):
                components_of(campaign)


def test_a_warm_started_run_that_is_killed_before_its_first_generation_goes_on_as_if_it_was_not(
    toy: Callable[..., ToyCampaign], finished: Path, tmp_path: Path
) -> None:
    class Stop(Observer):
        def on_phase(self, name: str) -> None:
            raise RuntimeError("killed")

    small = toy(**SMALL, strategy={"name": "genetic", "population_size": 2})
    whole = small.run(tmp_path / "whole", warm_starts=[finished], instructions=["First?"]).directory
    with pytest.raises(RuntimeError, match="killed"):
        small.run(tmp_path / "cut", warm_starts=[finished], instructions=["First?"], observers=[Stop()])
    continue_run(tmp_path / "cut")
    assert bytes_of(tmp_path / "cut") == bytes_of(whole)
    assert entries(whole, "individual", "main")[0]["operators"] == ["--founder 1"]


# -- places --------------------------------------------------------------------------------------------------


def test_a_campaign_names_runs_and_populations_in_its_own_folder(
    toy: Callable[..., ToyCampaign], finished: Path, exported: Path
) -> None:
    campaign = toy(founders=["runs/x", "exported", "founders.jsonl"])
    shutil.copytree(finished, campaign.folder / "runs" / "x")
    shutil.copytree(exported, campaign.folder / "exported")
    parts = components_of(campaign)
    assert instructions(parts)[0] == result_of(finished)["best"]["genome"]["prompt"]["instruction"]
    assert set(instructions(parts)) > {founder["instruction"] for founder in FOUNDERS}
    assert parts.founders.seen


def test_a_place_outside_is_admitted_by_the_user_alone(
    toy: Callable[..., ToyCampaign], exported: Path, tmp_path: Path
) -> None:
    shutil.copytree(exported, tmp_path / "exported")
    campaign = toy(founders=["../exported"])
    with pytest.raises(
        PermissionNeeded, match="'../exported': .*one outside; .*--data-root, or name it with --warm-st"
    ):
        components_of(campaign)
    assert components_of(campaign, permissions=Permissions(data_roots=(tmp_path,))).founders.seen


def test_a_shipped_population_is_known_by_its_name_unless_something_lies_there(
    toy: Callable[..., ToyCampaign], tmp_path: Path
) -> None:
    place = find_source("sms-spam", tmp_path)
    assert (place / "campaign.toml").exists() and not place.is_relative_to(tmp_path)
    assert read_source(place, "sms-spam").records
    (tmp_path / "sms-spam").mkdir()
    assert find_source("sms-spam", tmp_path) == tmp_path / "sms-spam"
    with pytest.raises(GenomeError, match="found none; did you mean 'sms-spam'"):
        components_of(toy(founders=["sms-spm"]))


NONE = r"expected a file of founders, a run or a founding population, found "
Change = Callable[[Path], object]
BROKEN: dict[str, tuple[Change, str]] = {
    "a folder of something else": (lambda place: place.mkdir(), NONE + "another folder"),
    "a population that names itself": (
        lambda place: _write(place / "campaign.toml", 'founders = ["."]'),
        "start: expected other places in its founders, found the population itself",
    ),
    "a population without founders": (
        lambda place: _write(place / "campaign.toml", ""),
        "start: expected founders, found none",
    ),
    "a population that reaches out": (
        lambda place: _write(place / "campaign.toml", 'founders = ["../founders.jsonl"]'),
        "expected a path in the campaign's folder",
    ),
    "a file of nothing but keys": (lambda place: _write(place, '{"seen": ["a"]}\n'), "expected founders, found none"),
    "keys that are none": (
        lambda place: _write(place, '{"seen": 5}\n'),
        "start:1: expected 'seen' to be a list of content k",
    ),
    "bytes": (lambda place: place.write_bytes(b"\xff"), "start: expected a file of founders: "),
    "a damaged run": (
        lambda place: _write(place / "journal.jsonl", '{"type": "individual", "search": "main"}\n'),
        "start: expected a run that can be read: .*journal.jsonl: KeyError",
    ),
    "a run that does not say what it has seen": (
        lambda place: _write(
            place / "journal.jsonl",
            '{"type": "individual", "search": "main", "id": 0, "fitness": [1.0], '
            '"genome": {"prompt": {"instruction": "?"}}}\n',
        ),
        "items.json: expected the list of items",
    ),
    "a run without individuals": (
        lambda place: [_write(place / name, "{}\n") for name in ("journal.jsonl", "items.json")],
        "start: expected founders, found no evaluated individual in its journal.jsonl",
    ),
}


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(("change", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_a_place_without_founders_is_one_sentence(tmp_path: Path, change: Change, message: str) -> None:
    change(tmp_path / "start")
    with pytest.raises(EvolmError, match=message):
        read_source(tmp_path / "start", "start")


def test_a_file_of_founders_reads_back_as_it_was_written(tmp_path: Path) -> None:
    records = [{"instruction": "Spam?", "demonstrations": 2}, {"instruction": "Übel?"}]
    (tmp_path / "f.jsonl").write_text(founders_file(records, {"b", "a"}), encoding="utf-8")
    source = read_source(tmp_path / "f.jsonl", "f.jsonl")
    assert [record for record, _ in source.records] == records
    assert [where for _, where in source.records] == ["f.jsonl:2", "f.jsonl:3"]
    assert source.seen == {"a", "b"}


# -- written from the task -----------------------------------------------------------------------------------


def test_written_founders_show_as_many_demonstrations_as_fit(toy: Callable[..., ToyCampaign]) -> None:
    campaign = toy(founders=[], space={"prompt": {"max_tokens": 120}})
    parts = components_of(campaign)
    shown = [len(founder.prompt.demonstrations) for founder in parts.founders.genomes]
    assert max(shown) in (1, 2, 3)
    assert all(parts.space.tokens(founder) <= 120 for founder in parts.founders.genomes)
    assert set(parts.founders.names.values()) == {"written from the task"}
    with pytest.raises(EvolmError, match=r"founders written from the task: \d+ tokens, expected at most"):
        components_of(toy(founders=[], space={"prompt": {"max_tokens": 1, "demonstrations": [1, 2]}}))


def test_founders_written_for_a_generation_task_name_the_target(toy: Callable[..., ToyCampaign]) -> None:
    columns = {"text": "text", "label": "target_summary"}
    campaign = toy(
        founders=[],
        task={
            "kind": "generation",
            "data": "toy.csv",
            "columns": columns,
            "split": {"train": 5, "dev": 5, "test": 5},
        },
        space={"prompt": {"max_tokens": 240}},
    )
    write_rows(campaign.folder / "toy.csv", toy_rows(), ("text", "target_summary"))
    assert "Write the summary for the text." in instructions(components_of(campaign))
