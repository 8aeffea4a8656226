"""Written text: what transformers writes greedily, distributions when drawn, ends where it should."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from evolm.errors import ContextExceeded
from evolm.evaluation import Engine
from evolm.genomes import DeltaSettings, DeltaSpace
from evolm.models import Decoding, Generate, Generated, LanguageModel, PassSettings, decode_cache
from evolm.models import decoding as text_decoding
from evolm.models.decode_cache import DecodeCache
from evolm.models.decoding import choose_token
from evolm.models.packed_forward import Work
from evolm.storage import AnswerStore


def write(model: LanguageModel, *requests: Generate) -> list[Generated]:
    engine = Engine(model, AnswerStore(":memory:"))
    try:
        return engine.answer(requests)
    finally:
        engine.close()


def plain_greedy(model: LanguageModel, request: Generate) -> list[int]:
    """Greedy decoding with transformers' own attention and one full pass a token."""
    weights = model.forward.model
    tokens = list(model.tokenize([request])[0].context)
    written: list[int] = []
    weights.set_attn_implementation("eager")
    try:
        with torch.inference_mode():
            for _ in range(request.decoding.max_new_tokens):
                logits = weights(input_ids=torch.tensor([tokens + written]), use_cache=False).logits[0, -1]
                written.append(int(logits.argmax()))
                if written[-1] in model.end_tokens:
                    break
    finally:
        weights.set_attn_implementation("evolm_segments")
    return written


PROMPTS = ["Spam?\n\nText: win a prize\nLabel:", "hello", "Text: " + "so long " * 30 + "\nLabel:", "A"]


@pytest.mark.parametrize("chat", [True, False])
def test_greedy_text_is_what_transformers_writes(chat: bool, tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model()
    requests = [Generate("", prompt, Decoding(max_new_tokens=20), chat=chat) for prompt in PROMPTS]
    answers = write(model, *requests)
    assert [list(answer.tokens) for answer in answers] == [plain_greedy(model, request) for request in requests]
    assert len({answer.tokens for answer in answers}) == len(PROMPTS)


@pytest.mark.slow
@pytest.mark.real_model
def test_a_real_model_writes_what_transformers_writes(smollm2: Callable[[str], LanguageModel]) -> None:
    model = smollm2("float32")
    request = Generate("", "What is the capital of France? Answer in one sentence.", Decoding(max_new_tokens=16))
    (answer,) = write(model, request)
    assert list(answer.tokens) == plain_greedy(model, request)
    assert "Paris" in answer.text


LENGTHS = [1, 3, 58, 62, 63, 64, 65, 120, 127, 128, 190, 250, 255, 300, 330, 400]  # around the ends of spans


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("room", [0, 40_000, decode_cache.CACHE_BYTES], ids=["one slot", "few slots", "all slots"])
def test_a_texts_logits_have_the_same_bits_in_any_company_and_slot(
    dtype: str, room: int, tiny_model: Callable[..., LanguageModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model(dtype, "off")
    rng = np.random.default_rng(0)
    seen: dict[int, list[bytes]] = {}

    def recording(logits: np.ndarray, decoding: Decoding, own: np.random.Generator) -> int:
        seen.setdefault(decoding.sample, []).append(logits.tobytes())
        return choose_token(logits, decoding, own)

    monkeypatch.setattr(text_decoding, "choose_token", recording)
    requests = [
        Generate(
            "", "".join(rng.choice(list("abc de"), length)), Decoding(2 + number % 4, temperature=1.0, sample=number)
        )
        for number, length in enumerate(LENGTHS * 5)
    ]
    assert len(requests) > model.profile.decode_rows
    apart = range(0, len(requests), 9)
    for number in apart:
        write(model, requests[number])
    alone, seen = seen, {}
    monkeypatch.setattr(decode_cache, "CACHE_BYTES", room)
    write(model, *requests)
    assert len(seen) == len(requests)
    assert {number: seen[number] for number in apart} == alone


@pytest.mark.parametrize("length", [50, 60, 120, 250, 310])
def test_a_text_that_grows_beyond_a_span_is_what_transformers_writes(
    length: int, tiny_model: Callable[..., LanguageModel]
) -> None:
    model = tiny_model("float32", "off")
    request = Generate("", "so on " * (length // 6), Decoding(max_new_tokens=20))
    (answer,) = write(model, request)
    assert list(answer.tokens) == plain_greedy(model, request)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_deltas_share_the_lower_layers_of_their_contexts_and_no_bit_changes(
    dtype: str, tiny_model: Callable[..., LanguageModel]
) -> None:
    prepared = tiny_model(dtype, "off").prepared
    sharing, apart = (LanguageModel(prepared, "off", PassSettings(trunk_bytes=size)) for size in (2**20, 0))
    space = DeltaSpace.of(sharing, DeltaSettings("last:1", ("all-linear",), 2, "lowrank", 0, 0.5))
    rng = np.random.default_rng(0)
    deltas = [None, *(space.delta(space.random(rng)) for _ in range(4))]
    requests = [
        Generate("Say it. " * 12, item, Decoding(6, temperature=1.0), delta=delta)
        for delta in deltas
        for item in ("one", "two or three", "four " * 20)
    ]
    ours, theirs = write(sharing, *requests), write(apart, *requests)
    assert ours == theirs and len({answer.tokens for answer in ours}) > len(deltas)
    assert sharing.forward.shares_layers_at(1)
    assert write(sharing, requests[7]) == [ours[7]]
    for model in (sharing, apart):
        model.forward.work = Work()
        model.forward.prefixes.forget()
        write(model, *requests)
    assert sharing.forward.work.tokens < apart.forward.work.tokens


def test_a_slot_that_held_infinite_values_does_no_harm_to_the_next_text() -> None:
    cache = DecodeCache(2, torch.device("cpu"))
    long = {0: (torch.full((1, 5, 4), torch.inf), torch.full((1, 5, 4), torch.nan))}
    short = {0: (torch.ones(1, 2, 4), torch.ones(1, 2, 4))}
    assert cache.free(long, 64) == 0
    cache.admit(0, long, 64)
    assert cache.free(short, 64) == 1
    cache.release(0)
    cache.admit(0, short, 64)
    cache.begin_pass([0])
    query, key = torch.ones(1, 2, 2, 4), torch.ones(1, 1, 2, 4)
    mixed = cache.attend(0, query, key, key, None, None)
    assert torch.equal(mixed[0, 0], torch.ones(2, 4)) and torch.equal(mixed[0, 1], torch.zeros(2, 4))


def test_spans_are_few_and_waste_little() -> None:
    assert [decode_cache.span_of(length) for length in (1, 64, 65, 129, 256, 257, 321, 513)] == [
        64, 64, 128, 192, 256, 320, 384, 640,
    ]  # fmt: skip
    assert all(decode_cache.span_of(length) < 1.25 * length + 64 for length in range(1, 5000))


def test_text_ends_before_a_stop_string_and_says_so(tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model("float32", "off")
    (whole,) = write(model, Generate("", "hello", Decoding(max_new_tokens=12)))
    assert not whole.finished
    raw = model.tokenizer.decode(whole.tokens)
    stop = raw[5]
    (cut,) = write(model, Generate("", "hello", Decoding(max_new_tokens=12, stop_strings=(stop, "never"))))
    assert cut.text == raw[: raw.index(stop)].strip()
    assert cut.finished
    assert whole.tokens[: len(cut.tokens)] == cut.tokens
    assert len(cut.tokens) < len(whole.tokens)


def test_the_end_of_text_token_ends_the_text(tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model("float32", "off")
    (end,) = model.end_tokens
    answer = model.decode([72, 73, end], Decoding())
    assert answer == Generated(model.tokenizer.decode([72, 73]).strip(), (72, 73, end), True)


def test_the_longest_answer_must_fit_the_context(tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model("float32", "off")
    room = 512 - len(model.tokenize([Generate("", "hello", Decoding(1))])[0].context)
    assert model.tokenize([Generate("", "hello", Decoding(room))])
    with pytest.raises(ContextExceeded, match="1 longer than the context"):
        model.tokenize([Generate("", "hello", Decoding(room + 1))])


def test_draws_differ_by_their_number_and_by_nothing_else(tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model("float32", "off")
    drawn = Decoding(max_new_tokens=10, temperature=1.0)
    requests = [Generate("", "hello", replace(drawn, sample=sample)) for sample in (0, 1, 2, 0)]
    first, second, third, again = write(model, *requests)
    assert first == again
    assert len({first.tokens, second.tokens, third.tokens}) == 3
    assert write(model, requests[1]) == [second]


LOGITS = np.log(np.array([0.1, 0.4, 0.05, 0.3, 0.15], dtype=np.float32))


def frequencies(decoding: Decoding, draws: int = 4000) -> np.ndarray:
    rng = np.random.default_rng(0)
    counts = Counter(choose_token(LOGITS, decoding, rng) for _ in range(draws))
    return np.array([counts[token] / draws for token in range(len(LOGITS))])


@pytest.mark.parametrize(
    ("decoding", "expected"),
    [
        (Decoding(temperature=1.0), [0.1, 0.4, 0.05, 0.3, 0.15]),
        (Decoding(temperature=1.0, top_k=2), [0, 4 / 7, 0, 3 / 7, 0]),
        (Decoding(temperature=1.0, top_p=0.6), [0, 4 / 7, 0, 3 / 7, 0]),
        (Decoding(temperature=1.0, top_p=0.39), [0, 1, 0, 0, 0]),
        (Decoding(temperature=0.5), np.array([0.01, 0.16, 0.0025, 0.09, 0.0225]) / 0.285),
        (Decoding(temperature=0.0), [0, 1, 0, 0, 0]),
    ],
)
def test_tokens_are_drawn_from_the_filtered_distribution(decoding: Decoding, expected: list[float]) -> None:
    assert np.allclose(frequencies(decoding), expected, atol=0.03)
