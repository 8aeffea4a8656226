"""Each operator on deltas does what its first line says, as DEAP does it where DEAP has it too."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from deap import tools
from scipy import stats

from evolm.genomes import DELTA, PROMPT, DeltaGenes, DeltaSpace, Genome, Learning, Prompt
from evolm.genomes import Space as Product
from evolm.individual import Individual
from evolm.operators import OPERATORS, VariationContext
from evolm.operators import delta as operators

Space = Callable[..., DeltaSpace]
MODULAR = {"encoding": "singular", "rank": 3}  # two modules, three genes each


@pytest.fixture(scope="module")
def wide(toy_deltas: Space) -> DeltaSpace:
    """Many genes, so that a child shows a distribution."""
    return toy_deltas(dimension=4000, sigma=0.1)


def drawn(space: DeltaSpace, seed: int, **more: Any) -> DeltaGenes:
    return replace(space.random(np.random.default_rng(seed)), **more)


def memory(space: DeltaSpace, seed: int, rate: float) -> Learning:
    first, second = np.random.default_rng(seed).random((2, space.dimension)).astype(np.float32)
    return Learning(rate, 0.0, 3, first, second, count=seed)


class PythonsDraws:
    """A generator of uniform numbers that takes them from where DEAP does."""

    def random(self, size: int) -> np.ndarray:
        return np.array([random.random() for _ in range(size)])


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (operators.simulated_binary_crossover, lambda a, b: tools.cxSimulatedBinary(a, b, operators.ETA)),
        (operators.blend_crossover, lambda a, b: tools.cxBlend(a, b, operators.ALPHA)),
    ],
    ids=["SBX", "blend"],
)
def test_crossover_is_that_of_deap_on_the_same_draws(ours: Any, theirs: Any, wide: DeltaSpace) -> None:
    first, second = drawn(wide, 0), drawn(wide, 1)
    before = random.getstate()
    try:
        random.seed(7)
        child = ours(PythonsDraws(), wide, first, second)
        random.seed(7)
        expected, _ = theirs(first.genes.tolist(), second.genes.tolist())
    finally:
        random.setstate(before)
    assert child.genes == pytest.approx(np.array(expected), abs=1e-6)
    assert child.digest not in (first.digest, second.digest)


def test_blend_draws_from_the_whole_of_the_widened_interval_and_no_further(wide: DeltaSpace) -> None:
    first, second = DeltaGenes(np.zeros(4000)), DeltaGenes(np.ones(4000))
    child = operators.blend_crossover(np.random.default_rng(0), wide, first, second)
    assert stats.kstest(child.genes, stats.uniform(-operators.ALPHA, 1 + 2 * operators.ALPHA).cdf).pvalue > 0.01


def test_sbx_contracts_as_often_as_it_expands_and_stays_near_its_first_parent(wide: DeltaSpace) -> None:
    first, second = DeltaGenes(-np.ones(4000)), DeltaGenes(np.ones(4000))
    child = operators.simulated_binary_crossover(np.random.default_rng(0), wide, first, second)
    spread = -child.genes  # beta; P(beta < b) = b ** (eta + 1) / 2 for b <= 1
    inside = spread[spread <= 1]
    assert abs(inside.size / 4000 - 0.5) < 0.03
    assert stats.kstest(inside, stats.powerlaw(operators.ETA + 1).cdf).pvalue > 0.01
    assert stats.kstest(1 / spread[spread > 1], stats.powerlaw(operators.ETA + 1).cdf).pvalue > 0.01


@pytest.mark.parametrize("sigma", [0.0, 0.03])
def test_gaussian_mutation_adds_noise_of_a_step_size_that_mutates_itself(sigma: float, toy_deltas: Space) -> None:
    space, rng = toy_deltas(sigma=0.2), np.random.default_rng(0)
    parent = drawn(space, 0, sigma=sigma)
    children = [operators.gaussian_mutation(rng, space, parent) for _ in range(2000)]
    tau = 1 / np.sqrt(space.dimension)
    logs = np.log([child.sigma / (sigma or 0.2) for child in children])
    assert stats.kstest(logs, stats.norm(0, tau).cdf).pvalue > 0.01
    steps = np.concatenate([(child.genes - parent.genes) / child.sigma for child in children])
    assert stats.kstest(steps, stats.norm.cdf).pvalue > 0.01


def test_the_step_size_of_many_genes_still_adapts(wide: DeltaSpace) -> None:
    rng, parent = np.random.default_rng(0), drawn(wide, 0, sigma=0.1)
    logs = np.log([operators.gaussian_mutation(rng, wide, parent).sigma / 0.1 for _ in range(500)])
    assert np.std(logs) == pytest.approx(operators.LEAST_TAU, rel=0.1)


def test_module_mutation_changes_the_genes_of_one_module(toy_deltas: Space) -> None:
    space, rng = toy_deltas(**MODULAR), np.random.default_rng(0)
    parent = drawn(space, 0)
    changed = [operators.module_mutation(rng, space, parent).genes != parent.genes for _ in range(20)]
    assert {tuple(mask) for mask in changed} == {(True,) * 3 + (False,) * 3, (False,) * 3 + (True,) * 3}


def test_module_crossover_takes_whole_modules_with_what_was_learnt_about_them(toy_deltas: Space) -> None:
    space, rng = toy_deltas(**MODULAR), np.random.default_rng(0)
    first = drawn(space, 1, learning=memory(space, 1, rate=0.1))
    second = drawn(space, 2, learning=memory(space, 2, rate=0.7))
    origins = set()
    for _ in range(30):
        child = operators.module_crossover(rng, space, first, second)
        origin = []
        for own in space.modules:
            parent = first if np.array_equal(child.genes[own], first.genes[own]) else second
            assert np.array_equal(child.genes[own], parent.genes[own])
            assert np.array_equal(child.learning.first[own], parent.learning.first[own])
            assert np.array_equal(child.learning.second[own], parent.learning.second[own])
            origin.append(parent is first)
        origins.add(tuple(origin))
        assert child.learning.settings() == first.learning.settings()
    assert origins == {(True, True), (True, False), (False, True), (False, False)}


def test_module_crossover_with_one_who_has_not_learnt_keeps_the_first_ones_memory(toy_deltas: Space) -> None:
    space, rng = toy_deltas(**MODULAR), np.random.default_rng(0)
    learnt, naive = drawn(space, 1, learning=memory(space, 1, rate=0.1)), drawn(space, 2)
    assert operators.module_crossover(rng, space, learnt, naive).learning == learnt.learning
    assert operators.module_crossover(rng, space, naive, learnt).learning is None


@pytest.mark.parametrize("crossover", operators.CROSSOVERS, ids=lambda function: function.__name__)
@pytest.mark.parametrize(("ours", "theirs", "childs"), [(0.1, 0.4, 0.2), (0.0, 0.4, 0.4), (0.1, 0.0, 0.1), (0, 0, 0)])
def test_a_childs_step_size_lies_between_its_parents(
    crossover: Any, ours: float, theirs: float, childs: float, toy_deltas: Space
) -> None:
    space = toy_deltas()
    child = crossover(np.random.default_rng(0), space, drawn(space, 0, sigma=ours), drawn(space, 1, sigma=theirs))
    assert child.sigma == pytest.approx(childs)


def people(*deltas: DeltaGenes) -> list[Individual]:
    return [Individual(number, Genome({DELTA: delta})) for number, delta in enumerate(deltas)]


def test_differential_mutation_adds_half_the_difference_of_two_others(toy_deltas: Space) -> None:
    space = toy_deltas()
    genomes = [drawn(space, seed) for seed in range(4)]
    everyone, rng = people(*genomes), np.random.default_rng(0)
    (target,), others = genomes[:1], genomes[1:]
    possible = {
        replace(target, genes=target.genes + np.float32(operators.FACTOR) * (one.genes - two.genes))
        for one in others
        for two in others
        if one is not two
    }
    families = [(everyone[0],)] * 60
    children = OPERATORS["differential_mutation"].vary(
        families, VariationContext(rng, Product({DELTA: space}), population=everyone)
    )
    assert operators.FACTOR == 0.5
    assert {child.delta for child in children if child} == possible
    assert len(possible) == 6


def test_differential_mutation_needs_two_others(toy_deltas: Space) -> None:
    space, vary = toy_deltas(), OPERATORS["differential_mutation"].vary
    one, two, three = people(*(drawn(space, seed) for seed in range(3)))
    again = replace(one, id=9)

    def child(*population: Individual) -> Any:
        return vary(
            [(one,)], VariationContext(np.random.default_rng(0), Product({DELTA: space}), population=population)
        )[0]

    assert child() is child(one) is child(one, two) is child(one, again, two) is None
    assert child(one, two, three) is not None


def test_children_share_no_memory_with_their_parents(toy_deltas: Space) -> None:
    space, rng = toy_deltas(**MODULAR), np.random.default_rng(0)
    first, second = drawn(space, 0), drawn(space, 1)
    families = [tuple(people(first, second))]
    context = VariationContext(rng, Product({DELTA: space}), population=people(first, second, drawn(space, 2)))
    for operator in operators.DELTA_OPERATORS:
        (child,) = operator.vary(families, context)
        assert not np.shares_memory(child.delta.genes, first.genes)
        assert not np.shares_memory(child.delta.genes, second.genes)
        with pytest.raises(ValueError, match="read-only"):
            child.delta.genes[0] = 1.0


def test_genomes_are_equal_where_all_that_is_inherited_is(toy_deltas: Space) -> None:
    space = toy_deltas()
    learning = memory(space, 1, rate=0.1)
    genome = drawn(space, 0, sigma=0.1, learning=learning)
    same = DeltaGenes.from_record(genome.to_record())
    assert genome == same
    assert hash(genome) == hash(same)
    others = [
        replace(genome, genes=genome.genes + 1),
        replace(genome, sigma=0.2),
        replace(genome, learning=None),
        replace(genome, learning=replace(learning, rate=0.2)),
        replace(genome, learning=replace(learning, second=learning.second + 1)),
    ]
    assert genome not in others
    assert len({genome, same, *others}) == 6
    assert genome != genome.digest
    prompt = Prompt("Is it spam?")
    genomes = [Genome({PROMPT: text, DELTA: delta}) for text, delta in ((prompt, genome), (prompt, same))]
    assert len({*genomes, Genome({PROMPT: Prompt(""), DELTA: genome})}) == 2
    assert Genome({PROMPT: prompt, DELTA: others[1]}) not in genomes
