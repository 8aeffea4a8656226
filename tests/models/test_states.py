"""Hidden states of chosen layers: those of a plain forward pass, and the same bits in any company."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from evolm.errors import ModelError
from evolm.evaluation import Engine
from evolm.genomes import DeltaSettings, DeltaSpace
from evolm.models import Generate, LanguageModel, LogLikelihood, PassSettings, States
from evolm.models.deltas import Delta
from evolm.storage import AnswerStore
from tests.support.tiers import slow

PREFIX = "Is this text spam, or ham?\n\nText: claim a prize\nLabel: spam\n\n" * 2
TEXTS = ("win now", "see you at lunch, or at the station, or at home, when the rain has ended " * 2, "call me", "a")
REQUESTS = [
    States(prefix, f"Text: {text}\nLabel:", layers)
    for prefix, layers in ((PREFIX, (1, 2)), ("", (2,)))
    for text in TEXTS
]


def answers(model: LanguageModel, requests: Sequence[Any], n_jobs: int = 1) -> list[Any]:
    engine = Engine(model, AnswerStore(":memory:"), n_jobs)
    try:
        return engine.answer(requests)
    finally:
        engine.close()


def same(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> bool:
    return all(a.dtype == np.float32 and np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def deltas_of(model: LanguageModel) -> list[Delta | None]:
    """No delta, one in the upper layer only, one in both."""
    found: list[Delta | None] = [None]
    for layers in ("last:1", "all"):
        space = DeltaSpace.of(model, DeltaSettings(layers, ("q_proj", "down_proj"), 2, "lowrank", 7, 0.5))
        found.append(space.delta(space.random(np.random.default_rng(0))))
    return found


@pytest.fixture(scope="module", params=["float32", slow("bfloat16")])
def model(request: pytest.FixtureRequest, tiny_model: Callable[..., LanguageModel]) -> LanguageModel:
    return tiny_model(request.param)


@pytest.fixture(scope="module")
def asked(model: LanguageModel) -> list[States]:
    return [replace(request, delta=delta) for delta in deltas_of(model) for request in REQUESTS]


@pytest.fixture(scope="module")
def reference(model: LanguageModel, asked: list[States]) -> list[np.ndarray]:
    return answers(model, asked)


def test_states_are_those_of_a_plain_pass(tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model("float32")
    plain = AutoModelForCausalLM.from_pretrained(model.prepared.folder)
    for request, found in zip(REQUESTS, answers(model, REQUESTS), strict=True):
        (tokens,) = model.tokenize([request])
        context: Any = tokens.context
        with torch.no_grad():
            seen = plain(torch.tensor([context]), output_hidden_states=True).hidden_states
        for place, layer in enumerate(request.layers):
            states = seen[layer][0].numpy()  # (t, d)
            np.testing.assert_allclose(found[place, 0], states[-1], atol=2e-4)
            np.testing.assert_allclose(found[place, 1], states[tokens.prefix_length :].mean(0), atol=2e-4)


def test_company_and_order_change_no_bit(
    model: LanguageModel, asked: list[States], reference: list[np.ndarray]
) -> None:
    order = np.random.default_rng(2).permutation(len(asked))
    strangers = [
        mixed
        for i in order
        for mixed in (
            asked[i],
            LogLikelihood(PREFIX, f"Text: {i}\nLabel:", (" spam", " ham")),
            Generate("", f"Text: {i}\nLabel:"),
            States(PREFIX, f"Text: {i}\nLabel:", (1,)),
        )
    ]
    mixed = answers(model, strangers)[::4]
    assert same([mixed[place] for place in np.argsort(order)], reference)
    assert same([answers(model, [request])[0] for request in asked[:6]], reference[:6])


def test_asking_for_fewer_layers_changes_no_bit(
    model: LanguageModel, asked: list[States], reference: list[np.ndarray]
) -> None:
    fewer = [replace(request, layers=(2,), poolings=("mean",)) for request in asked]
    assert same(answers(model, fewer), [found[-1:, 1:] for found in reference])


def test_shared_lower_layers_change_no_bit(
    model: LanguageModel, asked: list[States], reference: list[np.ndarray]
) -> None:
    upper = [replace(request, layers=(2,)) for request in asked if request.delta]
    expected = [found[-1:] for request, found in zip(asked, reference, strict=True) if request.delta]
    alone = LanguageModel(model.prepared, passes=PassSettings(trunk_bytes=0, prefix_bytes=0))
    assert same(answers(model, upper), expected)
    assert same(answers(alone, upper), expected)


def test_passes_end_at_the_highest_layer_that_is_read_and_change_no_bit(
    model: LanguageModel, asked: list[States], reference: list[np.ndarray]
) -> None:
    lower = [replace(request, layers=(1,)) for request in asked if 1 in request.layers]
    expected = [found[:1] for request, found in zip(asked, reference, strict=True) if 1 in request.layers]
    fresh = LanguageModel(model.prepared, passes=PassSettings(prefix_bytes=0))
    seen = []
    for _ in range(6):
        before = fresh.forward.work
        assert same(answers(fresh, lower), expected)
        seen.append((fresh.forward.work - before).tokens)
    assert fresh.states.ends_at(1) and seen[-1] == seen[0] / 2  # of two layers
    kept = LanguageModel(model.prepared)
    assert all(same(answers(kept, lower), expected) for _ in range(6)) and kept.states.ends_at(1)
    assert same(answers(kept, asked), reference)  # what was kept of shorter passes is not used by whole ones


@pytest.mark.slow
def test_workers_change_no_bit(model: LanguageModel, asked: list[States], reference: list[np.ndarray]) -> None:
    assert same(answers(model, asked[::-1], n_jobs=2)[::-1], reference)


def test_states_are_kept_in_memory_and_charged_each_time(tiny_model: Callable[..., LanguageModel]) -> None:
    engine = Engine(tiny_model("float32"), AnswerStore(":memory:"))
    first = engine.answer(REQUESTS)
    charged, forwarded = engine.usage.tokens_charged, engine.usage.tokens_forwarded
    assert same(engine.answer(REQUESTS), first)
    assert engine.usage.tokens_charged == 2 * charged > 0
    assert engine.usage.tokens_forwarded == forwarded
    assert engine.usage.cache_hits == len(REQUESTS)
    assert len(engine.answers) == 0
    engine.close()


def test_a_layer_that_does_not_exist_is_refused(tiny_model: Callable[..., LanguageModel]) -> None:
    with pytest.raises(ModelError, match=r"states of layer 3: expected a layer of .* \(1 to 2\)"):
        answers(tiny_model("float32"), [replace(REQUESTS[0], layers=(1, 3))])
