"""Every row of every catalogue is described, named as it is listed, and enrolled in a suite."""

from __future__ import annotations

import inspect
import re
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from evolm.genomes import CHROMOSOMES, ChromosomeSpace
from evolm.operators import OPERATORS
from evolm.operators.base import Role
from evolm.scorers import SCORERS
from evolm.strategies import STRATEGIES, Strategy

ROWS = [
    *(("chromosome", name, row) for name, row in CHROMOSOMES.items()),
    *(("scorer", name, row) for name, row in SCORERS.items()),
    *(("strategy", name, row) for name, row in STRATEGIES.items()),
    *(("operator", name, row) for name, row in OPERATORS.items()),
]


@pytest.mark.parametrize(("room", "name", "row"), ROWS, ids=[f"{room}-{name}" for room, name, _ in ROWS])
def test_every_row_has_a_name_and_a_sentence(room: str, name: str, row: Any) -> None:
    assert re.fullmatch("[a-z][a-z0-9_]*", name)
    sentence = row.summary if room == "operator" else (inspect.getdoc(row) or "").splitlines()[0]
    assert sentence.endswith(".")
    assert len(sentence.split()) >= 3
    assert not (room != "operator" and inspect.getdoc(row) == inspect.getdoc(row.__mro__[1]))


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_declares_its_settings(name: str) -> None:
    kind = STRATEGIES[name]
    assert issubclass(kind, Strategy)
    assert issubclass(kind.Params, BaseModel)
    kind.Params()  # every setting has a default
    assert all(field.description for field in kind.Params.model_fields.values())


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_is_listed_under_its_own_name(name: str) -> None:
    operator = OPERATORS[name]
    assert operator.name == name
    assert operator.chromosome in {*CHROMOSOMES, ""}
    assert operator.weight >= 0
    assert operator.role in get_args(Role)


@pytest.mark.parametrize("name", CHROMOSOMES)
def test_every_chromosome_declares_its_settings(name: str) -> None:
    kind = CHROMOSOMES[name]
    assert issubclass(kind.Params, BaseModel)
    kind.Params()  # every setting has a default
    assert all(field.description for field in kind.Params.model_fields.values())
    assert ChromosomeSpace in kind.__mro__
    assert callable(kind.chromosome.from_record)
