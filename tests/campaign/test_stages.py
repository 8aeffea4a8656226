"""Campaigns in stages: each begins from the archive of the one before, resumes to the byte, and shares one budget."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from evolm.campaign import build, continue_run
from evolm.campaign.preview import preview
from evolm.campaign.recorder import RunRecorder
from evolm.campaign.runs import build_from_run
from evolm.campaign.searches import main_search
from evolm.config import BudgetSection, load
from evolm.errors import ConfigError
from evolm.observers import Phase
from evolm.report import RunRecord
from evolm.report.tables import stages
from evolm.storage import RunLayout
from tests.support.staged_campaigns import DELTA, EVALUATIONS, LEARNING, SPACE, THREE, TWO, staged
from tests.support.tiers import slow
from tests.support.toy_campaign import ToyCampaign, bytes_of, entries, merged, quick, result_of


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory, tiny_model_folder: Path) -> ToyCampaign:
    return staged(tmp_path_factory.mktemp("stages") / "toy", tiny_model_folder, THREE)


@pytest.fixture(scope="module")
def run(campaign: ToyCampaign, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "run"
    with quick():
        campaign.run(out)
    return out


def stages_of(run: Path) -> list[list[dict[str, Any]]]:
    """Return the individuals of the main search, stage by stage."""
    found: list[list[dict[str, Any]]] = []
    for entry in entries(run, search="main"):
        if entry["type"] == "stage":
            found.append([])
        elif entry["type"] == "individual":
            found[-1].append(entry)
    return found


def test_each_stage_begins_with_the_archive_of_the_one_before(run: Path) -> None:
    first, second, third = entries(run, "stage")
    assert [first["founders"], first["name"]] == [[], "prompt+readout"]
    assert [second["name"], third["name"]] == ["delta", "prompt+readout"]
    tried, learnt, last = stages_of(run)
    best = sorted((e for e in tried if e["fitness"]), key=lambda e: (e["fitness"], -e["id"]), reverse=True)
    assert second["founders"] == [e["id"] for e in best[:5]]
    assert {parent for e in learnt for parent in e["parents"]} & set(second["founders"])
    ids = [e["id"] for e in (*tried, *learnt, *last)]
    assert ids == sorted(set(ids))  # a founder of a later stage is the same individual, and is not scored again
    assert len({e["digest"] for e in (*tried, *learnt, *last)}) == len(ids) == EVALUATIONS


def test_a_stage_varies_its_own_kinds_alone(run: Path) -> None:
    tried, learnt, last = stages_of(run)
    known = {e["id"]: e for e in (*tried, *learnt, *last)}
    assert len({str(e["genome"]["delta"]) for e in tried}) == 1
    for stage, held in ((learnt, "prompt"), (last, "delta")):
        for entry in stage:
            parents = [known[parent]["genome"][held] for parent in entry["parents"]]
            assert not parents or entry["genome"][held] in parents
    assert len({str(e["genome"]["delta"]) for e in learnt}) > 1


def test_shares_of_the_budget_add_up_and_baselines_get_what_all_stages_spent(run: Path) -> None:
    assert [e["evaluations"] for e in entries(run, "stage")] == [0, EVALUATIONS // 2, 3 * EVALUATIONS // 4]
    spent = {s: entries(run, "generation", s)[-1]["evaluations"] for s in ("main", "random_search")}
    assert spent == {"main": EVALUATIONS, "random_search": EVALUATIONS}
    numbers = [e["generation"] for e in entries(run, "generation", "main")]
    assert numbers == sorted(set(numbers))
    random = entries(run, "individual", "random_search")
    assert [e["digest"] for e in random[:4]] == [e["digest"] for e in stages_of(run)[0][:4]]


def test_the_finals_and_the_operators_are_those_of_all_stages(run: Path) -> None:
    individuals = [e for e in entries(run, "individual", "main") if e["fitness"]]
    best = sorted(individuals, key=lambda e: (e["fitness"], -e["id"]), reverse=True)[:5]
    (final,) = entries(run, "validation", "main")
    assert [f["id"] for f in final["finalists"]] == [e["id"] for e in best]
    (rates,) = entries(run, "operators", "main")
    assert rates["rates"]["gradient_step"]["evaluated"] and sum(e["tried"] for e in rates["rates"].values()) > 8
    assert result_of(run)["racing"]["mode"] == "halving"


@pytest.mark.parametrize("at", [slow(8), 17, slow(24)])
def test_killed_in_any_stage_and_resumed_it_equals_the_undisturbed_run(
    evolm: Any, campaign: ToyCampaign, run: Path, tmp_path: Path, at: int
) -> None:
    out = evolm.killed_and_resumed(campaign.folder, tmp_path / "run", at)
    assert bytes_of(out) == bytes_of(run)


@pytest.mark.slow
def test_two_workers_write_the_same_run(campaign: ToyCampaign, run: Path, tmp_path: Path) -> None:
    tables = {**campaign.tables, "evaluation": {**campaign.tables["evaluation"], "n_jobs": 2}}
    with quick():
        ToyCampaign(campaign.folder, tables).run(tmp_path / "run")
    assert bytes_of(tmp_path / "run") == bytes_of(run)


def test_an_added_budget_goes_to_the_last_stage(campaign: ToyCampaign, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with quick():
        campaign.run(out)
        continue_run(out, add={"evaluations": 4})
    assert len(entries(out, "stage")) == 3
    assert entries(out, "generation", "main")[-1]["evaluations"] == EVALUATIONS + 4
    assert [len(stage) for stage in stages_of(out)][:2] == [len(stage) for stage in stages_of(run)][:2]


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a strategy beside stages": (
        {"stage": TWO, "strategy": {"name": "hill_climb"}},
        r"strategy.name: expected no \[strategy\] beside \[\[stage\]\], found 'hill_climb'",
    ),
    "auto in a stage": ({"stage": [{"strategy": "auto"}]}, r"stage.strategy: expected a strategy of one stage"),
    "unknown strategy": ({"stage": [{"strategy": "genetik"}]}, r"'genetik' is unknown.*'genetic'"),
    "unknown kind": ({"stage": "promt -> delta", "space": {"delta": DELTA}}, r"space: .*'promt'"),
    "no kind": ({"stage": "prompt -> "}, r"'stage' is 'prompt -> ': expected kinds of chromosomes like"),
    "no stages": ({"stage": []}, r"'stage' is \[\]: expected at least 1 values"),
    "share of nothing": ({"stage": [{"share": 0}]}, r"'stage.0.share' is 0: expected a number above 0"),
    "a table that no stage names": ({"stage": "prompt"}, r"space.delta: expected a \[\[stage\]\] that names 'delta'"),
    "a stage that cannot learn": (
        {"stage": [*TWO[:1], {"space": "prompt", "strategy": "memetic"}], "space": {}},
        r"stage 2: strategy.name: expected one that can search this space .*'memetic'",
    ),
    "nothing to learn from": (
        {"stage": TWO, "task.split": {"train": 0, "dev": 10, "test": 14, "validation": 8}},
        r"stage 2: strategy 'memetic': expected labelled train items",
    ),
    "a race of a stage that learns from all": (
        {"stage": [TWO[0], {"space": "delta", "strategy": "adam", "racing": "race"}]},
        r"stage 2: evaluation.racing = 'race': expected a strategy that can drop",
    ),
    "a readout before there is anything to read": (
        {"stage": [{"space": "prompt", "readout": "words"}, {"space": "delta"}]},
        r"stage 1: readout: expected none, since no stage is before it, found 'words'",
    ),
    "a readout that the campaign does not know": (
        {"stage": [{"space": "prompt"}, {"space": "delta", "readout": "word"}]},
        r"stage 2: readout: expected one of .*'words'.* found 'word'; did you mean 'words'",
    ),
    "a readout where none evolves": (
        {"stage": [{"space": "delta"}, {"space": "delta", "readout": "words"}], "space": {"delta": DELTA}},
        r"stage 2: readout: expected none, since readouts do not evolve in this campaign .* found 'words'",
    ),
    "nothing to leave out yet": (
        {"stage": [{"space": "prompt", "demonstrations": False}, {"space": "delta"}]},
        r"stage 1: demonstrations: expected true, since no stage is before it, found false",
    ),
    "demonstrations of prompts that do not evolve": (
        {"stage": [{"space": "delta"}, {"space": "delta", "demonstrations": False}], "space": {"delta": DELTA}},
        r"stage 2: demonstrations: expected true, since prompts do not evolve in this campaign, found false",
    ),
    "demonstrations that prompts must show": (
        {
            "stage": [{"space": "prompt"}, {"space": "delta", "demonstrations": False}],
            "space.prompt.demonstrations": [1, 2],
        },
        r"stage 2: demonstrations: expected true, since space.prompt.demonstrations asks for at least 1, found false",
    ),
    "too little for a stage": (
        {"stage": [{"space": "prompt", "share": 100}, {"space": "delta"}]},
        r"stage 2: expected a share of at least 1 of the 16 evaluations",
    ),
}


@pytest.mark.parametrize(("changes", "sentence"), BAD.values(), ids=BAD)
def test_stages_that_cannot_follow_are_refused_in_one_sentence(
    campaign: ToyCampaign, changes: dict[str, Any], sentence: str
) -> None:
    toy = ToyCampaign(campaign.folder, merged(campaign.tables, changes))
    with pytest.raises(ConfigError, match=sentence) as refused:
        build(toy.config, toy.folder)
    assert "\n" not in str(refused.value)


READOUTS = {"kinds": ["linear", "words"]}
REREAD = [
    {"space": ["prompt", "readout"], "strategy": {"name": "genetic", "population_size": 4}},
    {"space": "delta", "strategy": LEARNING, "readout": "words", "founders": 2},
]
SWITCHED_OFF = dict.fromkeys(("random_search", "few_shot", "prior_corrected", "fine_tuning"), False)


def reread(folder: Path, model: Path) -> ToyCampaign:
    """Write a campaign whose second stage reads its founders by their words."""
    spaces = {**SPACE, "readout": READOUTS}
    return staged(folder, model, REREAD, space=spaces, budget__evaluations=14, baselines=SWITCHED_OFF)


@pytest.fixture(scope="module")
def reread_run(finished_run: Callable[..., Path]) -> Path:
    return finished_run(write=reread)


def test_a_stage_may_read_its_founders_in_another_way(reread_run: Path) -> None:
    tried, learnt = stages_of(reread_run)
    known = {e["id"]: e for e in (*tried, *learnt)}
    _, begun = entries(reread_run, "stage")
    assert len(begun["founders"]) == 2
    founders = [e for e in learnt if e["operators"] == ["reread"]]
    by_words = [id for id in begun["founders"] if known[id]["genome"]["readout"]["kind"] == "words"]
    assert len(founders) + len(by_words) == 2 and founders
    for founder in founders:
        (parent,) = (known[id] for id in founder["parents"])
        assert parent["id"] in begun["founders"] and parent["genome"]["prompt"] == founder["genome"]["prompt"]
    assert {e["genome"]["readout"]["kind"] for e in learnt} == {"words"}
    assert any("gradient_step" in e["operators"] for e in learnt)
    assert result_of(reread_run)["founder"]["id"] in {e["id"] for e in tried if not e["parents"]}


def test_the_best_of_the_last_stage_are_candidates_beside_the_best(reread_run: Path) -> None:
    layout = RunLayout(reread_run)
    parts = build_from_run(layout, load(layout.campaign))
    recorder = RunRecorder(parts, layout)
    search, checkpoint = main_search(parts, recorder), recorder.read_checkpoint()
    assert checkpoint is not None
    search.load_state_dict({**checkpoint["searches"]["main"], "strategy": search.strategy.state_dict()})
    recorder.close()
    parts.engine.close()
    found, (_, learnt) = [each.digest for each in search.candidates], stages_of(reread_run)
    assert found[:5] == [each.digest for each in search.archive.finalists]
    best = sorted((e for e in learnt if e["fitness"]), key=lambda e: (e["fitness"], -e["id"]), reverse=True)[:5]
    assert {e["digest"] for e in best} <= set(found) and len(found) == len(set(found))


PLAIN = [
    {"space": ["prompt", "readout"], "strategy": {"name": "genetic", "population_size": 4}},
    {"space": "delta", "strategy": LEARNING, "demonstrations": False, "founders": 2},
]


def plain(folder: Path, model: Path) -> ToyCampaign:
    """Write a campaign whose second stage leaves the demonstrations of its founders out."""
    spaces = {**SPACE, "readout": READOUTS}
    return staged(folder, model, PLAIN, space=spaces, budget__evaluations=14, baselines=SWITCHED_OFF)


def test_a_stage_may_leave_out_the_demonstrations_of_its_founders(finished_run: Callable[..., Path]) -> None:
    run = finished_run(write=plain)
    tried, learnt = stages_of(run)
    known = {e["id"]: e for e in (*tried, *learnt)}
    assert any(e["genome"]["prompt"]["demonstrations"] for e in tried)
    assert learnt and not any(e["genome"]["prompt"]["demonstrations"] for e in learnt)
    shown_anew = [e for e in learnt if e["operators"] == ["reread"]]
    assert shown_anew
    for founder in shown_anew:
        (parent,) = (known[id]["genome"] for id in founder["parents"])
        assert parent["prompt"]["demonstrations"] and parent["readout"] == founder["genome"]["readout"]
        assert parent["prompt"]["instruction"] == founder["genome"]["prompt"]["instruction"]


@pytest.mark.slow
def test_a_stage_that_reads_anew_resumes_to_the_byte(evolm: Any, reread_run: Path, tmp_path: Path) -> None:
    out = evolm.killed_and_resumed(reread_run.parent / "toy", tmp_path / "run", 16)
    assert bytes_of(out) == bytes_of(reread_run)


def test_a_text_is_short_for_stages(campaign: ToyCampaign) -> None:
    toy = ToyCampaign(campaign.folder, {**campaign.tables, "stage": "prompt+readout -> delta -> prompt"})
    parts = build(toy.config, toy.folder)
    parts.engine.close()
    assert [stage.kinds for stage in parts.stages] == [("prompt", "readout"), ("delta",), ("prompt",)]
    assert [stage.settings["name"] for stage in parts.stages] == ["genetic", "memetic", "genetic"]
    assert [stage.budget(parts.config.budget).evaluations for stage in parts.stages] == [5, 11, 16]
    whole = BudgetSection(evaluations=1, tokens=900, requests=90, seconds=9)
    limits = [stage.budget(whole).model_dump() for stage in parts.stages]
    assert [each["tokens"] for each in limits] == [300, 600, 900]
    assert [each["requests"] for each in limits] == [30, 60, 90]
    assert [each["seconds"] for each in limits] == pytest.approx([3, 6, 9], abs=0.1)
    assert [each["evaluations"] for each in limits] == [1, 1, 1]  # 0 would be no limit
    assert parts.space.evolving == ("prompt", "delta", "readout")


def test_view_and_report_name_the_stages(campaign: ToyCampaign, run: Path) -> None:
    record = RunRecord.read(run)
    told = "Stages begun, of 3: prompt+readout by genetic after 0 evaluations, delta by memetic after 8 evaluations"
    assert stages(record).startswith(told)
    assert record.individuals()["evaluation"].is_monotonic_increasing  # the curve goes on across stages
    assert [record.descent("main", e["id"])[0].parents for e in stages_of(run)[2]] == [()] * len(stages_of(run)[2])
    assert Phase("main", stage="stage 2 of 3 (delta)").title == "stage 2 of 3 (delta)"
    out = StringIO()
    preview(build(campaign.config, campaign.folder), Console(file=out, width=120))
    for name in ("stage 1 (prompt+readout)", "stage 2 (delta)", "stage 3 (prompt+readout)", "random search"):
        assert name in out.getvalue()
