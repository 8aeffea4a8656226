"""Genomes of several chromosomes, and the product of their spaces."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from evolm.errors import GenomeError
from evolm.genomes import DELTA, PROMPT, DeltaGenes, DeltaSpace, Genome, Prompt, PromptSpace, Space, prompt_genome

A, B = Prompt("Spam?"), Prompt("Spam or ham?")
ONES = DeltaGenes(np.ones(6))


@pytest.fixture(scope="module")
def both(toy_space: Callable[..., PromptSpace], toy_deltas: Callable[..., DeltaSpace]) -> Space:
    return Space({PROMPT: toy_space(), DELTA: toy_deltas()})


@pytest.fixture
def alone(both: Space) -> Space:
    """Only the delta evolves."""
    return Space(both.parts, {PROMPT: A})


def test_the_digest_follows_from_kinds_and_chromosomes_in_any_order() -> None:
    one, other = Genome({PROMPT: A, DELTA: ONES}), Genome({DELTA: ONES, PROMPT: A})
    assert (one, one.digest, hash(one)) == (other, other.digest, hash(other))
    assert one.kinds == (PROMPT, DELTA)
    assert (
        len({g.digest for g in (one, prompt_genome(A), one.with_chromosome(PROMPT, B), Genome({DELTA: ONES}))}) == 4
    )
    assert one.with_chromosome(PROMPT, B).prompt == B
    assert (one.prompt, one.delta) == (A, ONES)


def test_a_chromosome_that_is_missing_is_named() -> None:
    assert DELTA not in prompt_genome(A)
    with pytest.raises(GenomeError, match=r"expected a 'delta' chromosome, found \['prompt'\]"):
        _ = prompt_genome(A).delta
    with pytest.raises(GenomeError, match="at least one chromosome, found none"):
        Genome({})


def test_a_frozen_chromosome_is_neither_drawn_nor_compared_nor_exchanged(both: Space, alone: Space) -> None:
    rng, same = np.random.default_rng(0), np.random.default_rng(0)
    genome = alone.random(rng)
    assert (genome.prompt, genome.delta) == (A, both[DELTA].random(same))
    assert rng.bit_generator.state == same.bit_generator.state
    assert alone.outside(genome) == ""
    assert "expected the frozen prompt" in alone.outside(genome.with_chromosome(PROMPT, B))
    assert "expected chromosomes of the kinds" in alone.outside(prompt_genome(A))
    other = alone.random(rng)
    assert alone.distance(genome, other) == genome.delta.distance(other.delta)
    halves = genome.prompt.distance(B) + genome.delta.distance(other.delta)
    assert both.distance(genome, other.with_chromosome(PROMPT, B)) == halves / 2


def test_chromosomes_that_are_missing_are_frozen_or_neutral(both: Space, alone: Space) -> None:
    assert both.completed({DELTA: ONES}).prompt == Prompt("")
    assert alone.completed({DELTA: ONES}).prompt == A
    assert alone.completed({PROMPT: B}).prompt == B
    assert both.completed({PROMPT: B}).delta == both[DELTA].neutral()
    assert both.brought(both.completed({PROMPT: B})) == {PROMPT: B}
    assert both.brought(Genome({PROMPT: B, DELTA: ONES})).keys() == {PROMPT, DELTA}


def test_the_phenotype_is_the_prompt_and_the_change_of_the_weights(both: Space) -> None:
    seen = both.express(Genome({PROMPT: A, DELTA: ONES}))
    assert (seen.prompt, seen.delta) == (A, both[DELTA].delta(ONES))
    assert both.express(both.completed({PROMPT: A})).delta is None
    assert both.express(prompt_genome(A)).prompt == A
    assert both.tokens(prompt_genome(A)) == both[PROMPT].tokens(A)
