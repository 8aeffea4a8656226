"""From tokenised requests to forward passes: cuts into segments, sharing of segments, slabs.

Cuts follow from each request alone: its prefix in blocks from the first token, then its item in blocks from the
item's first token. The continuations, each without its last token (whose successor is not needed), form a tree behind
the item's last block, in one segment with it. If they are longer than a block together, or the request has no item,
each continuation has blocks of its own. Equal blocks behind equal blocks are one segment, so a genome's prefix is
computed once for all its items, a block that two genomes begin with is computed once for both, and an item's keys and
values serve all its answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from evolm.models import LogProbs, Tokenized, TokenizedGeneration, TokenizedRequest, TokenizedStates
from evolm.models.deltas import Delta
from evolm.models.forward_plan import ForwardPlan, Segment, fill_slabs

AHEAD = 2  # batches for each worker that a cluster has at a time, so that none waits for the next one
SPARE, SMALL_BATCH = 2, 1024  # prompts for each worker, and tokens, from which a prompt has a batch of its own
BATCH_TOKENS = 8192  # about what a worker computes between two reports; has no influence on the bits of answers


class _Builder:
    """Collects the segments, positions and targets of a batch."""

    def __init__(self, block: int) -> None:
        self.block = block
        self.deltas: dict[Delta | None, int] = {None: -1}
        self.segments: list[Segment] = []
        self.positions: list[tuple[int, int]] = []
        self.targets: list[tuple[int, int]] = []
        self._known: dict[tuple[object, ...], int] = {}
        self._places: dict[tuple[int, int], int] = {}

    def extend(self, tokens: tuple[int, ...], start: int, parent: int, delta: int, lasting: bool = False) -> int:
        """Add ``tokens`` behind ``parent`` in blocks, all with one delta; return the last segment."""
        for begin in range(0, len(tokens), self.block):
            block = tokens[begin : begin + self.block]
            parent = self.segment(Segment(block, start + begin, parent, delta, lasting))
        return parent

    def segment(self, segment: Segment) -> int:
        """Add a segment unless an equal one exists; return its index."""
        key = (segment.parent, segment.delta, segment.tokens, segment.follows)
        if key not in self._known:
            self._known[key] = len(self.segments)
            self.segments.append(segment)
        return self._known[key]

    @property
    def carried(self) -> list[Delta]:
        """The deltas, in the order of their indices, without the unchanged model."""
        return [delta for delta in self.deltas if delta is not None]

    def position(self, segment: int, offset: int) -> int:
        place = (segment, offset)
        if place not in self._places:
            self._places[place] = len(self.positions)
            self.positions.append(place)
        return self._places[place]

    def context(self, request: Tokenized, end: int | None = None) -> int:
        """Add prefix and item, up to token ``end`` of both; return the last segment, -1 if both are empty."""
        cut = request.prefix_length
        delta = self.deltas.setdefault(request.delta, len(self.deltas) - 1)
        prompt = self.extend(request.context[:cut], 0, -1, delta, lasting=True)
        return self.extend(request.context[cut:end], cut, prompt, delta)

    def add(self, request: TokenizedRequest) -> None:
        tree = _tree(request.continuations)
        if tree and len(tree) <= self.block and request.prefix_length < len(request.context):
            self._add_tree(request, tree)
        else:
            self._add_chains(request)

    def _add_tree(self, request: TokenizedRequest, tree: dict[tuple[int, ...], int]) -> None:
        """Add the answers behind the last block of the item, in one segment with it."""
        own = len(request.context) - request.prefix_length
        begin = len(request.context) - ((own - 1) % self.block + 1)
        parent, stem = self.context(request, begin), request.context[begin:]
        last = len(stem) - 1
        follows = (*range(-1, last), *(tree[path[:-1]] + len(stem) if len(path) > 1 else last for path in tree))
        delta = self.deltas[request.delta]
        index = self.segment(Segment((*stem, *(path[-1] for path in tree)), begin, parent, delta, follows=follows))
        for continuation in request.continuations:
            for at, token in enumerate(continuation):
                offset = tree[continuation[:at]] + len(stem) if at else last
                self.targets.append((self.position(index, offset), token))

    def _add_chains(self, request: TokenizedRequest) -> None:
        """Add every answer in blocks of its own."""
        parent = self.context(request)
        first = self.position(parent, len(self.segments[parent].tokens) - 1)
        for continuation in request.continuations:
            self.targets.append((first, continuation[0]))
            before, at = parent, len(request.context)
            for begin in range(0, len(continuation) - 1, self.block):
                block = continuation[begin : min(begin + self.block, len(continuation) - 1)]
                before = self.extend(block, at + begin, before, self.segments[parent].delta)
                for offset in range(len(block)):
                    place = self.position(before, offset)
                    self.targets.append((place, continuation[begin + offset + 1]))


def _tree(continuations: Sequence[tuple[int, ...]]) -> dict[tuple[int, ...], int]:
    """Return the proper prefixes of the continuations -> their numbers; each after its own prefixes."""
    paths = (path[:end] for path in continuations for end in range(1, len(path)))
    return {path: number for number, path in enumerate(dict.fromkeys(paths))}


def plan(requests: Sequence[TokenizedRequest], slab_tokens: int, block_tokens: int) -> ForwardPlan:
    """Return the forward pass that answers ``requests``; its targets follow their order.

    Its depth is the lowest layer that any delta changes: the layers below can be computed once for all deltas.

    Args:
        requests: with any deltas.
        slab_tokens, block_tokens: of the numeric profile.
    """
    builder = _Builder(block_tokens)
    for request in requests:
        builder.add(request)
    slabs = fill_slabs(builder.segments, slab_tokens)
    deltas = builder.carried
    depth = min((delta.depth for delta in deltas), default=0)
    return ForwardPlan(builder.segments, slabs, builder.positions, builder.targets, deltas, depth)


def plan_generation(
    requests: Sequence[TokenizedGeneration], slab_tokens: int, block_tokens: int
) -> tuple[ForwardPlan, list[int]]:
    """Return the pass of all contexts, and the segment that each request's context ends with; see :func:`plan`."""
    builder = _Builder(block_tokens)
    ends = [builder.context(request) for request in requests]
    slabs = fill_slabs(builder.segments, slab_tokens)
    deltas = builder.carried
    depth = min((delta.depth for delta in deltas), default=0)
    return ForwardPlan(builder.segments, slabs, deltas=deltas, depth=depth), ends


def plan_states(
    requests: Sequence[TokenizedStates], slab_tokens: int, block_tokens: int
) -> tuple[ForwardPlan, list[tuple[int, ...]]]:
    """Return the pass of all contexts, and the segments that hold each request's tokens behind its prefix, in order.

    A context without such tokens has the segment of its last one. The plan's positions are the segments whose states
    are read. The layers below the lowest one that is read or changed can be computed once for all deltas.

    Args:
        requests: with any deltas.
        slab_tokens, block_tokens: of the numeric profile.
    """
    builder = _Builder(block_tokens)
    chains = []
    for request in requests:
        last = builder.context(request)
        chain = [last]
        while (before := builder.segments[chain[0]].parent) >= 0 and (
            builder.segments[before].start >= request.prefix_length
        ):
            chain.insert(0, before)
        chains.append(tuple(chain))
    positions = [(segment, 0) for segment in dict.fromkeys(index for chain in chains for index in chain)]
    slabs = fill_slabs(builder.segments, slab_tokens)
    deltas = builder.carried
    lowest = min(layer for request in requests for layer in request.layers)
    depth = min([lowest - 1, *(delta.depth for delta in deltas)]) if deltas else 0
    return ForwardPlan(builder.segments, slabs, positions, deltas=deltas, depth=depth), chains


def split_answers(requests: Sequence[TokenizedRequest], logprobs: np.ndarray) -> list[LogProbs]:
    """Cut a plan's ``(n_targets,)`` log-probabilities into one answer per request."""
    answers = []
    begin = 0
    for request in requests:
        answer = []
        for continuation in request.continuations:
            answer.append(logprobs[begin : begin + len(continuation)])
            begin += len(continuation)
        answers.append(LogProbs(answer, request.joined))
    return answers


@dataclass(frozen=True)
class Batch:
    """Requests that one worker answers between two reports, by their indices in the order asked."""

    indices: tuple[int, ...]


def _costs(requests: Sequence[Tokenized]) -> list[tuple[int, bool]]:
    """Return each request's tokens that pass the model, and whether a new prefix begins with it.

    A prefix counts once while its requests follow each other.
    """
    costs = []
    last: tuple[object, ...] | None = None
    for request in requests:
        prefix = (request.delta, *request.context[: request.prefix_length])
        costs.append((request.own_tokens + (len(prefix) - 1 if prefix != last else 0), prefix != last))
        last = prefix
    return costs


def batch_target(requests: Sequence[Tokenized], workers: int, uneven: bool = False) -> int:
    """Return a batch size near ``BATCH_TOKENS`` that gives every worker as many batches as the others.

    Args:
        requests: what is asked.
        workers: how many there are.
        uneven: whether workers may differ in speed. Batches are then as small as one prompt's requests, if there are
            several prompts for each worker, so that a slow worker does not hold up the others.
    """
    costs = _costs(requests)
    tokens, prompts = sum(cost for cost, _ in costs), sum(new for _, new in costs)
    count = max(round(tokens / BATCH_TOKENS / workers), 1) * workers
    if uneven and prompts >= SPARE * workers:
        count = max(count, min(prompts, tokens // SMALL_BATCH))
    return max(-(-tokens // count), 1)


def batches(requests: Sequence[Tokenized], target: int = BATCH_TOKENS) -> Iterator[Batch]:
    """Cut requests into batches of about ``target`` tokens that pass the model, in the order asked.

    Cuts lie near the multiples of ``target``, at the beginning of a new prefix if one is near, since two batches
    share no computation. Batches have no influence on the bits of answers.
    """
    costs = _costs(requests)
    count = max(round(sum(cost for cost, _ in costs) / target), 1)
    indices: list[int] = []
    tokens, emitted = 0, 0
    for index, (cost, new_prefix) in enumerate(costs):
        goal = (emitted + 1) * target
        near = tokens > goal - 0.1 * target if new_prefix else tokens + cost > goal + 0.25 * target
        if near and indices and emitted < count - 1:
            yield Batch(tuple(indices))
            indices, emitted = [], emitted + 1
        indices.append(index)
        tokens += cost
    if indices:
        yield Batch(tuple(indices))


def jobs(requests: Sequence[Tokenized], workers: int, uneven: bool = False) -> Iterator[list[int]]:
    """Yield the indices of each batch; a batch holds one kind of request; see :func:`batch_target`."""
    for kind in (TokenizedRequest, TokenizedGeneration, TokenizedStates):
        places = [index for index, request in enumerate(requests) if isinstance(request, kind)]
        asked = [requests[i] for i in places]
        for batch in batches(asked, batch_target(asked, workers, uneven)):
            yield [places[i] for i in batch.indices]
