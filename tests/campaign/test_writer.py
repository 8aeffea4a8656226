"""Campaigns in which another model than the one that evolves writes for language operators."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console
from transformers import AutoTokenizer, BertConfig, BertLMHeadModel

from evolm.campaign import build, continue_run
from evolm.campaign.preview import preview
from evolm.errors import ConfigError, RunError
from tests.campaign.test_language_campaign import SPEAKING
from tests.support.crashes import Crash, CrashAfterGeneration
from tests.support.toy_campaign import ToyCampaign, bytes_of, entries, merged, quick, write_campaign


@pytest.fixture(scope="module")
def written(
    tmp_path_factory: pytest.TempPathFactory, tiny_model_folder: Path, talkative_model_folder: Path
) -> ToyCampaign:
    """A campaign of the tiny model whose children are written by the talkative one."""
    return write_campaign(
        tmp_path_factory.mktemp("written") / "campaign",
        tiny_model_folder,
        operators={**dict.fromkeys(SPEAKING, 20.0), "writer": {"model": str(talkative_model_folder)}},
        space__readout__kinds=["words"],
        baselines__random_search=False,
        budget__evaluations=10,
    )


@pytest.fixture(scope="module")
def undisturbed(written: ToyCampaign, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with quick():
        return written.run(tmp_path_factory.mktemp("runs") / "undisturbed").directory


def test_children_are_written_and_their_tokens_are_charged_apart(undisturbed: Path) -> None:
    (rates,) = (entry["rates"] for entry in entries(undisturbed, "operators"))
    assert sum(rates[name]["accepted"] for name in SPEAKING) > 0
    generations = entries(undisturbed, "generation")
    spent = [entry["writer_tokens"] for entry in generations]
    assert spent[0] == 0 < spent[1] and spent == sorted(spent)
    timing = [json.loads(line) for line in (undisturbed / "timing.jsonl").read_text(encoding="utf-8").splitlines()]
    charged = [entry["tokens_charged"] for entry in timing if entry["event"] == "generation"]
    assert [entry["tokens"] for entry in generations] == charged  # of the tiny model alone
    budget = json.loads((undisturbed / "result.json").read_text(encoding="utf-8"))["budget"]
    assert (budget["tokens"], budget["writer_tokens"]) == (generations[-1]["tokens"], spent[-1])
    assert "writer tokens" in (undisturbed / "report.html").read_text(encoding="utf-8")


def test_the_writer_reads_patterns_only_and_the_model_that_evolves_the_rest(
    written: ToyCampaign, talkative_model_folder: Path
) -> None:
    parts = build(written.config, written.folder)
    assert parts.writer is not None and parts.writer.model.prepared.name == str(talkative_model_folder)
    strategy = parts.stage_strategy(0)
    access = strategy.context.model_access
    assert access is not None
    individuals = strategy.ask()
    parts.evaluator.score_individuals(individuals, parts.task.dev)
    strategy.tell(individuals)
    before = parts.engine.usage.tokens_charged
    strategy.ask()
    spent = access.spent()
    assert spent.writer_tokens == parts.writer.usage.tokens_charged > 0
    assert spent.tokens == parts.engine.usage.tokens_charged - before  # train items of language feedback
    parts.engine.close()


def test_a_run_that_crashes_after_every_generation_ends_as_the_undisturbed_one(
    written: ToyCampaign, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with pytest.raises(Crash):
        written.run(out, observers=[CrashAfterGeneration()])
    for _ in entries(undisturbed, "generation")[1:]:
        with pytest.raises(Crash):
            continue_run(out, observers=[CrashAfterGeneration()])
    continue_run(out)
    assert bytes_of(out) == bytes_of(undisturbed)


def test_another_writer_cannot_continue_a_run(written: ToyCampaign, tiny_model_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(Crash):
        written.run(out, observers=[CrashAfterGeneration()])
    file = out / "campaign.toml"
    text = file.read_text(encoding="utf-8")
    changed = text.replace(written.tables["operators"]["writer"]["model"], str(tiny_model_folder))
    assert changed != text
    file.write_text(changed, encoding="utf-8")
    with pytest.raises(RunError, match="writer.name changed since the run began"):
        continue_run(out)


def test_a_dry_run_names_the_writer_and_its_tokens(written: ToyCampaign, talkative_model_folder: Path) -> None:
    console = Console(record=True, width=400)
    preview(build(written.config, written.folder), console)
    assert f"Writer {talkative_model_folder}: " in (shown := console.export_text())
    assert "at most 128; they are charged apart" in shown


def test_a_model_that_cannot_generate_is_refused_as_a_writer(
    written: ToyCampaign, tiny_model_folder: Path, tmp_path: Path
) -> None:
    config = BertConfig(
        vocab_size=256, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16
    )
    BertLMHeadModel(config).save_pretrained(tmp_path / "encoder")
    AutoTokenizer.from_pretrained(tiny_model_folder).save_pretrained(tmp_path / "encoder")
    tables = merged(written.tables, {"operators.writer.model": str(tmp_path / "encoder")})
    with pytest.raises(
        ConfigError, match=r"operators.writer.model: expected a model that can generate text: .*encoder"
    ):
        ToyCampaign(written.folder, tables).run(tmp_path / "run")
    assert not (tmp_path / "run" / "journal.jsonl").exists()
