"""General ability: campaigns with ``[guard]`` on the tiny model."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomlkit
import torch
from rich.console import Console
from transformers import AutoModelForCausalLM

from evolm.campaign.build import build
from evolm.errors import ConfigError, DataError
from evolm.evaluation import Engine
from evolm.evaluation.guard import ABILITY, PASSAGE, PERPLEXITY, passages_of, sample_text
from evolm.models import LanguageModel
from evolm.report.page import write_report
from evolm.report.summary import render_summary
from evolm.storage import AnswerStore
from tests.support.delta_campaigns import write_delta_campaign
from tests.support.toy_campaign import bytes_of, entries, merged, result_of, write_campaign

LIMIT = 0.002
GUARD = {"tokens": 128, "max_rise": LIMIT}
SHORT = {"baselines__random_search": False, "budget__evaluations": 10}


@pytest.fixture(scope="module")
def guarded(finished_run: Callable[..., Path]) -> Path:
    """A finished run of deltas within a tight limit."""
    return finished_run("delta", write=write_delta_campaign, guard=GUARD, **SHORT)


@pytest.fixture(scope="module")
def watched(finished_run: Callable[..., Path]) -> Path:
    """The same run with a limit that nothing reaches: measured, and not constrained."""
    return finished_run("delta", write=write_delta_campaign, guard={**GUARD, "max_rise": 1e6}, **SHORT)


def plain_nats(plain: Any, tokens: Any) -> np.ndarray:
    """Return the log-probabilities (nats) of a request's only continuation by a plain forward pass."""
    ids = torch.tensor([[*tokens.context, *tokens.continuations[0]]])
    with torch.no_grad():
        logprobs = plain(ids).logits.log_softmax(-1)[0, :-1]
    return logprobs.gather(1, ids[0, 1:, None])[len(tokens.context) - 1 :, 0].numpy()


def rise(run: Path) -> float:
    return result_of(run)["guard"]["rise"]


def test_a_campaign_that_breaks_the_limit_keeps_it_with_the_guard(guarded: Path, watched: Path) -> None:
    assert rise(watched) > LIMIT
    assert rise(guarded) <= LIMIT and result_of(guarded)["guard"]["kept"]


def test_every_individual_is_measured_and_its_violation_is_what_lies_above_the_limit(guarded: Path) -> None:
    base = result_of(guarded)["guard"]["base"]
    individuals = entries(guarded, "individual", "main")
    assert individuals[0]["measures"][PERPLEXITY] == base  # the founder changes nothing
    beyond = [i["measures"][PERPLEXITY] / base - 1 - LIMIT for i in individuals]
    assert [i.get("violation", 0.0) for i in individuals] == pytest.approx([max(0.0, each) for each in beyond])
    assert any(each > 0 for each in beyond) and any(each < 0 for each in beyond)


def test_feasible_finalists_come_first_and_are_told_with_their_perplexity(guarded: Path) -> None:
    base, (final,) = result_of(guarded)["guard"]["base"], entries(guarded, "validation", "main")
    kept = [finalist[PERPLEXITY] / base - 1 <= LIMIT for finalist in final["finalists"]]
    assert kept == sorted(kept, reverse=True) and kept[0]
    assert final["winner"] in [f["id"] for f, keeps in zip(final["finalists"], kept, strict=True) if keeps]


def test_summary_and_report_tell_the_perplexity(guarded: Path) -> None:
    guard = result_of(guarded)["guard"]
    told = f"General perplexity {guard['base']:.1f} → {guard['best']:.1f}"
    console = Console(record=True, width=200, file=io.StringIO())
    console.print(render_summary(guarded))
    assert told in console.export_text()
    assert told in write_report(guarded).read_text(encoding="utf-8")


def test_passes_are_charged_once_for_each_delta_and_once_for_the_unchanged_model(
    guarded: Path, finished_run: Callable[..., Path]
) -> None:
    plain = finished_run("delta", write=write_delta_campaign, **SHORT)
    tokens = result_of(guarded)["guard"]["tokens"]
    assert 100 <= tokens <= 160
    first, without = (entries(run, "generation", "main")[0] for run in (guarded, plain))
    deltas = first["evaluations"] - 1  # the founder has none
    assert first["tokens"] - without["tokens"] == (1 + deltas) * tokens


def test_killed_and_resumed_with_two_workers_the_journal_is_the_serial_one(
    guarded: Path, tmp_path: Path, tiny_model_folder: Path, evolm: Any
) -> None:
    changes = {**SHORT, "guard": GUARD, "evaluation__n_jobs": 2}
    toy = write_delta_campaign(tmp_path / "toy", tiny_model_folder, "delta", **changes)
    (toy.folder / "campaign.toml").write_text(tomlkit.dumps(toy.tables), encoding="utf-8")
    out = evolm.killed_and_resumed(toy.folder, tmp_path / "out", at=8)
    assert bytes_of(out) == bytes_of(guarded)


def test_prompts_are_not_measured(finished_run: Callable[..., Path]) -> None:
    run = finished_run(guard=GUARD)
    assert result_of(run)["guard"]["base"] is None
    assert entries(run, "individual") == entries(finished_run(), "individual")


def test_general_ability_is_an_objective_of_nsga2(finished_run: Callable[..., Path]) -> None:
    run = finished_run(
        "delta",
        write=write_delta_campaign,
        guard={"tokens": 128, "use": "objective"},
        fitness__combine="pareto",
        strategy={"name": "nsga2", "population_size": 4},
        **SHORT,
    )
    result = result_of(run)
    members = result["front"]["members"]
    perplexities = {i["id"]: i["measures"][PERPLEXITY] for i in entries(run, "individual", "main")}
    assert all(len(member["objectives"]) == 2 for member in members)
    for member in members:
        assert member["objectives"][ABILITY] == pytest.approx(-math.log(perplexities[member["id"]]))
    assert result["guard"]["use"] == "objective"


def test_the_perplexity_is_that_of_plain_transformers(
    tiny_model: Callable[..., LanguageModel], tiny_model_folder: Path
) -> None:
    model, plain = tiny_model(), AutoModelForCausalLM.from_pretrained(tiny_model_folder)
    passages = passages_of(sample_text(), model, 200)
    nats = [plain_nats(plain, tokens) for tokens in model.tokenize(passages)]
    assert sum(map(len, nats)) <= 200
    engine = Engine(model, AnswerStore(":memory:"))
    found = np.concatenate([answer[0] for answer in engine.answer(passages)])
    assert np.exp(-found.mean()) == pytest.approx(np.exp(-np.concatenate(nats).mean()), rel=1e-4)


def test_passages_fit_the_context_and_keep_every_word_of_a_short_text(
    tiny_model: Callable[..., LanguageModel],
) -> None:
    model = tiny_model()
    text = "One two three four.\n\n" * 12
    passages = passages_of(text, model, 10_000)
    assert len(passages) == 12
    assert {passage.item + passage.continuations[0] for passage in passages} == {"One two three four."}
    long = model.tokenize(passages_of(sample_text(), model, 1000))
    assert all(len(each.context) + len(each.continuations[0]) <= PASSAGE for each in long)


@pytest.mark.parametrize(
    ("guard", "changes", "expected"),
    [
        ({"data": "short.txt"}, {}, "guard.data: expected text of at least 100 tokens, found"),
        ({"data": "bytes.txt"}, {}, "expected a text in UTF-8"),
        ({"data": "nothing.txt"}, {}, "expected a file, found none"),
        ({"use": "objective"}, {}, "guard.use = 'objective': expected fitness.combine = 'pareto'"),
        ({"max_rise": -1}, {}, "max_rise"),
    ],
)
def test_a_guard_that_cannot_be_is_refused(
    guard: dict[str, Any], changes: dict[str, Any], expected: str, tmp_path: Path, tiny_model_folder: Path
) -> None:
    toy = write_delta_campaign(tmp_path, tiny_model_folder, "delta", **changes)
    (tmp_path / "short.txt").write_text("A few words.", encoding="utf-8")
    (tmp_path / "bytes.txt").write_bytes(bytes(range(256)) * 4)
    toy = type(toy)(toy.folder, merged(toy.tables, {"guard": guard}))
    with pytest.raises((ConfigError, DataError), match=expected):
        build(toy.config, tmp_path)


def test_an_objective_of_prompts_alone_is_refused(tmp_path: Path, tiny_model_folder: Path) -> None:
    toy = write_campaign(
        tmp_path,
        tiny_model_folder,
        guard={"use": "objective"},
        fitness__combine="pareto",
        strategy={"name": "nsga2"},
    )
    with pytest.raises(ConfigError, match="expected weights that evolve"):
        build(toy.config, tmp_path)


def test_a_soup_or_committee_beyond_the_limit_does_not_win(finished_run: Callable[..., Path]) -> None:
    forms = {"committee": 3, "soup": 3}
    run = finished_run("delta", write=write_delta_campaign, guard={**GUARD, "max_rise": 1e-9}, finals=forms, **SHORT)
    guard, (final,) = result_of(run)["guard"], entries(run, "validation", "main")
    for record in filter(None, (final["soup"], final["committee"])):
        if PERPLEXITY in record:  # it won by its answers
            assert record["won"] == (record[PERPLEXITY] <= guard["base"] * (1 + 1e-9))
    assert guard["kept"]


@pytest.mark.real_model
@pytest.mark.slow
def test_the_sample_under_smollm2_has_the_perplexity_of_plain_transformers(
    smollm2: Callable[[str], LanguageModel],
) -> None:
    model = smollm2("float32")
    passages = passages_of(sample_text(), model, 300)
    found = np.concatenate([answer[0] for answer in Engine(model, AnswerStore(":memory:")).answer(passages)])
    plain = AutoModelForCausalLM.from_pretrained(model.prepared.folder).float()
    nats = [plain_nats(plain, tokens) for tokens in model.tokenize(passages)]
    assert len(found) > 250
    assert np.exp(-found.mean()) == pytest.approx(np.exp(-np.concatenate(nats).mean()), rel=1e-3)
    assert 5 < np.exp(-found.mean()) < 60  # a model of English
