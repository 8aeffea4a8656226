"""Answers whose first token also holds the end of the item, and answers that a tokenizer cannot tell apart."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.special
import torch
from rich.console import Console
from tokenizers import normalizers
from transformers import LlamaForCausalLM

from evolm.campaign.build import build
from evolm.campaign.preview import preview
from evolm.config import TaskSection, TemplateSection
from evolm.errors import Unanswerable
from evolm.evaluation import Engine
from evolm.evaluation.dialogue import hold
from evolm.genomes import Phenotype, Prompt, Readout
from evolm.models import Generate, GradientRequest, LanguageModel, LogLikelihood, prepare
from evolm.models.deltas import Delta, LowRank
from evolm.models.splitting import border
from evolm.readout_kinds import CONTEXTUAL
from evolm.scorers.labels import LabelProbabilities
from evolm.storage import AnswerStore
from evolm.tasks import Task, load_task
from evolm.testing.tiny_model import tokenizer_of_letters, write_tiny_model
from tests.support.once import SharedFolder
from tests.support.toy_campaign import write_campaign

ITEM = "真好。这个情感是"
BORDER = ("是正", "是负", "正面", "负面")  # the tokens of "...是" are no beginning of those of "...是正面"
SWALLOWED = ("是好", "是坏")  # item's end and whole answer are one token


def joining(folder: Path, merged: Sequence[str], **options: Any) -> LanguageModel:
    """Return a tiny model with tokens for these texts."""
    write_tiny_model(folder, tokenizer_of_letters(merged, **{"chat_template": None, **options}))
    return LanguageModel(prepare(str(folder), dtype="float32", device="cpu"))


@pytest.fixture(scope="session")
def border_model(shared_folder: SharedFolder) -> LanguageModel:
    folder = shared_folder.once("border", lambda folder: write_tiny_model(folder, tokenizer_of_letters(BORDER, None)))
    return LanguageModel(prepare(str(folder), dtype="float32", device="cpu"))


def plain_logprob(model: LanguageModel, tokens: Sequence[int], begin: int) -> float:
    """The log-probability (nats) of ``tokens[begin:]`` behind those before, by a plain forward pass."""
    with torch.inference_mode():
        plain = LlamaForCausalLM.from_pretrained(model.prepared.folder)
        logits = plain(input_ids=torch.tensor([tokens[:-1]]), use_cache=False).logits[0]
    picked = torch.log_softmax(logits[begin - 1 :].float(), -1).gather(1, torch.tensor(tokens[begin:])[:, None])
    return float(picked.sum())


def test_a_token_over_the_border_is_scored_behind_the_last_common_token(border_model: LanguageModel) -> None:
    request = LogLikelihood("Is it good?\n", ITEM, ("正面", "负面"))
    tokens = border_model.tokenize([request])[0]
    wholes = border_model.encode(["Is it good?\n" + ITEM + answer for answer in request.continuations], chat=False)
    assert [list(tokens.context + answer) for answer in tokens.continuations] == wholes
    assert border_model.tokenizer.decode(tokens.context) == "Is it good?\n真好。这个情感"
    assert tokens.joined == 1 and tokens.prefix_length == len("Is it good?\n")
    answers = Engine(border_model, AnswerStore(":memory:")).answer([request])[0]
    sums = [plain_logprob(border_model, whole, len(tokens.context)) for whole in wholes]
    assert np.allclose([answer.sum() for answer in answers], sums, atol=1e-3)
    assert abs(sums[0] - sums[1]) > 0.01  # both were scored as the same 面 once
    assert answers.joined == 1


def test_one_answer_that_joins_moves_the_border_for_all_answers_of_the_request(tmp_path: Path) -> None:
    model = joining(tmp_path, SWALLOWED)
    alone, together = model.tokenize([LogLikelihood("", ITEM, ("OK",)), LogLikelihood("", ITEM, ("OK", "好"))])
    assert len(together.context) < len(alone.context) and alone.joined == 0
    assert [model.tokenizer.decode(answer) for answer in together.continuations] == ["是OK", "是好"]


@pytest.mark.parametrize("chat_template", [None, "{% for message in messages %}{{ message['content'] }}{% endfor %}"])
def test_an_answer_that_is_swallowed_by_the_items_last_token_is_scored(
    tmp_path: Path, chat_template: str | None
) -> None:
    model = joining(tmp_path, SWALLOWED, chat_template=chat_template)
    tokens = model.tokenize([LogLikelihood("", ITEM, ("好", "坏"))])[0]
    assert [len(answer) for answer in tokens.continuations] == [1, 1]
    assert len(set(tokens.continuations)) == 2


def test_a_text_that_begins_with_the_joined_token_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unanswerable, match="answer '好': expected a token before it"):
        joining(tmp_path, SWALLOWED).tokenize([LogLikelihood("", "是", ("好",))])


def test_the_item_of_a_generation_keeps_all_its_tokens(border_model: LanguageModel) -> None:
    context = border_model.tokenize([Generate("", ITEM)])[0].context
    assert border_model.tokenizer.decode(context) == ITEM


@pytest.mark.parametrize(
    ("context", "wholes", "length"),
    [
        ([1, 2, 3], [[1, 2, 3, 4], [1, 2, 3, 5]], 3),
        ([1, 2, 3], [[1, 2, 9], [1, 2, 3, 5]], 2),
        ([1, 2, 3], [[1, 2], [1, 8, 3, 5]], 1),
        ([1, 2, 3], [[7, 2], [1, 8]], 0),
        ([1, 2], [], 2),
    ],
)
def test_the_border_is_the_last_common_token(context: list[int], wholes: list[list[int]], length: int) -> None:
    assert border(context, wholes) == length


def test_joined_characters_count_in_a_mean_per_character(border_model: LanguageModel) -> None:
    request = LogLikelihood("", ITEM, ("正面", "负"))
    tokens = border_model.tokenize([request])[0]
    lesson = GradientRequest((request,), ((1.0, 0.0),), "characters", contrast=True)
    assert lesson.scales((tokens,)) == ((1 / 3, 1 / 2),)


def test_labels_are_counted_in_tokens_behind_their_common_border(border_model: LanguageModel, toy_task: Task) -> None:
    assert toy_task.labels == ("ham", "spam")
    counts = LabelProbabilities(toy_task, border_model, "auto", {}).word_tokens
    assert counts == {"ham": 4, "spam": 5}


# -- everything that is built from requests ------------------------------------------------------------------

TEMPLATE = TemplateSection(item="{{ text }}这个情感是", answer="{{ label }}")
FRAMES = {
    "classification": pd.DataFrame({"text": [f"好 {i}" for i in range(20)], "label": ["正面", "负面"] * 10}),
    "choice": pd.DataFrame(
        {
            "text": [f"好 {i}" for i in range(20)],
            "options": [["正面", "负面", "OK"]] * 20,
            "label": ["正面", "OK"] * 10,
        }
    ),
}


def joined_task(kind: str) -> Task:
    frame = FRAMES[kind]
    section = TaskSection(kind=kind, data="frame", columns={name: name for name in frame.columns})
    return load_task(section, TEMPLATE, root=Path(), frame=frame)


def expected_sums(model: LanguageModel, request: LogLikelihood) -> list[float]:
    """The log-probabilities of a request's answers: whole texts behind their common tokens."""
    tokens = model.tokenize([request])[0]
    assert tokens.joined == 1
    return [plain_logprob(model, [*tokens.context, *answer], len(tokens.context)) for answer in tokens.continuations]


@pytest.mark.parametrize("kind", FRAMES)
def test_calibrated_labels_and_options_are_read_from_whole_texts(kind: str, border_model: LanguageModel) -> None:
    task = joined_task(kind)
    labels = LabelProbabilities(task, border_model, "sum", {})
    prompt, items = Prompt("Good?"), task.dev[:1]
    engine = Engine(border_model, AnswerStore(":memory:"))
    [outcome] = hold([labels.ask(Phenotype(prompt, readout=Readout(CONTEXTUAL)), items)], engine)
    [own] = [expected_sums(border_model, request) for request in labels.requests(prompt, items)]
    priors = np.array([expected_sums(border_model, request) for request in labels.prior_requests(prompt, items)])
    prior = scipy.special.softmax(priors, axis=1).mean(axis=0)
    probabilities = scipy.special.softmax(own) / prior
    assert outcome.result is not None
    assert np.allclose(np.exp(outcome.result[0]), probabilities / probabilities.sum(), atol=1e-3)


def test_learning_reads_whole_texts(border_model: LanguageModel) -> None:
    nothing = LowRank(np.zeros((1, 32), np.float32), np.zeros((32, 1), np.float32))
    request = LogLikelihood("", ITEM, ("正面", "负面"), delta=Delta({"model.layers.1.self_attn.q_proj": nothing}, 1))
    lesson = GradientRequest((request,), ((1.0, 0.0),), "sum", contrast=True)
    [result] = Engine(border_model, AnswerStore(":memory:")).learn([lesson])
    sums = expected_sums(border_model, replace(request, delta=None))
    assert np.isclose(result.value, sums[0] - np.logaddexp(*sums), atol=1e-3)


def test_a_dry_run_says_that_answers_are_scored_with_the_end_of_the_item(
    border_model: LanguageModel, tmp_path: Path
) -> None:
    template = {"item": TEMPLATE.item, "answer": TEMPLATE.answer}
    labels = {"ham": "正面", "spam": "负面"}
    changes: dict[str, Any] = {"template": template, "task__labels": labels, "space__prompt__verbalizers": {}}
    toy = write_campaign(tmp_path / "toy", border_model.prepared.folder, **changes)
    console = Console(file=io.StringIO(), width=300)
    preview(build(toy.config, toy.folder), console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "In 10 of 10 prompts one token holds the end of the item and the beginning of an answer" in said
    assert "here as '是正面'" in said


# -- answers with the same tokens ----------------------------------------------------------------------------


@pytest.fixture(scope="session")
def uncased(shared_folder: SharedFolder) -> LanguageModel:
    """A model that reads upper and lower case alike."""

    def write(folder: Path) -> None:
        tokenizer = tokenizer_of_letters()
        tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()
        write_tiny_model(folder, tokenizer)

    folder = shared_folder.once("uncased", write)
    return LanguageModel(prepare(str(folder), dtype="float32", device="cpu"), "off")


def test_answers_with_the_same_tokens_are_refused(uncased: LanguageModel) -> None:
    with pytest.raises(Unanswerable, match="answers ' Yes' and ' yes': expected different tokens, found the same"):
        uncased.tokenize([LogLikelihood("", "Label:", (" Yes", " no", " yes"))])


def test_equal_texts_for_two_labels_are_scored_alike(tiny_model: Callable[..., LanguageModel]) -> None:
    tokens = tiny_model("float32", "off").tokenize([LogLikelihood("", "Label:", (" spam", " spam"))])[0]
    assert tokens.continuations[0] == tokens.continuations[1]


# -- the harness, and a real tokenizer -----------------------------------------------------------------------


@pytest.mark.extras
@pytest.mark.real_model
@pytest.mark.parametrize(
    ("context", "continuations"),
    [
        ("Sentiment:", (" good", " bad")),
        ("Is it spam?\n\nText: win a prize\nLabel: ", ("spam", "ham")),
        ("The capital of France is", (" Paris.", " a big city")),
        ("Emoji", (" :)", " :(")),
    ],
)
def test_the_harness_gives_the_same_log_likelihoods_where_no_token_spans_the_border(
    context: str, continuations: tuple[str, ...], smollm2: Callable[[str], LanguageModel]
) -> None:
    pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed")
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    model = smollm2("float32")
    plain = LlamaForCausalLM.from_pretrained(model.prepared.folder, dtype=torch.float32)
    harness = HFLM(pretrained=plain, tokenizer=model.tokenizer, add_bos_token=False, batch_size=1)
    request = LogLikelihood("", context, continuations, chat=False)
    tokens = model.tokenize([request])[0]
    for text, answer in zip(continuations, tokens.continuations, strict=True):
        assert harness._encode_pair(context, text) == (list(tokens.context), list(answer))
    asked = [Instance("loglikelihood", {}, (context, text), 0) for text in continuations]
    theirs = [value for value, _ in harness.loglikelihood(asked, disable_tqdm=True)]
    ours = Engine(model, AnswerStore(":memory:")).answer([request])[0]
    assert np.allclose([answer.sum() for answer in ours], theirs, atol=1e-3)


@pytest.mark.slow
@pytest.mark.real_model
@pytest.mark.parametrize(
    ("context", "continuations"),
    [("Sentiment:", (":)", ":(")), ("x =", ("=1", "=2")), ("They are un", ("happy", "able"))],
)
def test_a_real_tokenizer_that_joins_item_and_answer_gives_whole_texts(
    context: str, continuations: tuple[str, ...], smollm2: Callable[[str], LanguageModel]
) -> None:
    model = smollm2("float32")
    tokens = model.tokenize([LogLikelihood("", context, continuations, chat=False)])[0]
    wholes = model.encode([context + text for text in continuations], chat=False)
    assert [list(tokens.context + answer) for answer in tokens.continuations] == wholes
    assert tokens.joined and len(set(tokens.continuations)) == 2
    ours = Engine(model, AnswerStore(":memory:")).answer_tokenized([tokens])[0]
    sums = [plain_logprob(model, whole, len(tokens.context)) for whole in wholes]
    assert np.allclose([answer.sum() for answer in ours], sums, atol=1e-3)
