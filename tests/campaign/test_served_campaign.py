"""Campaigns of a model behind a real HTTP server."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from evolm.campaign import build, continue_run
from evolm.campaign.preview import preview
from evolm.errors import ConfigError, ServerError
from evolm.export.predictor import saved_prompt
from evolm.models.served import client
from evolm.models.served.self_test import CONTEXT, OTHER
from tests.campaign.test_language_campaign import SPEAKING
from tests.support.kinds_of_campaigns import write_kind
from tests.support.served import Behaviour, Served, serving
from tests.support.toy_campaign import ToyCampaign, bytes_of, entries, merged, quick, write_campaign

NO_FAILURE = 200
SMALL: dict[str, Any] = {
    "task__split": {"train": 6, "dev": 4, "test": 4, "validation": 0},
    "space__prompt": {"demonstrations": [0, 1], "max_tokens": 240},
    "strategy__population_size": 2,
    "budget__evaluations": 4,
    "baselines": {"random_search": False, "bag_of_words": False},
    "model__concurrency": 3,
    "model__retries": 0,
    "model__price_per_million": [2.0, 10.0],
}


@pytest.fixture(scope="module")
def served(tiny_model_folder: Path) -> Served:
    return Served(tiny_model_folder)


@pytest.fixture(scope="module")
def server(served: Served) -> Iterator[tuple[str, Behaviour]]:
    with serving(served) as running:
        yield running


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_PAUSE", 0.001)


@pytest.fixture(scope="module")
def written(server: tuple[str, Behaviour], tmp_path_factory: pytest.TempPathFactory) -> ToyCampaign:
    return write_campaign(tmp_path_factory.mktemp("served") / "campaign", server[0], **SMALL)


@pytest.fixture(scope="module")
def undisturbed(written: ToyCampaign, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with quick():
        return written.run(tmp_path_factory.mktemp("runs") / "undisturbed").directory


def changed(written: ToyCampaign, **changes: Any) -> ToyCampaign:
    dotted = {key.replace("__", "."): value for key, value in changes.items()}
    return ToyCampaign(written.folder, merged(written.tables, dotted))


def test_a_served_campaign_scores_founders_like_a_local_one(
    written: ToyCampaign, undisturbed: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    model = {"name": str(tiny_model_folder), "dtype": "float32", "chat_template": "off"}
    tables = merged({key: value for key, value in written.tables.items() if key != "model"}, {"model": model})
    local = ToyCampaign(written.folder, tables).run(tmp_path / "local").directory
    ours, theirs = (entries(run, "individual")[:2] for run in (undisturbed, local))
    assert [entry["genome"] for entry in ours] == [entry["genome"] for entry in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        assert mine["fitness"] == pytest.approx(other["fitness"], abs=1e-2)


def test_a_run_that_its_server_ended_is_continued_to_the_byte(
    server: tuple[str, Behaviour], written: ToyCampaign, undisturbed: Path, tmp_path: Path
) -> None:
    _, behaviour = server
    begun = len(behaviour.requests)
    behaviour.failures[:] = [NO_FAILURE] * 60 + [500]
    with pytest.raises(ServerError, match="found status 500"):
        written.run(tmp_path / "run")
    ended = len(behaviour.requests)
    run = continue_run(tmp_path / "run").directory
    assert bytes_of(run) == bytes_of(undisturbed)
    before, after = (asked_of(part) for part in (behaviour.requests[begun:ended], behaviour.requests[ended:]))
    assert len(before) > 25
    under_way = 2 * 2 * written.config.model.concurrency  # requests for two labels each, twice as many as at a time
    assert len(set(before) & set(after)) <= under_way + 2  # and the lengths of the labels


def asked_of(requests: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    """Return the texts that were scored, without those of the self-test."""
    texts = [body["prompt"] for _, body in requests if body.get("echo")]
    return [text for text in texts if not text.startswith((CONTEXT, OTHER))]


def test_the_ledger_has_requests_and_money(undisturbed: Path) -> None:
    last = entries(undisturbed, "generation")[-1]
    requests, generated = last["served"]["requests"], last["served"]["generated"]
    assert requests == generated > 0  # the one token that an echo must write
    result = json.loads((undisturbed / "result.json").read_text(encoding="utf-8"))
    price = ((last["tokens"] - generated) * 2.0 + generated * 10.0) / 1e6
    assert result["budget"]["price"] == pytest.approx(price)
    assert "price" in (undisturbed / "report.html").read_text(encoding="utf-8")


def test_a_budget_of_requests_ends_the_search(written: ToyCampaign, tmp_path: Path) -> None:
    tables = {"budget__requests": 10, "budget__evaluations": 0}
    run = changed(written, **tables).run(tmp_path / "run").directory
    assert len(entries(run, "generation")) == 1
    assert entries(run, "generation")[0]["served"]["requests"] >= 10


def test_a_dry_run_estimates_requests_and_price(written: ToyCampaign) -> None:
    console = Console(width=200, record=True, quiet=False, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: SIM115
    preview(build(written.config, written.folder), console)
    said = " ".join(console.export_text().split())
    assert "log-probabilities by echo" in said
    assert "requests" in said and "price" in said
    assert "asked for again, alone and among others, was the same" in said


def test_the_key_is_in_no_file_of_a_run(
    server: tuple[str, Behaviour], written: ToyCampaign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    monkeypatch.setattr(server[1], "key", "sk-very-secret")
    run = changed(written, budget__evaluations=2).run(tmp_path / "run").directory
    files = [path for path in run.rglob("*") if path.is_file()]
    assert len(files) > 5
    assert not [path for path in files if b"sk-very-secret" in path.read_bytes()]


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"space__delta": {}}, "space.delta"),
        ({"space__readout": {"kinds": ["probe", "words"]}}, "space.readout.kinds"),
        ({"baselines__probe": True}, "baselines.probe"),
    ],
)
def test_what_needs_weights_or_states_is_refused(written: ToyCampaign, changes: dict[str, Any], what: str) -> None:
    with pytest.raises(ConfigError, match=rf"{what}.*expected a local model, found the server .*neither to weights"):
        build(changed(written, **changes).config, written.folder)


def test_a_budget_of_requests_needs_a_server(written: ToyCampaign, tiny_model_folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"budget.requests: expected a served model"):
        build(changed(written, model__name=str(tiny_model_folder), budget__requests=5).config, written.folder)


@pytest.mark.parametrize("kinds", [["linear", "words"], ["batch"], ["contextual"]], ids=lambda kinds: kinds[0])
def test_fitted_and_calibrated_readouts_work_without_states(
    written: ToyCampaign, tmp_path: Path, kinds: list[str]
) -> None:
    tables = {"space__readout": {"kinds": kinds}, "budget__evaluations": 2}
    run = changed(written, **tables).run(tmp_path / "run").directory
    assert entries(run, "verdict")


def test_labels_are_read_off_the_first_tokens_of_a_chat(served: Served, written: ToyCampaign, tmp_path: Path) -> None:
    with serving(served, routes=("models", "chat/completions"), listed=200) as (name, behaviour):
        tables = {"model__name": name, "model__chat_template": "auto", "budget__evaluations": 2}
        run = changed(written, **tables).run(tmp_path / "run").directory
        with saved_prompt(run) as prompt:
            table = prompt.predict(pd.DataFrame({"text": ["win a free prize"]}))
    assert entries(run, "run")[0]["server"]["way"] == "top_logprobs"
    assert entries(run, "verdict")
    assert set(table["label"]) <= {"spam", "ham"}
    assert json.loads((run / "best" / "messages.json").read_text(encoding="utf-8"))[-1]["role"] == "user"
    assert {route for route, _ in behaviour.requests} == {"models", "completions", "chat/completions"}


def test_generated_answers_are_asked_for_in_a_chat(served: Served, tmp_path: Path) -> None:
    with serving(served) as (name, behaviour):
        campaign = write_kind(tmp_path / "toy", Path("unused"), "generation")
        run = changed(campaign, model={"name": name}).run(tmp_path / "run").directory
    assert entries(run, "verdict")
    written = [route for route, body in behaviour.requests if body.get("max_tokens", 0) > 1]
    assert set(written) == {"chat/completions"}
    assert entries(run, "generation")[-1]["served"]["generated"] > 0


def test_a_served_writer_writes_and_is_charged_apart(
    server: tuple[str, Behaviour], written: ToyCampaign, tiny_model_folder: Path, tmp_path: Path
) -> None:
    writer = {"model": server[0], "price_per_million": [1.0, 1.0]}
    tables = {
        "model": {"name": str(tiny_model_folder), "dtype": "float32", "chat_template": "off"},
        "operators": {**dict.fromkeys(SPEAKING, 20.0), "writer": writer},
        "space__readout": {"kinds": ["words"]},
    }
    local = ToyCampaign(written.folder, merged({**written.tables, "model": {}}, {}))
    run = changed(local, **tables).run(tmp_path / "run").directory
    last = entries(run, "generation")[-1]
    assert last["served"]["writer_requests"] > 0 < last["writer_tokens"]
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    assert result["budget"]["price"] == pytest.approx(last["writer_tokens"] / 1e6)
