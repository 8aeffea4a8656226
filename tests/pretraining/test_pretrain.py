"""``evolm pretrain`` on a corpus of a small grammar: training, folder, resume, signals."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from transformers import AutoModelForCausalLM, AutoTokenizer

from evolm.errors import ConfigError, DataError, Interrupted, RunError
from evolm.evaluation import Engine
from evolm.models import LanguageModel, LogLikelihood, prepare
from evolm.pretraining.run import CHECKPOINT, RECORD, conclusion, pretrain
from evolm.pretraining.settings import PretrainSettings
from evolm.pretraining.trainer import LOWEST, Mark, Trainer, learning_rate, nats, new_model
from evolm.pretraining.view import PretrainView
from evolm.storage import AnswerStore
from tests.pretraining.conftest import SHAPE
from tests.support.command_line import evolm as command_line
from tests.support.command_line import refused
from tests.support.tiers import slow

Shape = Callable[..., PretrainSettings]
OPTIONS = [f"--{key}={SHAPE[key]}" for key in ("layers", "width", "heads", "vocabulary", "tokens")]
OPTIONS += ["--set", f"context={SHAPE['context']}", "--set", f"batch={SHAPE['batch']}"]


@pytest.fixture(scope="module")
def trained(corpus_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained model's folder, changed by no test."""
    out = tmp_path_factory.mktemp("trained") / "model"
    pretrain([str(corpus_file)], out, PretrainSettings(**SHAPE))
    return out


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def record_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / RECORD).read_text(encoding="utf-8"))


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the files of a model that do not depend on the clock."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != RECORD}


def test_the_folder_is_a_model_that_evolm_and_transformers_read_alike(trained: Path) -> None:
    assert not (trained / CHECKPOINT).exists()
    model = LanguageModel(prepare(str(trained), dtype="float32", device="cpu"))
    request = LogLikelihood("", "the cat", (" sees the house today.",))
    (tokens,) = model.tokenize([request])
    (answer,) = Engine(model, AnswerStore(":memory:")).answer([request])
    plain = AutoModelForCausalLM.from_pretrained(trained)
    ids = AutoTokenizer.from_pretrained(trained)("the cat sees the house today.", return_tensors="pt").input_ids
    assert ids[0].tolist() == [*tokens.context, *tokens.continuations[0]]
    with torch.no_grad():
        logprobs = plain(ids).logits.log_softmax(-1)[0, :-1].gather(1, ids[0, 1:, None])[:, 0]
    assert answer[0] == pytest.approx(logprobs[len(tokens.context) - 1 :].numpy(), abs=1e-3)


def test_it_learns_and_the_record_says_how_well(trained: Path) -> None:
    record = record_of(trained)
    curve = [perplexity for _, perplexity in record["validation"]]
    assert curve[-1] < 0.7 * curve[0]
    assert record["tokens"] == SHAPE["tokens"] and record["steps"] == 24
    assert record["test"]["tokens"] > 50
    assert all(np.isfinite(record["test"][name]["perplexity"]) for name in ("model", "bigrams"))
    first, second = conclusion(record, trained)
    assert f"{record['test']['model']['perplexity']:.1f}" in first and "that of bigrams" in first
    assert str(trained) in second


def test_long_enough_it_beats_bigrams(corpus_file: Path, tmp_path: Path, shape: Shape) -> None:
    """A sentence's second half follows its first only by way of more than one token: bigrams see one."""
    settings = shape(width=32, tokens=64 * 400, learning_rate=0.01)
    test = pretrain([str(corpus_file)], tmp_path / "model", settings)["test"]
    assert test["model"]["perplexity"] < 0.95 * test["bigrams"]["perplexity"]


def test_the_measured_perplexity_is_that_of_plain_transformers(trained: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(trained)
    tokens = np.arange(40) % 300
    found = nats(model, tokens, 16)
    assert len(found) == 39
    with torch.no_grad():
        for start in (0, 16, 32):
            ids = torch.from_numpy(tokens[start : start + 17])[None]
            plain = model(ids[:, :-1]).logits.log_softmax(-1)[0].gather(1, ids[0, 1:, None])[:, 0]
            assert found[start : start + 16] == pytest.approx(plain.numpy(), abs=1e-4)


def test_the_rate_rises_then_falls_along_a_cosine() -> None:
    rates = [learning_rate(step, 1000, 1.0) for step in range(1001)]
    assert rates[0] == 1 / 40 and max(rates) == rates[40] == 1.0
    assert rates[40:] == sorted(rates[40:], reverse=True)
    assert rates[1000] == pytest.approx(LOWEST)
    assert rates[520] == pytest.approx((1 + LOWEST) / 2)  # half of the way


def test_the_first_weights_and_windows_follow_from_the_seed(shape: Shape) -> None:
    one, two, other = (new_model(shape(seed=seed), 0) for seed in (0, 0, 1))
    weights = [next(iter(model.parameters())) for model in (one, two, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_an_epoch_passes_every_window_once(shape: Shape) -> None:
    tokens = np.arange(16 * 21 + 1)
    trainer = Trainer(shape(vocabulary=400), tokens, tokens[:40], 0)
    starts = np.concatenate([trainer._windows(step)[:, 0] for step in range(5)])  # 20 windows of 16 tokens
    assert len(set(starts)) == 20
    assert set(np.diff(np.sort(starts))) == {16}


def test_it_ends_early_and_keeps_the_best_state(corpus_file: Path, tmp_path: Path, shape: Shape) -> None:
    record = pretrain([str(corpus_file)], tmp_path / "model", shape(learning_rate=3.0, patience=2, tokens=64 * 60))
    curve = [perplexity for _, perplexity in record["validation"]]
    assert record["stopped_early"] and record["steps"] < 60
    assert min(curve) not in curve[-2:]


def test_minutes_plan_the_steps_once(corpus_file: Path, tmp_path: Path, shape: Shape) -> None:
    record = pretrain([str(corpus_file)], tmp_path / "model", shape(tokens=0, minutes=1e-3))
    assert record["steps"] == 40  # the fewest


@pytest.mark.parametrize("terminal", [True, False])
def test_the_view_shows_evaluations_and_sentences(terminal: bool) -> None:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=160)
    with closing(PretrainView(console)) as view:
        view.say("900 documents")
        view.show(Mark(step=5, steps=20, tokens=320, loss=3.5, perplexity=31.25, tokens_per_second=640))
    told = console.file.getvalue()
    assert "900 documents" in told
    assert "step 5 of 20" in told and "validation perplexity 31.2" in told


# -- stopping and going on -------------------------------------------------------------------------------------


def test_interrupted_at_any_evaluation_and_continued_it_is_the_same_model(
    trained: Path, corpus_file: Path, tmp_path: Path, shape: Shape
) -> None:
    out = tmp_path / "model"
    for at in (1, 9, 20):

        def stop(mark: Mark, at: int = at) -> None:
            if mark.step >= at:
                raise Interrupted

        with pytest.raises(Interrupted):
            pretrain([str(corpus_file)], out, shape(), told=stop)
        assert not (out / "config.json").exists()
    pretrain([str(corpus_file)], out, shape())
    assert files_of(out) == files_of(trained)
    ours, theirs = record_of(out), record_of(trained)
    assert {**ours, "seconds": 0} == {**theirs, "seconds": 0}


@pytest.mark.parametrize(("name", "code"), [("SIGKILL", -9), ("SIGTERM", 143), slow("SIGINT", 130)])
def test_a_process_that_a_signal_ends_goes_on_with_the_same_command(
    evolm: Any, trained: Path, corpus_file: Path, tmp_path: Path, name: str, code: int
) -> None:
    command = ("pretrain", corpus_file, "--out", tmp_path / "model", *OPTIONS)
    told = evolm(*command, call="replace", at=7, signal=name)
    assert told["exit"] == code, told["log"]
    assert name == "SIGKILL" or "Stopped. The same command goes on." in told["log"]
    assert (tmp_path / "model" / CHECKPOINT).is_dir() and not (tmp_path / "model" / "config.json").exists()
    again = evolm(*command)
    assert again["exit"] == 0 and "Continued after step" in again["log"], again["log"]
    assert json.loads((tmp_path / "model" / "config.json").read_bytes())["vocab_size"] == SHAPE["vocabulary"]
    ours, theirs = (record_of(folder)["test"]["model"] for folder in (tmp_path / "model", trained))
    assert ours == pytest.approx(theirs, rel=1e-3)  # a process of its own may use more threads


def test_a_finished_training_is_not_repeated(trained: Path, corpus_file: Path, tmp_path: Path, shape: Shape) -> None:
    out = tmp_path / "model"
    shutil.copytree(trained, out)
    said: list[str] = []
    assert pretrain([str(corpus_file)], out, shape(), say=said.append) == record_of(trained)
    assert "was finished before" in said[0]


# -- what is refused -------------------------------------------------------------------------------------------


def test_another_corpus_or_other_settings_do_not_continue(
    trained: Path, corpus_file: Path, tmp_path: Path, shape: Shape
) -> None:
    other = tmp_path / "other.txt"
    other.write_text(corpus_file.read_text(encoding="utf-8") + "one more line\n", encoding="utf-8")
    before = files_of(trained)
    with pytest.raises(RunError, match="expected the corpus that its training began with"):
        pretrain([str(other)], trained, shape())
    with pytest.raises(RunError, match="expected layers = 1, with which its training began, found 2"):
        pretrain([str(corpus_file)], trained, shape(layers=2))
    assert files_of(trained) == before


def test_a_folder_with_something_else_is_refused(corpus_file: Path, tmp_path: Path, shape: Shape) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(RunError, match="expected a new folder for the model, found an existing"):
        pretrain([str(corpus_file)], tmp_path, shape())
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_settings_that_cannot_be_are_refused_before_anything_is_written(
    corpus_file: Path, tmp_path: Path, shape: Shape
) -> None:
    out = tmp_path / "model"
    with pytest.raises(ConfigError, match="vocabulary: expected at most"):
        pretrain([str(corpus_file)], out, shape(vocabulary=50_000))
    with pytest.raises(ConfigError, match="expected a corpus of at least"):
        pretrain([str(corpus_file)], out, shape(context=9_000, longest=9_000))
    with pytest.raises(DataError, match="expected a file, found none"):
        pretrain([str(tmp_path / "missing.txt")], out, shape())
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--width", "32"], "expected a multiple of twice the 3 heads, found 32"),
        (["--vocabulary", "20"], "vocabulary"),
        (["--layers", "0"], "layers"),
        (["--minutes", "0"], "minutes"),
        (["--set", "learning=1"], "learning"),
    ],
)
def test_the_command_refuses_in_one_sentence(
    corpus_file: Path, tmp_path: Path, arguments: list[str], expected: str
) -> None:
    sentence = refused(command_line("pretrain", str(corpus_file), "--out", str(tmp_path / "new"), *arguments), "")
    assert expected in sentence
    assert not (tmp_path / "new").exists()
