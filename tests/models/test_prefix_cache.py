"""Blocks of prompts between batches: fewer tokens pass, no bit changes, the limit holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from evolm.evaluation.plan import plan
from evolm.evaluation.results import BatchResult
from evolm.evaluation.worker import answer_batch
from evolm.genomes import DeltaSettings, DeltaSpace
from evolm.models import Decoding, Generate, LanguageModel, LogLikelihood, PassSettings, Request
from evolm.models.prefix_cache import _nbytes, text_keys
from evolm.models.specs import ModelSpec

INSTRUCTION = "The quick brown fox jumps over the lazy dog while many others look on in silence. " * 3
LATER = [" one", " two three", " a much longer item that goes on for a while", " four"]


def asking(prefix: str, items: Sequence[str]) -> list[Request]:
    return [LogLikelihood(prefix, item, (" yes", " no, not at all")) for item in items]


def batch(model: LanguageModel, requests: Sequence[Any]) -> BatchResult:
    spec = ModelSpec(model.prepared, "off", model.profile.text)
    return answer_batch(spec, model.tokenize(requests), model)


def same(ours: BatchResult, theirs: BatchResult) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(ours.answers, theirs.answers, strict=True))


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def model(request: pytest.FixtureRequest, tiny_model: Callable[..., LanguageModel]) -> LanguageModel:
    return tiny_model(request.param, "off")


def fresh(model: LanguageModel, **limits: int) -> LanguageModel:
    return LanguageModel(model.prepared, "off", PassSettings(**limits))


def test_a_prompt_met_again_passes_only_its_items_and_no_bit_changes(model: LanguageModel) -> None:
    keeps, forgets = fresh(model), fresh(model, prefix_bytes=0)
    blocks = [asked.prefix_length for asked in keeps.tokenize(asking(INSTRUCTION, LATER))]
    assert min(blocks) > 2 * keeps.profile.block_tokens
    for turn, items in enumerate((LATER[:2], LATER[2:], LATER)):
        ours, theirs = batch(keeps, asking(INSTRUCTION, items)), batch(forgets, asking(INSTRUCTION, items))
        assert same(ours, theirs)
        assert theirs.tokens - ours.tokens == (min(blocks) if turn else 0)
    assert keeps.forward.prefixes.nbytes > 0 == forgets.forward.prefixes.nbytes


def test_prompts_that_begin_alike_share_their_first_blocks(model: LanguageModel) -> None:
    keeps, forgets = fresh(model), fresh(model, prefix_bytes=0)
    batch(keeps, asking(INSTRUCTION + " Then it slept.", LATER))
    other = asking(INSTRUCTION + " Then it went home to eat.", LATER)
    ours, theirs = batch(keeps, other), batch(forgets, other)
    assert same(ours, theirs)
    assert (theirs.tokens - ours.tokens) % keeps.profile.block_tokens == 0 < theirs.tokens - ours.tokens


@pytest.mark.parametrize("layers", ["last:1", "all"])
def test_a_block_is_kept_for_each_delta_it_was_passed_under(model: LanguageModel, layers: str) -> None:
    space = DeltaSpace.of(model, DeltaSettings(layers, ("q_proj", "v_proj"), 1, "subspace", 8, 0.5))
    rng = np.random.default_rng(0)
    keeps, forgets = fresh(model), fresh(model, prefix_bytes=0)
    deltas = [space.delta(space.random(rng)) for _ in range(2)]
    for items in (LATER[:2], LATER[2:]):
        asked = [replace(request, delta=delta) for delta in (None, *deltas) for request in asking(INSTRUCTION, items)]
        ours, theirs = batch(keeps, asked), batch(forgets, asked)
        assert same(ours, theirs)
        assert len({answer.tobytes() for answer in ours.answers}) == len(asked)
        assert (ours.tokens < theirs.tokens) == (items == LATER[2:])


def test_texts_are_written_alike_behind_a_kept_prompt(model: LanguageModel) -> None:
    keeps, forgets = fresh(model), fresh(model, prefix_bytes=0)
    for items in (LATER[:2], LATER[2:], [""]):
        asked = [Generate(INSTRUCTION, item, Decoding(6)) for item in items]
        assert same(batch(keeps, asked), batch(forgets, asked))


def test_the_limit_holds_and_what_was_forgotten_is_passed_again(model: LanguageModel) -> None:
    roomy = fresh(model)
    prompts = [f"{number} " + INSTRUCTION for number in range(6)]
    expected = [batch(roomy, asking(prompt, LATER)) for prompt in prompts]
    tight = fresh(model, prefix_bytes=roomy.forward.prefixes.nbytes // 3)
    for _ in range(2):
        for prompt, answer in zip(prompts, expected, strict=True):
            again = batch(tight, asking(prompt, LATER))
            assert same(again, answer)
            assert again.tokens == answer.tokens  # six prompts in turn leave no room for any to stay
            assert 0 < tight.forward.prefixes.nbytes <= tight.forward.prefixes.limit
    last = batch(tight, asking(prompts[-1], LATER))
    assert same(last, expected[-1]) and last.tokens < expected[-1].tokens


def test_known_blocks_take_memory_once_beside_what_is_kept(model: LanguageModel) -> None:
    keeps = fresh(model)
    asked = asking(INSTRUCTION, LATER)
    batch(keeps, asked)
    forward, profile = keeps.forward, keeps.profile
    forward_plan = plan(keeps.tokenize(asked), profile.slab_tokens, profile.block_tokens)
    needed = {segment for segment, _ in forward_plan.positions}
    known = forward.prefixes.known(forward_plan, text_keys(forward_plan), needed)
    assert len(known) > 3
    assert [index for index, kept in known.items() if kept] == [max(known)]  # what the items continue
    assert _nbytes(known[max(known)]) == forward.prefixes.nbytes
    with torch.inference_mode():
        for _, _, cache in forward.passes(forward_plan):
            assert not cache.waiting.any() and not cache.known  # all in one slab: nothing waits any more
    assert forward.prefixes.nbytes == _nbytes(known[max(known)])
