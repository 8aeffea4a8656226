"""Vectors of genes on the disk: a file per search and generation, whose parts may be written one after the other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evolm.errors import RunError
from evolm.genomes import DELTA, DeltaGenes, Genome, Prompt, prompt_genome
from evolm.individual import Individual
from evolm.storage import GeneStore


def individuals(*ids: int) -> list[Individual]:
    return [Individual(number, Genome({DELTA: DeltaGenes(np.full(3, number / 8))})) for number in ids]


def test_a_generation_that_is_asked_in_two_parts_is_kept_whole(tmp_path: Path) -> None:
    store = GeneStore(tmp_path)
    store.write("main", 4, individuals(7, 2))
    store.write("main", 4, individuals(11, 9))
    assert {id: kinds[DELTA]["genes"].tolist() for id, kinds in store.read("main", 4).items()} == {
        number: [number / 8] * 3 for number in (2, 7, 9, 11)
    }
    assert store.read("main", 5) == {}


def test_a_part_that_is_written_again_changes_no_byte(tmp_path: Path) -> None:
    store = GeneStore(tmp_path)
    store.write("main", 0, individuals(0, 1))
    store.write("main", 0, individuals(2, 3))
    (path,) = tmp_path.iterdir()
    before = path.read_bytes()
    store.write("main", 0, individuals(2, 3))
    assert path.read_bytes() == before


def test_prompts_leave_no_file(tmp_path: Path) -> None:
    GeneStore(tmp_path / "genes").write("main", 0, [Individual(0, prompt_genome(Prompt("x")))])
    assert not (tmp_path / "genes").exists()


def test_a_damaged_file_is_one_sentence(tmp_path: Path) -> None:
    store = GeneStore(tmp_path)
    store.write("main", 0, individuals(0))
    (path,) = tmp_path.iterdir()
    path.write_bytes(b"no tensors")
    with pytest.raises(RunError, match="expected the genes of a generation, found"):
        store.read("main", 0)
