"""What is cut, shared and packed: properties of plans for any requests."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolm.evaluation.plan import batch_target, batches, fill_slabs, jobs, plan, split_answers
from evolm.models import TokenizedRequest
from evolm.models.forward_plan import Segment

SLAB, BLOCK = 16, 8

tokens = st.integers(0, 3)  # few, so that much is shared


@st.composite
def requests(draw: st.DrawFn) -> TokenizedRequest:
    context = draw(st.lists(tokens, min_size=1, max_size=30))
    continuation = st.lists(tokens, min_size=1, max_size=12).map(tuple)
    continuations = draw(st.lists(continuation, min_size=1, max_size=3))
    return TokenizedRequest(tuple(context), draw(st.integers(0, len(context))), tuple(continuations))


@st.composite
def forests(draw: st.DrawFn) -> list[Segment]:
    segments: list[Segment] = []
    for index in range(draw(st.integers(0, 40))):
        parent = draw(st.integers(-1, index - 1))
        start = 0 if parent < 0 else segments[parent].start + len(segments[parent].tokens)
        segments.append(Segment((0,) * draw(st.integers(1, SLAB)), start, parent))
    return segments


@settings(deadline=None, max_examples=50)
@given(forests())
def test_slabs_hold_every_segment_once_parents_first_and_never_too_much(segments: list[Segment]) -> None:
    slabs = fill_slabs(segments, SLAB)
    order = [index for slab in slabs for index in slab]
    assert sorted(order) == list(range(len(segments)))
    place = {index: at for at, index in enumerate(order)}
    assert all(place[s.parent] < place[i] for i, s in enumerate(segments) if s.parent >= 0)
    assert all(sum(len(segments[i].tokens) for i in slab) <= SLAB for slab in slabs)
    assert all(slabs)


def test_more_segments_than_the_lookahead_are_all_placed() -> None:
    segments = [Segment((0,), 0, -1) for _ in range(1300)]
    slabs = fill_slabs(segments, SLAB)
    assert sorted(i for slab in slabs for i in slab) == list(range(1300))
    assert len(slabs) == -(-1300 // SLAB)


def text_up_to(segments: list[Segment], index: int, offset: int | None = None) -> tuple[int, ...]:
    segment = segments[index]
    before = text_up_to(segments, segment.parent) if segment.parent >= 0 else ()
    assert len(before) == segment.start
    if segment.parent >= 0:
        assert not segments[segment.parent].follows
    follows = segment.follows or tuple(range(-1, len(segment.tokens) - 1))
    path, at = [], len(segment.tokens) - 1 if offset is None else offset
    while at >= 0:
        path.append(segment.tokens[at])
        assert follows[at] < at
        at = follows[at]
    return (*before, *reversed(path))


@settings(deadline=None, max_examples=50)
@given(st.lists(requests(), min_size=1, max_size=6))
def test_every_target_follows_exactly_its_own_text(asked: list[TokenizedRequest]) -> None:
    made = plan(asked, SLAB, BLOCK)
    targets = iter(made.targets)
    for request in asked:
        for continuation in request.continuations:
            for at, token in enumerate(continuation):
                position, target = next(targets)
                segment, offset = made.positions[position]
                seen = text_up_to(list(made.segments), segment, offset)
                assert (seen, target) == (request.context + continuation[:at], token)
    assert next(targets, None) is None


@settings(deadline=None, max_examples=50)
@given(st.lists(requests(), min_size=1, max_size=5), requests())
def test_a_requests_cuts_do_not_depend_on_its_company(
    company: list[TokenizedRequest], mine: TokenizedRequest
) -> None:
    def cuts(asked: list[TokenizedRequest]) -> list[list[object]]:
        made = plan(asked, SLAB, BLOCK)
        found = []
        for position, _ in made.targets[-sum(map(len, mine.continuations)) :]:
            segment, offset = made.positions[position]
            lengths: list[object] = [offset]
            while segment >= 0:
                lengths.append((len(made.segments[segment].tokens), made.segments[segment].follows))
                segment = made.segments[segment].parent
            found.append(lengths)
        return found

    assert cuts([*company, mine]) == cuts([mine])


def test_a_prefix_is_computed_once_for_all_its_items_and_answers() -> None:
    prefix = tuple(range(20))
    asked = [TokenizedRequest((*prefix, 50 + i), 20, ((1, 2), (1, 3), (4,))) for i in range(5)]
    made = plan(asked, SLAB, BLOCK)
    assert made.tokens == 20 + 5 * (1 + 1)  # prefix once, an item each, and the shared first token of two answers
    assert len(made.positions) == 5 * 2
    assert len(made.segments) == 3 + 5  # the prefix in blocks, and one pass over an item with all its answers


def test_the_last_token_of_an_answer_is_never_computed() -> None:
    assert plan([TokenizedRequest((1, 2, 3), 2, ((4,), (5,)))], SLAB, BLOCK).tokens == 3


@settings(deadline=None, max_examples=50)
@given(st.lists(requests(), max_size=6))
def test_answers_are_split_as_the_requests_were_asked(asked: list[TokenizedRequest]) -> None:
    count = sum(len(c) for r in asked for c in r.continuations)
    answers = split_answers(asked, np.arange(count, dtype=np.float32))
    assert [[len(c) for c in answer] for answer in answers] == [[len(c) for c in r.continuations] for r in asked]
    flat = [float(value) for answer in answers for c in answer for value in c]
    assert flat == list(range(count))


@settings(deadline=None, max_examples=50)
@given(st.lists(requests(), max_size=30), st.integers(1, 100))
def test_batches_hold_every_request_once_in_the_order_asked(asked: list[TokenizedRequest], target: int) -> None:
    cut = list(batches(asked, target))
    assert [i for batch in cut for i in batch.indices] == list(range(len(asked)))
    assert all(batch.indices for batch in cut)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_every_worker_gets_as_many_batches_of_like_size(workers: int) -> None:
    rng = np.random.default_rng(0)
    requests = []
    for length in rng.integers(10, 300, 12):
        prefix = tuple(rng.integers(0, 100, length).tolist())
        for own in rng.integers(15, 60, 80):
            item = tuple(rng.integers(0, 9, own).tolist())
            requests.append(TokenizedRequest(prefix + item, len(prefix), ((1,), (2,))))
    made = list(batches(requests, batch_target(requests, workers)))
    sizes = [sum(requests[i].own_tokens for i in batch.indices) for batch in made]
    assert len(made) % workers == 0
    assert [i for batch in made for i in batch.indices] == list(range(len(requests)))
    assert min(sizes) > 0.5 * max(sizes)


@pytest.mark.parametrize(("workers", "made"), [(4, 12), (8, 8)])
def test_workers_of_unlike_speed_get_a_batch_for_each_prompt_if_there_are_enough(workers: int, made: int) -> None:
    prefixes = [tuple(range(number, number + 100)) for number in range(12)]
    asked = [TokenizedRequest((*prefix, *range(20)), 100, ((1,),)) for prefix in prefixes for _ in range(60)]
    found = [[asked[i].context[0] for i in job] for job in jobs(asked, workers, uneven=True)]
    assert len(found) == made
    assert made != 12 or [set(each) for each in found] == [{number} for number in range(12)]
