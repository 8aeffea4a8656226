"""The simulation of clusters: efficiencies that can be reckoned by hand, and order where it must be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.scaling_simulation import (
    POLICIES,
    Constants,
    Load,
    asynchronous,
    barrier,
    cut,
    equal_shares,
    simulated,
    smallest,
    whole_individuals,
)
from evolm.evaluation.plan import jobs
from evolm.models import TokenizedRequest

FREE = Constants(token=0.001, latency=0, handling=0, individual=0, generation=0)
COSTLY = Constants(token=0.001, latency=0.02, handling=0.003, individual=0.01, generation=0.1)
LOAD = Load(prefix=200, items=48, item=30)


def test_workers_that_cost_nothing_and_have_a_genome_each_are_fully_used() -> None:
    assert barrier(equal_shares, 8, 8, 0, LOAD, FREE) == pytest.approx(1)
    assert asynchronous(8, 8, 0, LOAD, FREE) == pytest.approx(1)


def test_generations_that_overlap_do_not_wait_for_a_worker_of_half_speed() -> None:
    """In the first generation they do, and at the end."""
    waits = barrier(whole_individuals, 16, 8, 1, LOAD, FREE)
    assert waits == pytest.approx(16 / (7.5 * 3))  # the third genome of the fast ones ends after the slow one's first
    assert asynchronous(16, 8, 1, LOAD, FREE) > 0.9 > waits


def test_a_genome_that_is_cut_in_two_repeats_its_prompt() -> None:
    assert cut(4, LOAD, 8) == [200 + 24 * 30] * 8
    expected = LOAD.tokens / (2 * (200 + 24 * 30))
    assert barrier(equal_shares, 4, 8, 0, LOAD, FREE) == pytest.approx(expected)


def test_equal_shares_wait_for_a_worker_of_half_speed() -> None:
    assert barrier(equal_shares, 8, 8, 1, LOAD, FREE) == pytest.approx(8 / (7.5 * 2))


@pytest.mark.parametrize("size", [6, 24, 96])
def test_every_cost_lowers_efficiency(size: int) -> None:
    """If generations overlap, workers may be busy with other genomes meanwhile."""
    for title, policy in POLICIES.items():
        before = policy(size, 8, 0, LOAD, FREE)
        assert before <= 1 + 1e-9
        for name in ("latency", "handling", "individual", "generation"):
            costly = policy(size, 8, 0, LOAD, replace(FREE, **{name: 0.05}))
            assert costly <= before if title.startswith("asynchronous") else costly < before, (title, name)


def test_the_simulated_number_of_batches_is_the_engine_s() -> None:
    for population, workers in ((6, 4), (24, 4), (48, 2)):
        prompts = [tuple(range(number, number + LOAD.prefix)) for number in range(population)]
        row = tuple(range(LOAD.item - 1))
        asked = [TokenizedRequest((*p, *row), LOAD.prefix, ((1, 2),)) for p in prompts for _ in range(LOAD.items)]
        for uneven, rule in ((False, equal_shares), (True, whole_individuals)):
            made = len(list(jobs(asked, workers, uneven=uneven)))
            assert made == rule(population, replace(LOAD, item=asked[0].own_tokens), workers), (population, uneven)


def test_equal_constants_give_equal_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.scaling_simulation.WORKERS", (4, 16))
    monkeypatch.setattr("benchmarks.scaling_simulation.POPULATIONS", (6, 24))
    rows = list(simulated(COSTLY, LOAD))
    assert rows == list(simulated(COSTLY, LOAD))
    assert len(rows) == 2 * 2 * len(POLICIES)


def test_the_smallest_size_is_one_from_which_on_all_are_enough() -> None:
    assert smallest((6, 12, 24), (0.9, 0.7, 0.85)) == 24
    assert smallest((6, 12, 24), (0.9, 0.8, 0.85)) == 6
    assert smallest((6, 12), (0.9, 0.7)) is None
