"""A campaign on a cluster of any size, simulated batch by batch from measured constants.

The campaign's process is a single thread: it breeds and tokenises, hands out batches in order, a few ahead of the
results, reads the results in order, scores. A worker that is free takes the oldest batch. Nothing is drawn at random:
equal constants give equal figures.

Efficiency is the work of all genomes, each prompt passed once, over the capacity of all workers in the time it took.
It falls because of the campaign's own process, of messages, of prompts that several batches repeat, of workers that
wait for the last batch of a generation, and of a slow worker that holds it.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from evolm.evaluation.plan import AHEAD, BATCH_TOKENS, SPARE

ENOUGH = 0.8  # efficiency
POPULATIONS = (6, 12, 24, 48, 96, 192, 384, 768, 1536)
WORKERS = (4, 8, 16, 32, 64, 128, 256)
SLOW = 0.5  # speed of a straggler
OVERLAP = 3  # generations beyond the next that are bred before one is told
TIMES = 16  # as many individuals as a search whose generations overlap has in its first one, from begin to end


@dataclass(frozen=True)
class Constants:
    """Seconds, as measured.

    Attributes:
        token: of a worker, for each token that passes the model.
        latency: from handing out a batch to having its result, without the work and the handling.
        handling: of the campaign's process, for each batch.
        individual: of the campaign's process, for each individual: variation, tokens, scores, journal.
        generation: of the campaign's process, for each generation: selection, checkpoint, report.
    """

    token: float
    latency: float
    handling: float
    individual: float
    generation: float


@dataclass(frozen=True)
class Load:
    """What an individual asks.

    Attributes:
        prefix: tokens of its prompt.
        items: rows that it is scored on.
        item: tokens of a row and its labels.
    """

    prefix: int = 200
    items: int = 48
    item: int = 30

    @property
    def tokens(self) -> int:
        """Of one individual, its prompt passed once."""
        return self.prefix + self.items * self.item


class Workers:
    """The workers of a cluster, which take batches in the order in which they are handed out.

    Args:
        count: how many.
        slow: of these, how many have the speed ``SLOW``.
    """

    def __init__(self, count: int, slow: int = 0) -> None:
        speeds = [SLOW] * slow + [1.0] * (count - slow)
        self.capacity = sum(speeds)
        self._free = [(0.0, -speed, number) for number, speed in enumerate(speeds)]
        heapq.heapify(self._free)

    def finish(self, handed: float, seconds: float) -> float:
        """Return when a batch that is handed out at some time is done by the worker that is free first."""
        free, speed, number = heapq.heappop(self._free)
        done = max(free, handed) + seconds / -speed
        heapq.heappush(self._free, (done, speed, number))
        return done


def cut(population: int, load: Load, batches: int) -> list[int]:
    """Return the tokens of each batch of a generation, cut into equal numbers of rows; each repeats its prompts."""
    rows = population * load.items
    ends = [rows * number // batches for number in range(batches + 1)]
    tokens = []
    for begin, end in pairwise(ends):
        prompts = (end - 1) // load.items - begin // load.items + 1 if end > begin else 0
        tokens.append((end - begin) * load.item + prompts * load.prefix)
    return [each for each in tokens if each]


def equal_shares(population: int, load: Load, workers: int) -> int:
    """Return the number of batches near ``BATCH_TOKENS`` that gives every worker as many as the others."""
    rounds = max(round(population * load.tokens / BATCH_TOKENS / workers), 1)
    return min(rounds * workers, population * load.items)


def whole_individuals(population: int, load: Load, workers: int) -> int:
    """Return as many batches as individuals if there are two or more for each worker, as clusters do."""
    shares = equal_shares(population, load, workers)
    return max(shares, population) if population >= SPARE * workers else shares


def generation_seconds(population: int, batches: int, workers: int, slow: int, load: Load, c: Constants) -> float:
    """Return how long a generation takes that begins when all of the one before are told."""
    staff = Workers(workers, slow)
    now = population * c.individual / 2
    done: list[float] = []
    parts = cut(population, load, batches)
    ahead = AHEAD * workers
    for number, tokens in enumerate(parts):
        if number >= ahead:
            now = max(now, done[number - ahead] + c.latency / 2) + c.handling / 2
        now += c.handling / 2
        done.append(staff.finish(now + c.latency / 2, tokens * c.token))
    for finished in done[-ahead:]:
        now = max(now, finished + c.latency / 2) + c.handling / 2
    return now + population * c.individual / 2 + c.generation


def barrier(
    rule: Callable[[int, Load, int], int], population: int, workers: int, slow: int, load: Load, c: Constants
) -> float:
    """Return the efficiency of generations of a size, cut into batches by a rule."""
    work = population * load.tokens * c.token
    capacity = Workers(workers, slow).capacity
    batches = rule(population, load, workers)
    return work / (capacity * generation_seconds(population, batches, workers, slow, load, c))


def asynchronous(population: int, workers: int, slow: int, load: Load, c: Constants, overlap: int = OVERLAP) -> float:
    """Return the efficiency of a search whose generations overlap.

    A first generation of ``population`` individuals is followed by smaller ones, of which ``overlap + 1`` are scored
    at a time, as many individuals together as in the first one. Each is bred as soon as the generation that its
    parents come from is told.
    """
    staff, now, told = Workers(workers, slow), 0.0, 0
    waiting: deque[int] = deque()  # tokens of batches
    handed: deque[float] = deque()  # when batches are done
    ahead: deque[tuple[int, int]] = deque()  # individuals and batches of the generations that are not told

    def hand_out() -> None:
        nonlocal now
        while waiting and len(handed) < AHEAD * workers:
            now += c.handling / 2
            handed.append(staff.finish(now + c.latency / 2, waiting.popleft() * c.token))

    children = max(population // (overlap + 1), 1)
    sizes = [population, *[children] * ((TIMES - 1) * population // children)]
    for number, size in enumerate(sizes):
        while told + len(ahead) < len(sizes) and (told > 0 or not ahead) and len(ahead) <= overlap:
            born = told + len(ahead)
            now += sizes[born] * c.individual / 2
            share = math.ceil(workers / (overlap + 1)) if born else workers
            parts = cut(sizes[born], load, whole_individuals(sizes[born], load, share))
            waiting.extend(parts)
            ahead.append((sizes[born], len(parts)))
            hand_out()
        size, batches = ahead.popleft()
        for _ in range(batches):
            now = max(now, handed.popleft() + c.latency / 2) + c.handling / 2
            hand_out()
        now += size * c.individual / 2 + c.generation
        told = number + 1
    return sum(sizes) * load.tokens * c.token / (staff.capacity * now)


def smallest(sizes: Sequence[int], efficiencies: Sequence[float]) -> int | None:
    """Return the smallest size from which on efficiency stays at ``ENOUGH`` or above; None if none does."""
    found = None
    for size, efficiency in sorted(zip(sizes, efficiencies, strict=True), reverse=True):
        if efficiency < ENOUGH:
            break
        found = size
    return found


POLICIES: dict[str, Callable[[int, int, int, Load, Constants], float]] = {
    "generations, equal shares": partial(barrier, equal_shares),
    "generations, batches of an individual": partial(barrier, whole_individuals),
    f"asynchronous = {OVERLAP}": asynchronous,
}


def simulated(c: Constants, load: Load) -> Iterator[dict[str, object]]:
    """Yield, for every number of workers, stragglers and policy, the efficiency at each population or window."""
    for workers in WORKERS:
        for slow in (0, max(workers // 16, 1)):
            for policy, efficiency in POLICIES.items():
                found = [efficiency(size, workers, slow, load, c) for size in POPULATIONS]
                yield {
                    "workers": workers,
                    "slow": slow,
                    "policy": policy,
                    "efficiency": {str(size): round(e, 3) for size, e in zip(POPULATIONS, found, strict=True)},
                    "smallest": smallest(POPULATIONS, found),
                }


def most_workers(c: Constants) -> int:
    """Return how many workers the campaign's process can feed, each with batches of the usual size."""
    return math.floor(BATCH_TOKENS * c.token / c.handling)
