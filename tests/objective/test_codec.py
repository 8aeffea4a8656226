"""Vectors, native values and genomes: what goes in comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolm.errors import ConfigError, GenomeError
from evolm.genomes import (
    DELTA,
    PROMPT,
    READOUT,
    DeltaGenes,
    DeltaSpace,
    Demonstration,
    Genome,
    Prompt,
    PromptSpace,
    ReadoutSpace,
    Space,
    prompt_genome,
)
from evolm.objective import Codec, Real, Variable
from evolm.readout_kinds import CALIBRATION, CONTEXTUAL


@pytest.fixture(scope="module")
def codecs(toy_space: Callable[..., PromptSpace], toy_deltas: Callable[..., DeltaSpace]) -> dict[str, Codec]:
    """A codec of every kind of space."""
    prompts, deltas = toy_space(), toy_deltas(sigma=10.0)
    founders = [Prompt(text) for text in prompts.instructions]
    alone = Space({PROMPT: prompts, DELTA: deltas}, {PROMPT: founders[0]})
    both = Space({PROMPT: prompts, DELTA: deltas})
    return {
        "prompt": Codec(Space({PROMPT: prompts}), list(map(prompt_genome, founders))),
        "delta": Codec(alone, [alone.completed({})]),
        "hybrid": Codec(both, [both.completed({PROMPT: founder}) for founder in founders]),
    }


def with_genes(codec: Codec, genes: Any) -> Genome:
    return codec.space.completed({DELTA: DeltaGenes(np.array(genes))})


KINDS = pytest.mark.parametrize("kind", ["prompt", "delta", "hybrid"])


def between(codec: Codec, shares: list[float]) -> np.ndarray:
    """Return the vector that lies so far between the bounds, the shares used again and again."""
    low, high = codec.bounds.T
    return low + np.resize(shares, codec.dimension) * (high - low)


@KINDS
@settings(max_examples=60, deadline=None)
@given(shares=st.lists(st.floats(0, 1), min_size=1, max_size=16))
def test_a_genome_comes_back_from_its_vector_and_from_its_values(
    kind: str, shares: list[float], codecs: dict[str, Codec]
) -> None:
    codec = codecs[kind]
    genome = codec.decode(between(codec, shares))
    vector, values = codec.encode(genome), codec.values(genome)
    assert vector.dtype == np.float64
    assert codec.decode(vector).digest == genome.digest
    assert codec.genome(values).digest == genome.digest
    assert np.array_equal(codec.encode(codec.decode(vector)), vector)
    assert ((codec.bounds[:, 0] <= vector) & (vector <= codec.bounds[:, 1])).all()


@KINDS
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_every_genome_that_a_space_draws_has_a_vector(kind: str, seed: int, codecs: dict[str, Codec]) -> None:
    codec = codecs[kind]
    drawn = codec.space.random(np.random.default_rng(seed))
    assert codec.decode(codec.encode(drawn)).digest == drawn.digest


@settings(max_examples=60, deadline=None)
@given(genes=st.lists(st.floats(-60, 60, width=32), min_size=6, max_size=6))
def test_genes_pass_unchanged_to_the_bit(genes: list[float], codecs: dict[str, Codec]) -> None:
    assert codecs["delta"].encode(with_genes(codecs["delta"], genes)).tolist() == genes


def test_variables_are_the_choices_of_a_prompt_and_then_genes(codecs: dict[str, Codec]) -> None:
    variables = codecs["hybrid"].variables
    names = [variable.name for variable in variables]
    slots = [f"demonstration_{n}" for n in range(1, 5)]
    genes = [f"gene_{n}" for n in range(6)]
    assert names == [
        "instruction",
        "demonstrations",
        *slots,
        "verbalizer_ham",
        "verbalizer_spam",
        *genes,
    ]
    choices = {v.name: v.choices for v in variables if isinstance(v, Variable)}
    assert choices["verbalizer_spam"] == ("spam", "junk")
    assert choices["demonstrations"] == (0, 1, 2, 3, 4)
    assert len(choices["demonstration_1"]) == 36
    assert isinstance(variables[-1], Real)
    assert variables[-1].low == -variables[-1].high == codecs["delta"].bounds[0, 0]


def test_each_choice_is_as_large_as_any_other(codecs: dict[str, Codec]) -> None:
    (words,) = (v for v in codecs["prompt"].variables if v.name == "verbalizer_ham")
    assert isinstance(words, Variable)
    assert [words.value(x) for x in (0, 0.99, 1, 2.5, 3)] == ["ham", "ham", "normal", "fine", "fine"]
    assert words.coordinate("normal") == 1.5


def test_an_item_is_shown_once_and_nothing_stands_between(codecs: dict[str, Codec]) -> None:
    codec = codecs["prompt"]
    first, a, b = codec.variables[2].choices[:3]  # type: ignore[union-attr]
    values = dict(zip([v.name for v in codec.variables], codec.values(codec.decode(codec.bounds[:, 0])), strict=True))
    values |= {"demonstrations": 3}
    values |= {"demonstration_1": b, "demonstration_2": a, "demonstration_3": b, "demonstration_4": first}
    genome = codec.genome(list(values.values()))
    assert [shown.item for shown in genome.prompt.demonstrations] == [b, a]
    assert codec.values(genome)[1:6] == [2, b, a, first, first]


def test_fewest_demonstrations_are_always_shown(toy_space: Callable[..., PromptSpace]) -> None:
    codec = Codec(Space({PROMPT: toy_space(demonstrations=(1, 2))}))
    assert codec.variables[1].choices == (1, 2)  # type: ignore[union-attr]
    for draw in np.random.default_rng(0).uniform(*codec.bounds.T, (50, codec.dimension)):
        assert codec.decode(draw).prompt.demonstrations


def test_points_drawn_at_random_show_any_number_of_demonstrations(codecs: dict[str, Codec]) -> None:
    codec = codecs["prompt"]
    drawn = codec.decode_many(np.random.default_rng(0).uniform(*codec.bounds.T, (200, codec.dimension)))
    counts = np.bincount([len(genome.prompt.demonstrations) for genome in drawn], minlength=5)
    assert counts.min() > 10


def test_what_leaves_no_choice_is_no_variable(toy_space: Callable[..., PromptSpace]) -> None:
    narrow = {"demonstrations": (0, 0), "verbalizers": {}, "instructions": ("Spam?",)}
    readouts = ReadoutSpace(CALIBRATION, (1, 2), ("last", "mean"), (0.0, 1.0), 256)
    codec = Codec(Space({PROMPT: toy_space(**narrow), READOUT: readouts}))
    assert [variable.name for variable in codec.variables] == ["kind"]
    genome = prompt_genome(Prompt("Spam?")).with_chromosome(READOUT, readouts.readout(CONTEXTUAL))
    assert codec.decode([1.2]) == genome
    with pytest.raises(GenomeError, match=r"instruction: expected 'Spam\?', the only choice, found 'Other'"):
        codec.encode(genome.with_chromosome(PROMPT, Prompt("Other")))
    with pytest.raises(ConfigError, match="expected something to choose"):
        Codec(Space({PROMPT: toy_space(**narrow)}))


def test_founders_demonstrations_can_be_chosen_wherever_they_come_from(toy_space: Callable[..., PromptSpace]) -> None:
    space = toy_space()
    written = Demonstration("0123456789abcdef", (("text", "free cash"),), "spam")
    founder = prompt_genome(Prompt(space.instructions[0], (written,)))
    codec = Codec(Space({PROMPT: space}), [founder])
    assert codec.decode(codec.encode(founder)) == founder


BAD: list[tuple[Any, str]] = [
    (np.zeros((6, 3)), r"expected shape \(n, 6\), found \(6, 3\); transpose it, as for SciPy's vectorized functions"),
    (np.zeros((2, 5)), r"expected shape \(n, 6\), found \(2, 5\)"),
    (np.zeros(6), r"expected shape \(n, 6\), found \(6,\)"),
    ([[0.0] * 6, [0.0] * 5], "expected numbers in rows of one length"),
    ([["a"] * 6], "expected numbers in rows of one length"),
    ([[0, 0, np.nan, 0, 0, 0]], "expected finite numbers, found nan for gene_2 in row 0"),
    ([[0] * 6, [np.inf, 0, 0, 0, 0, 0]], "found inf for gene_0 in row 1"),
    ([[0, 801, 0, 0, 0, 0]], r"expected gene_1 in \[-800, 800\], found 801 in row 0"),
]


@pytest.mark.parametrize(("vectors", "message"), BAD)
def test_what_is_no_vector_of_the_space_is_refused(vectors: Any, message: str, codecs: dict[str, Codec]) -> None:
    with pytest.raises(GenomeError, match=message):
        codecs["delta"].decode_many(vectors)


def test_genes_may_leave_their_bounds_and_choices_only_by_rounding(codecs: dict[str, Codec]) -> None:
    far = codecs["delta"].decode(np.full(6, 500.0))
    assert far.delta.genes.tolist() == [500.0] * 6
    prompt = codecs["prompt"]
    over = prompt.bounds[:, 1] + 1e-11
    assert prompt.decode(over).digest == prompt.decode(prompt.bounds[:, 1]).digest
    with pytest.raises(GenomeError, match=r"expected instruction in \[0, 2\], found -0.1 in row 0"):
        prompt.decode(np.r_[-0.1, prompt.bounds[1:, 0]])


def test_genomes_and_values_of_other_spaces_are_refused(
    codecs: dict[str, Codec], toy_space: Callable[..., PromptSpace]
) -> None:
    prompt = Prompt(toy_space().instructions[0])
    with pytest.raises(
        GenomeError, match=r"expected chromosomes of the kinds \['prompt', 'delta'\], found \['prompt'\]"
    ):
        codecs["delta"].encode(prompt_genome(prompt))
    with pytest.raises(GenomeError, match="expected the frozen prompt"):
        codecs["delta"].encode(codecs["hybrid"].space.completed({PROMPT: replace(prompt, instruction="Other")}))
    with pytest.raises(GenomeError, match="4 genes, expected 6"):
        codecs["delta"].encode(with_genes(codecs["delta"], np.zeros(4)))
    with pytest.raises(GenomeError, match="found ndarray"):
        codecs["prompt"].encode(np.zeros(8))
    with pytest.raises(GenomeError, match="instruction: expected one of"):
        codecs["prompt"].encode(prompt_genome(replace(prompt, instruction="written by an operator")))
    with pytest.raises(GenomeError, match="expected at most 4 demonstrations, found 5"):
        shown = tuple(map(Demonstration.from_item, toy_space().train[:5]))
        codecs["prompt"].encode(prompt_genome(replace(prompt, demonstrations=shown)))
    with pytest.raises(GenomeError, match="expected 6, one a variable, found 2"):
        codecs["delta"].genome([0.0, 1.0])
