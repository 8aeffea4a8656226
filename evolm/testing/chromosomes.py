"""The contract of chromosomes and their spaces (see ``evolm.genomes.space``) as tests."""

from __future__ import annotations

import json
import pickle
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from evolm.genomes import ChromosomeSpace, Phenotype
from evolm.testing.small import small_task, tiny_model

DRAWS = 30


class ChromosomeSuite:
    """The promises of every kind of chromosome. A subclass overrides ``kind``, and ``table`` if it must."""

    @pytest.fixture
    def kind(self) -> type[ChromosomeSpace]:
        """The class of the space. A subclass overrides this fixture."""
        raise NotImplementedError("override the fixture `kind`")

    @pytest.fixture
    def table(self) -> dict[str, Any]:
        """The keys of ``[space.NAME]`` that are set."""
        return {}

    @pytest.fixture
    def space(self, kind: type[ChromosomeSpace], table: dict[str, Any]) -> Any:
        """The space over a small task and a random Llama of two layers."""
        return kind.build(kind.Params(**table), small_task(), tiny_model())

    @pytest.fixture
    def drawn(self, space: Any) -> list[Any]:
        """The neutral chromosome, and random ones inside the space."""
        rng = np.random.default_rng(0)
        draws = [space.random(rng) for _ in range(DRAWS)]
        inside = [chromosome for chromosome in draws if not space.outside(chromosome)]
        assert inside
        return [space.neutral(), *inside]

    def test_the_same_seed_draws_the_same_chromosomes(self, space: Any) -> None:
        one, two = (np.random.default_rng(1) for _ in range(2))
        ours, theirs = ([space.random(rng) for _ in range(5)] for rng in (one, two))
        assert ours == theirs
        assert one.bit_generator.state == two.bit_generator.state
        assert len({chromosome.digest for chromosome in ours}) > 1
        assert space.neutral().digest == space.neutral().digest

    def test_chromosomes_are_of_their_class_and_belong_to_their_space(self, space: Any, drawn: list[Any]) -> None:
        assert {type(chromosome) for chromosome in drawn} == {space.chromosome}
        assert {space.foreign(chromosome) for chromosome in drawn} == {""}

    def test_records_lose_nothing(self, drawn: list[Any]) -> None:
        for chromosome in drawn:
            again = type(chromosome).from_record(chromosome.to_record())
            assert again == chromosome
            assert again.digest == chromosome.digest
            assert pickle.loads(pickle.dumps(chromosome)) == chromosome

    def test_summary_and_arrays_keep_what_the_model_sees(self, drawn: list[Any]) -> None:
        for chromosome in drawn:
            summary = json.loads(json.dumps(chromosome.summary()))
            assert type(chromosome).from_summary(summary, chromosome.arrays()).digest == chromosome.digest

    def test_distances_lie_between_0_and_1_and_are_0_for_equal_digests(self, drawn: list[Any]) -> None:
        for first, second in pairwise(drawn):
            assert first.distance(first) == 0
            assert first.distance(second) == second.distance(first)
            assert 0 <= first.distance(second) <= 1

    def test_expression_is_a_function_of_chromosome_and_phenotype(self, space: Any, drawn: list[Any]) -> None:
        for chromosome in drawn:
            before = chromosome.to_record()
            seen = space.express(chromosome, Phenotype())
            assert isinstance(seen, Phenotype)
            assert space.express(chromosome, Phenotype()) == seen
            assert repr(chromosome.to_record()) == repr(before)

    def test_coordinates_lead_back_to_their_chromosome(self, space: Any, drawn: list[Any]) -> None:
        coding = space.coding(drawn[:3])
        names = [variable.name for variable in coding.variables]
        assert len(set(names)) == len(names)
        low, high = np.array([[variable.low, variable.high] for variable in coding.variables]).T
        for coordinates in np.random.default_rng(0).uniform(low, high, (10, len(names))):
            decoded = coding.decode(coordinates)
            encoded = coding.encode(decoded)
            assert encoded.shape == (len(names),)
            assert coding.decode(encoded).digest == decoded.digest

    def test_a_founder_is_read_from_summary_arrays_and_identity(self, space: Any, drawn: list[Any]) -> None:
        identity = json.loads(json.dumps(space.identity()))
        for chromosome in drawn[1:]:
            record = {**chromosome.summary(), **chromosome.arrays()} | ({"space": identity} if identity else {})
            assert space.founder(record, np.random.default_rng(0), "a founder").digest == chromosome.digest

    def test_the_space_describes_itself_in_json(self, space: Any) -> None:
        assert json.loads(json.dumps(space.describe()))

    def test_its_own_operators_leave_parents_alone_and_stay_in_the_space(self, space: Any, drawn: list[Any]) -> None:
        before = [chromosome.to_record() for chromosome in drawn]
        for table, arity in ((space.mutations, 1), (space.crossovers, 2)):
            for function in table:
                for parents in pairwise(drawn):
                    children = [function(np.random.default_rng(2), space, *parents[:arity]) for _ in range(2)]
                    assert children[0] == children[1]
                    assert children[0] is None or not space.foreign(children[0])
        assert repr([chromosome.to_record() for chromosome in drawn]) == repr(before)
