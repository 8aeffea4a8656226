"""Every kind in ``CHROMOSOMES`` keeps the promises of ``evolm.testing``, and so does one from outside."""

from __future__ import annotations

from typing import Any

import pytest

from evolm.genomes import CHROMOSOMES, ChromosomeSpace
from evolm.testing import ChromosomeSuite
from tests.support.row_switches import NAME, RowSwitches

SMALL = {"delta": {"layers": "last:1", "dimension": 6}}  # the tiny model has two layers


@pytest.mark.parametrize("name", CHROMOSOMES)
class TestEveryChromosome(ChromosomeSuite):
    @pytest.fixture
    def kind(self, name: str) -> type[ChromosomeSpace]:
        return CHROMOSOMES[name]

    @pytest.fixture
    def table(self, name: str) -> dict[str, Any]:
        return SMALL.get(name, {})


@pytest.mark.parametrize("encoding", ["lowrank", "scales", "singular"])
class TestEveryEncoding(ChromosomeSuite):
    @pytest.fixture
    def kind(self) -> type[ChromosomeSpace]:
        return CHROMOSOMES["delta"]

    @pytest.fixture
    def table(self, encoding: str) -> dict[str, Any]:
        return {"layers": "last:1", "encoding": encoding}


class TestOutsideChromosome(ChromosomeSuite):
    @pytest.fixture
    def kind(self) -> type[ChromosomeSpace]:
        assert NAME not in CHROMOSOMES
        return RowSwitches
