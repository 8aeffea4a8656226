"""Same request, same bits: whatever the company, the order, the batch and the number of workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evolm.evaluation import Engine
from evolm.evaluation.plan import batches
from evolm.models import Answer, Decoding, Generate, Generated, LanguageModel, LogLikelihood, Request
from evolm.models.profile import multiplied_dtypes
from evolm.storage import AnswerStore
from tests.support.tiers import slow

DTYPES = ["float32", "bfloat16"]
WORDS = ["claim", "your", "prize", "now", "or", "see", "me", "at", "lunch", "then", "call", "back"]


def asked(genomes: int, items: int, seed: int = 0) -> list[LogLikelihood]:
    """Prompts of many lengths, as a population makes them: shared beginnings, items in common."""
    rng = np.random.default_rng(seed)

    def text(longest: int) -> str:
        return " ".join(rng.choice(WORDS, int(rng.integers(1, longest))))

    texts = [text(25) for _ in range(items)]
    requests = []
    for genome in range(genomes):
        shown = "".join(f"Text: {text(12)}\nLabel: ham\n\n" for _ in range(int(rng.integers(4))))
        prefix = "" if genome == 0 else "Is this text spam or ham?\n\n" + shown
        requests += [LogLikelihood(prefix, f"Text: {t}\nLabel:", (" spam", " ham", " happy")) for t in texts]
    return requests


REQUESTS = asked(4, 6)
STRANGERS = asked(3, 5, seed=1)


def fresh(model: LanguageModel, n_jobs: int = 1) -> Engine:
    return Engine(model, AnswerStore(":memory:"), n_jobs)


def texts_asked(requests: Sequence[LogLikelihood]) -> list[Generate]:
    """The same contexts to be continued, every third greedily, the others drawn; answers of many lengths."""
    decodings = [
        Decoding(max_new_tokens=3 + index % 11, temperature=(0.0, 0.7, 1.3)[index % 3], top_p=0.9, sample=index % 4)
        for index in range(len(requests))
    ]
    return [Generate(r.prefix, r.item, decoding) for r, decoding in zip(requests, decodings, strict=True)]


def answers(model: LanguageModel, requests: Sequence[Request]) -> list[Any]:
    """Answers that no cache has seen before."""
    engine = fresh(model)
    try:
        return engine.answer(requests)
    finally:
        engine.close()


def same_bits(ours: Sequence[Answer], theirs: Sequence[Answer]) -> bool:
    assert len(ours) == len(theirs) > 0
    pairs = [(x, y) for a, b in zip(ours, theirs, strict=True) for x, y in zip(a, b, strict=True)]
    return all(x.dtype == y.dtype == np.float32 and np.array_equal(x, y) for x, y in pairs)


@pytest.fixture(scope="module", params=DTYPES)
def model(request: pytest.FixtureRequest, tiny_model: Callable[..., LanguageModel]) -> LanguageModel:
    return tiny_model(request.param)


@pytest.fixture(scope="module")
def reference(model: LanguageModel) -> list[Answer]:
    return answers(model, REQUESTS)


def test_the_reference_is_no_constant(reference: list[Answer]) -> None:
    assert len({float(answer[0][0]) for answer in reference}) == len(REQUESTS)


def test_order_changes_no_bit(model: LanguageModel, reference: list[Answer]) -> None:
    order = np.random.default_rng(2).permutation(len(REQUESTS))
    permuted = answers(model, [REQUESTS[i] for i in order])
    assert same_bits([permuted[place] for place in np.argsort(order)], reference)


def test_splitting_changes_no_bit(model: LanguageModel, reference: list[Answer]) -> None:
    parts = [answers(model, REQUESTS[begin : begin + 7]) for begin in range(0, len(REQUESTS), 7)]
    assert same_bits([answer for part in parts for answer in part], reference)


def test_one_at_a_time_changes_no_bit(model: LanguageModel, reference: list[Answer]) -> None:
    assert same_bits([answers(model, [request])[0] for request in REQUESTS], reference)


def test_strangers_in_the_batch_change_no_bit(model: LanguageModel, reference: list[Answer]) -> None:
    mixed = [request for pair in zip(REQUESTS, STRANGERS * 2, strict=False) for request in pair]
    assert len(mixed) == 2 * len(REQUESTS)
    assert same_bits(answers(model, mixed)[::2], reference)


def test_batch_size_changes_no_bit(
    model: LanguageModel, reference: list[Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    from evolm.evaluation import plan

    monkeypatch.setattr(plan, "batches", lambda requests, target: batches(requests, target=100))
    assert same_bits(answers(model, REQUESTS), reference)


def test_cached_answers_are_the_fresh_ones(model: LanguageModel, reference: list[Answer], tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    for known in (0, len(REQUESTS)):
        engine = Engine(model, AnswerStore(path))
        assert same_bits(engine.answer(REQUESTS), reference)
        assert engine.usage.cache_hits == known
        engine.close()


def test_workers_change_no_bit(tiny_model: Callable[..., LanguageModel], monkeypatch: pytest.MonkeyPatch) -> None:
    from evolm.evaluation import plan

    expected = {dtype: answers(tiny_model(dtype), REQUESTS) for dtype in DTYPES}
    monkeypatch.setattr(plan, "batches", lambda requests, target: batches(requests, target=600))
    started = [fresh(tiny_model(dtype), n_jobs=2) for dtype in DTYPES]  # one pool of workers serves both
    try:
        for dtype, engine in zip(DTYPES, started, strict=True):
            assert same_bits(engine.answer(REQUESTS[::-1])[::-1], expected[dtype])
    finally:
        for engine in started:
            engine.close()


def test_the_two_dtypes_answer_under_different_keys(tiny_model: Callable[..., LanguageModel], tmp_path: Path) -> None:
    for dtype in DTYPES:
        engine = Engine(tiny_model(dtype), AnswerStore(tmp_path / "answers.sqlite"))
        engine.answer(REQUESTS[:3])
        assert engine.usage.cache_hits == 0
        engine.close()


# -- generated text ------------------------------------------------------------------------------------------


def test_texts_are_the_same_in_any_company(model: LanguageModel) -> None:
    requests = texts_asked(asked(5, 14, seed=6))  # more texts than grow at a time
    assert len(requests) > model.profile.decode_rows
    reference = answers(model, requests)
    assert len({len(answer.tokens) for answer in reference}) > 3
    order = np.random.default_rng(7).permutation(len(requests))
    mixed = answers(model, [r for i in order for r in (requests[i], STRANGERS[i % len(STRANGERS)])])[::2]
    assert [mixed[place] for place in np.argsort(order)] == reference
    assert [answers(model, [request])[0] for request in requests[:12]] == reference[:12]


@pytest.mark.slow
def test_workers_write_the_same_texts(
    tiny_model: Callable[..., LanguageModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    from evolm.evaluation import plan

    requests = texts_asked(REQUESTS)
    expected = answers(tiny_model("bfloat16"), requests)
    monkeypatch.setattr(plan, "batches", lambda requests, target: batches(requests, target=300))
    engine = fresh(tiny_model("bfloat16"), n_jobs=2)
    try:
        assert engine.answer(requests) == expected
    finally:
        engine.close()


def test_cached_texts_are_the_fresh_ones(model: LanguageModel, tmp_path: Path) -> None:
    requests = texts_asked(REQUESTS)
    found = []
    for known in (0, len(requests)):
        engine = Engine(model, AnswerStore(tmp_path / "answers.sqlite"))
        found.append(engine.answer(requests))
        assert engine.usage.cache_hits == known
        engine.close()
    assert found[0] == found[1]
    assert all(isinstance(answer, Generated) for answer in found[0])


# -- the real model ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["float32", slow("bfloat16")])
def real(request: pytest.FixtureRequest, smollm2: Callable[[str], LanguageModel]) -> LanguageModel:
    if request.param == "bfloat16" and "bfloat16" not in multiplied_dtypes("cpu"):
        pytest.skip("this processor does not multiply bfloat16")
    return smollm2(request.param)


@pytest.mark.real_model
def test_a_real_model_gives_the_same_bits_in_any_company(real: LanguageModel) -> None:
    requests, strangers = asked(3, 4, seed=3), asked(2, 3, seed=4)
    reference = answers(real, requests)
    order = np.random.default_rng(5).permutation(18)
    mixed = answers(real, [(requests + strangers)[i] for i in order])
    assert same_bits([mixed[place] for place in np.argsort(order)][:12], reference)
    assert same_bits(answers(real, requests[5:6]) + answers(real, requests[9:11]), [reference[i] for i in (5, 9, 10)])


@pytest.mark.slow
@pytest.mark.real_model
def test_a_real_model_writes_the_same_texts_in_any_company(real: LanguageModel) -> None:
    requests = texts_asked(asked(3, 4, seed=3))
    reference = answers(real, requests)
    mixed = answers(real, [*asked(2, 3, seed=4), *requests[::-1]])
    assert mixed[6:][::-1] == reference
    assert answers(real, requests[4:6]) == reference[4:6]
