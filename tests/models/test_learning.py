"""Gradients of lessons against autograd through plain transformers on full sequences, prompt included."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from evolm.evaluation import Engine
from evolm.genomes import DeltaGenes, DeltaSettings, DeltaSpace
from evolm.genomes.encodings import ENCODINGS
from evolm.models import (
    GradientRequest,
    GradientResult,
    LanguageModel,
    LogLikelihood,
    PassSettings,
    TokenLikelihood,
    learning,
    prepare,
)
from evolm.models.deltas import Delta, Gain
from evolm.models.losses import LOSSES
from evolm.storage import AnswerStore
from tests.support.plain_model import PlainModel

PREFIX = "Is this text spam, or ham? Say which, and nothing else.\n\nText: claim a prize\nLabel: spam\n\n" * 2
ANSWERS = (" spam", " ham", " junk mail")
MARGIN = 0.7
FORMULAS: dict[str, Callable[[torch.Tensor, tuple[float, ...]], torch.Tensor]] = {
    "cross_entropy": lambda s, w: sum((w[i] * s[i] for i in range(len(w))), torch.zeros(())),
    "expectation": lambda s, w: sum((w[i] * s[i].exp() for i in range(len(w))), torch.zeros(())),
    "margin": lambda s, w: (
        -(w[1] * torch.maximum(torch.zeros(()), MARGIN + torch.maximum(s[0], s[2]) - s[1]))
    ),  # of one gold answer, the second of three
}
TEXTS = ("win now", "see you at lunch, or at the station", "call me")
TARGETS = {
    "lowrank": ["q_proj", "v_proj", "down_proj"],
    "subspace": ["all-linear"],
    "scales": ["k_proj", "down_proj", "input_layernorm"],
    "singular": ["o_proj", "up_proj"],
}


def lesson(
    delta: Delta, texts: tuple[str, ...] = TEXTS, contrast: bool = True, normalization: str = "tokens"
) -> GradientRequest:
    examples = tuple(LogLikelihood(PREFIX, f"Text: {text}\nLabel:", ANSWERS, delta=delta) for text in texts)
    weights = tuple((0.5, -0.25, 0.1) if index else (0.0, 1.0, 0.0) for index in range(len(texts)))
    return GradientRequest(examples, weights, normalization, contrast)


def space_of(model: LanguageModel, encoding: str, layers: str) -> DeltaSpace:
    return DeltaSpace.of(model, DeltaSettings(layers, tuple(TARGETS[encoding]), 3, encoding, 7, 0.3))


def delta_in(space: DeltaSpace, seed: int = 0) -> tuple[DeltaGenes, Delta]:
    genome = space.random(np.random.default_rng(seed))
    return genome, Delta(space.changes(genome.genes), space.depth)


def learnt(model: LanguageModel, *lessons: GradientRequest, n_jobs: int = 1) -> list[GradientResult]:
    engine = Engine(model, AnswerStore(":memory:"), n_jobs)
    try:
        return engine.learn(lessons)
    finally:
        engine.close()


def by_autograd(model: LanguageModel, wanted: GradientRequest) -> GradientResult:
    """Value and gradients from one plain pass per example and answer, the change merged into every weight."""
    delta = wanted.examples[0].delta
    assert delta is not None
    plain = PlainModel(model, delta)
    value = torch.zeros(())
    for example, each in zip(wanted.examples, wanted.weights, strict=True):
        scores = []
        for answer in example.continuations:
            assert isinstance(answer, str)
            context = model.encode([example.prefix + example.item], chat=False)[0]
            whole = model.encode([example.prefix + example.item + answer], chat=False)[0]
            own = plain.logprob(context, whole[len(context) :])
            length = {"tokens": len(whole) - len(context), "characters": len(answer.strip()), "sum": 1}
            scores.append(own / length[wanted.normalization])
        stacked = torch.stack(scores)
        stacked = stacked.log_softmax(0) if wanted.contrast else stacked
        value = value + FORMULAS[wanted.loss](stacked, each)
    return plain.result(value)


def relative(ours: GradientResult, theirs: GradientResult) -> float:
    """The largest difference of any gradient array, by that array's largest entry."""
    pairs = [
        (a, b) for name in theirs.gradients for a, b in zip(ours.gradients[name], theirs.gradients[name], strict=True)
    ]
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)


@pytest.fixture(scope="module")
def model(tiny_model: Callable[..., LanguageModel]) -> LanguageModel:
    return tiny_model("float32", "off")


@pytest.mark.parametrize("layers", ["last:1", "all"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_gradients_are_those_of_plain_transformers_on_full_sequences(
    encoding: str, layers: str, model: LanguageModel
) -> None:
    _, delta = delta_in(space_of(model, encoding, layers))
    ours, theirs = learnt(model, lesson(delta))[0], by_autograd(model, lesson(delta))
    assert ours.value == pytest.approx(theirs.value, rel=1e-5)
    assert any(np.abs(array).max() > 1e-3 for arrays in theirs.gradients.values() for array in arrays)
    assert relative(ours, theirs) < 1e-4


@pytest.mark.parametrize("contrast", [True, False])
@pytest.mark.parametrize("normalization", ["sum", "tokens", "characters"])
def test_every_form_of_the_value_has_its_gradient(contrast: bool, normalization: str, model: LanguageModel) -> None:
    _, delta = delta_in(space_of(model, "subspace", "last:1"))
    wanted = lesson(delta, contrast=contrast, normalization=normalization)
    assert relative(learnt(model, wanted)[0], by_autograd(model, wanted)) < 1e-4


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_has_its_gradient(loss: str, model: LanguageModel) -> None:
    _, delta = delta_in(space_of(model, "subspace", "last:1"))
    wanted = replace(lesson(delta), loss=loss, margin=MARGIN, weights=((0.0, 0.4, 0.0),) * len(TEXTS))
    ours, theirs = learnt(model, wanted)[0], by_autograd(model, wanted)
    assert ours.value == pytest.approx(theirs.value, rel=1e-5)
    assert relative(ours, theirs) < 1e-4


def test_a_margin_that_is_kept_has_no_gradient(model: LanguageModel) -> None:
    _, delta = delta_in(space_of(model, "subspace", "last:1"))
    scores = learnt(model, replace(lesson(delta), weights=((1.0, 0.0, 0.0),) * len(TEXTS)))[0].value
    best = next(
        place
        for place in range(len(ANSWERS))
        if learnt(model, replace(lesson(delta, TEXTS[:1]), loss="margin", margin=1e-6, weights=(one_hot(place),)))[
            0
        ].value
        == 0
    )
    kept = replace(lesson(delta, TEXTS[:1]), loss="margin", margin=1e-6, weights=(one_hot(best),))
    assert scores < 0
    assert all(not array.any() for arrays in learnt(model, kept)[0].gradients.values() for array in arrays)


def one_hot(place: int) -> tuple[float, ...]:
    return tuple(float(place == other) for other in range(len(ANSWERS)))


def test_generated_tokens_have_the_gradient_of_those_very_tokens(model: LanguageModel) -> None:
    """The end of the text and tokens that no tokenizer would choose for it are part of what was drawn."""
    _, delta = delta_in(space_of(model, "lowrank", "last:1"))
    context = model.encode([PREFIX + "Text: win now"], chat=False)[0]
    end = model.tokenizer.eos_token_id
    drawn = ((5, 5, 9, end), tuple(model.encode(["ab"], chat=False)[0][-2:]), (end,))
    asked = TokenLikelihood(PREFIX, "Text: win now ", drawn, delta=delta)
    weights = (0.5, -1.0, 0.25)
    plain = PlainModel(model, delta)
    value = sum(
        (weight * plain.logprob(context, tokens) for weight, tokens in zip(weights, drawn, strict=True)),
        torch.zeros(()),
    )
    ours = learnt(model, GradientRequest((asked,), (weights,), "sum", contrast=False))[0]
    assert ours.value == pytest.approx(value.item(), rel=1e-5)
    assert relative(ours, plain.result(value)) < 1e-4
    engine = Engine(model, AnswerStore(":memory:"))
    [answer] = engine.answer([asked])
    engine.close()
    sums = [tokens.sum() for tokens in answer]
    assert sums == pytest.approx([plain.logprob(context, tokens).item() for tokens in drawn], rel=1e-4)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_gradient_of_the_genes_is_a_finite_difference_of_the_value(encoding: str, model: LanguageModel) -> None:
    space = space_of(model, encoding, "last:1")
    genome, delta = delta_in(space)
    gradient = space.pullback(genome, learnt(model, lesson(delta))[0].gradients)
    direction = np.random.default_rng(1).standard_normal(space.dimension).astype(np.float32)
    direction /= np.linalg.norm(direction)
    step = 1e-2

    def value(sign: int) -> float:
        moved = genome.genes + np.float32(sign * step) * direction
        return by_autograd(model, lesson(Delta(space.changes(moved), space.depth))).value

    assert float(gradient @ direction) == pytest.approx((value(1) - value(-1)) / (2 * step), rel=2e-2, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_gradient_has_the_same_bits_in_any_company_and_in_workers(
    dtype: str, tiny_model: Callable[..., LanguageModel]
) -> None:
    model = tiny_model(dtype, "off")
    space = space_of(model, "lowrank", "last:1")
    wanted = [lesson(delta_in(space, seed)[1], TEXTS[: seed + 1]) for seed in range(3)]
    alone = [learnt(model, one)[0] for one in wanted]
    for together in (learnt(model, *wanted), learnt(model, *wanted[::-1])[::-1], learnt(model, *wanted, n_jobs=2)):
        for ours, theirs in zip(together, alone, strict=True):
            assert ours.value == theirs.value
            assert relative(ours, theirs) == 0


def test_sharing_lower_layers_changes_no_bit_of_a_gradient(model: LanguageModel) -> None:
    _, delta = delta_in(space_of(model, "lowrank", "last:1"))
    shared = learnt(model, lesson(delta))[0]
    unshared = LanguageModel(model.prepared, "off", PassSettings(trunk_bytes=0))
    assert model.forward.shares_layers_at(1) and not unshared.forward.shares_layers_at(1)
    assert relative(learnt(unshared, lesson(delta))[0], shared) == 0


def test_lessons_that_come_together_pass_the_shared_layers_together(model: LanguageModel) -> None:
    """In fewer padded rows, as far as the states can be kept, and with the same bits."""
    space = space_of(model, "lowrank", "last:1")
    shown = [lesson(delta_in(space, seed)[1], texts=(f"hello {seed}", f"win {seed} prizes")) for seed in range(6)]
    padded, found = {}, {}
    for trunk in (1, 10**6):
        fresh = LanguageModel(model.prepared, "off", PassSettings(trunk_bytes=trunk))
        engine = Engine(fresh, AnswerStore(":memory:"))
        found[trunk] = engine.learn(shown)
        padded[trunk] = engine.usage.tokens_padded
        engine.close()
    assert padded[1] > padded[10**6]
    for alone, together in zip(found[1], found[10**6], strict=True):
        assert relative(together, alone) == 0


@pytest.mark.parametrize("layers", ["last:1", "all"])
def test_a_graph_beyond_the_limit_is_passed_in_parts_whose_gradients_add_up(
    layers: str, model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = lesson(delta_in(space_of(model, "lowrank", layers))[1], contrast=False)
    whole = learnt(model, wanted)[0]
    kept: list[int] = []
    measured = learning.GradientComputer._graph_size

    def graph_size(computer: Any, delta: Delta, plan: Any) -> int:
        kept.append(measured(computer, delta, plan))
        return kept[-1]

    monkeypatch.setattr(learning.GradientComputer, "_graph_size", graph_size)
    monkeypatch.setattr(learning, "GRAPH_BYTES", 1)
    parts = learnt(model, wanted)[0]
    assert len(kept) == 2  # of all three examples, and of the last two; one example is passed as it is
    assert kept[0] > kept[1] > 0
    assert relative(parts, whole) < 1e-5 and parts.value == pytest.approx(whole.value, rel=1e-6)


def test_a_prompt_without_a_graph_would_give_another_gradient(model: LanguageModel) -> None:
    """What the equality above protects from: the prompt's own keys and values depend on the delta."""
    _, delta = delta_in(space_of(model, "subspace", "last:1"))
    wanted = lesson(delta)
    bare = replace(wanted, examples=tuple(replace(one, prefix="") for one in wanted.examples))
    assert relative(learnt(model, bare)[0], by_autograd(model, wanted)) > 0.01


def test_learning_is_charged_three_times_and_writes_no_weight(model: LanguageModel) -> None:
    _, delta = delta_in(space_of(model, "lowrank", "all"))
    before = {name: weight.detach().clone() for name, weight in model.forward.model.named_parameters()}
    engine = Engine(model, AnswerStore(":memory:"))
    engine.learn([lesson(delta)])
    tokens = sum(request.tokens for request in model.tokenize(lesson(delta).examples))
    assert engine.usage.tokens_charged == 3 * tokens
    engine.close()
    after = dict(model.forward.model.named_parameters())
    assert all(torch.equal(weight, after[name]) for name, weight in before.items())
    assert all(not weight.requires_grad and weight.grad is None for weight in after.values())


def test_gains_of_an_input_learn_too(tiny_model_folder: str) -> None:
    model = LanguageModel(prepare(str(tiny_model_folder), dtype="float32", device="cpu"), "off")
    space = space_of(model, "scales", "all")
    sides = {change.side for change in space.changes(np.ones(space.dimension)).values() if isinstance(change, Gain)}
    assert sides == {"input", "output"}
