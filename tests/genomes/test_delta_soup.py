"""Soups: the average of several deltas is one delta."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from evolm.artifacts.delta import DELTA_FILE, delta_files, read_delta
from evolm.errors import GenomeError
from evolm.genomes import DELTA, PROMPT, DeltaGenes, DeltaSettings, DeltaSpace, Genome, Prompt
from evolm.genomes.encodings import ENCODINGS
from evolm.models import LanguageModel
from evolm.models.deltas import Change, LowRank

MODULES = {"scales": ("q_proj", "down_proj"), "singular": ("q_proj",)}


@pytest.fixture(params=list(ENCODINGS))
def space(request: pytest.FixtureRequest, tiny_model: Callable[..., LanguageModel]) -> DeltaSpace:
    modules = MODULES.get(request.param, ("q_proj", "v_proj"))
    return DeltaSpace.of(tiny_model("float32"), DeltaSettings("all", modules, 2, request.param, 7, 0.5))


def drawn(space: DeltaSpace, count: int = 3) -> list[DeltaGenes]:
    rng = np.random.default_rng(0)
    return [space.random(rng) for _ in range(count)]


def effect(change: Change) -> np.ndarray:
    return change.up @ change.down if isinstance(change, LowRank) else change.gain


def test_a_soup_changes_every_module_by_the_average(space: DeltaSpace) -> None:
    members = drawn(space)
    found = space.changes(space.soup(members).genes)
    for name in found:
        average = np.mean([effect(space.changes(member.genes)[name]) for member in members], axis=0)
        np.testing.assert_allclose(effect(found[name]), average, rtol=1e-5, atol=1e-6)


def test_a_soup_of_one_is_that_delta(space: DeltaSpace) -> None:
    [member] = drawn(space, 1)
    assert space.soup([member]).digest == member.digest


def test_a_soup_is_saved_and_read_back(
    space: DeltaSpace, tiny_model: Callable[..., LanguageModel], tmp_path: Path
) -> None:
    soup = space.soup(drawn(space))
    [content] = delta_files(Genome({PROMPT: Prompt(""), DELTA: soup}), space).values()
    (tmp_path / DELTA_FILE).write_bytes(content)
    again, genes = read_delta(tmp_path / DELTA_FILE, tiny_model("float32"))
    assert genes.digest == soup.digest and again.changes(genes.genes).keys() == space.changes(soup.genes).keys()


def test_genes_that_are_no_whole_deltas_are_refused(
    space: DeltaSpace, tiny_model: Callable[..., LanguageModel], tmp_path: Path
) -> None:
    genes = DeltaGenes(np.ones(2 * space.dimension - 1, np.float32))
    [content] = delta_files(Genome({PROMPT: Prompt(""), DELTA: genes}), space).values()
    (tmp_path / DELTA_FILE).write_bytes(content)
    with pytest.raises(GenomeError, match=f"{2 * space.dimension - 1} genes, expected {space.dimension}"):
        read_delta(tmp_path / DELTA_FILE, tiny_model("float32"))


def test_no_search_takes_a_soup_of_stacked_factors(space: DeltaSpace) -> None:
    soup = space.soup(drawn(space))
    assert bool(space.outside(soup)) == (not space.encoded.linear)
