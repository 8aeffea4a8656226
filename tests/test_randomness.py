"""A search's random numbers are its own, and plain data."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest

from evolm.randomness import Randomness, derive_seed


def draws(randomness: Randomness) -> list[Any]:
    with randomness.lend():
        lent = [random.random(), random.gauss(0, 1), float(np.random.normal()), random.randrange(10**9)]
    return [*lent, *randomness.numpy.random(3).tolist(), int(randomness.numpy.integers(10**9))]


def users_state() -> tuple[Any, str]:
    return random.getstate(), str(np.random.get_state())


def test_lending_gives_the_users_numbers_back() -> None:
    before = users_state()
    draws(Randomness(0))
    assert users_state() == before
    with pytest.raises(ZeroDivisionError), Randomness(0).lend():
        random.seed(1 // int(random.random()))
    assert users_state() == before


def test_lending_goes_on_where_it_left_off_whatever_the_user_draws() -> None:
    quiet, disturbed = Randomness(1), Randomness(1)
    expected = [draws(quiet) for _ in range(4)]
    found = []
    for step in range(4):
        random.seed(step)
        np.random.seed(step)
        found.append(draws(disturbed))
    assert found == expected
    assert len({values[0] for values in expected}) == 4


def test_equal_seeds_give_equal_draws_and_others_do_not() -> None:
    assert draws(Randomness(5)) == draws(Randomness(5))
    assert all(a != b for a, b in zip(draws(Randomness(5)), draws(Randomness(6)), strict=True))
    assert draws(Randomness(-1)) != draws(Randomness(1))


@pytest.mark.parametrize("before", range(4))
def test_a_state_read_back_from_json_goes_on_identically(before: int) -> None:
    randomness = Randomness(2)
    for _ in range(before):
        draws(randomness)
    state = json.loads(json.dumps(randomness.state_dict()))
    expected = [draws(randomness) for _ in range(3)]
    again = Randomness(77)
    again.load_state_dict(state)
    assert [draws(again) for _ in range(3)] == expected


def test_a_state_is_a_copy() -> None:
    randomness = Randomness(3)
    state = randomness.state_dict()
    kept = json.dumps(state)
    draws(randomness)
    assert json.dumps(state) == kept


def test_derived_seeds_never_change_and_depend_on_every_part() -> None:
    assert derive_seed("numpy", 0) == 8121891326784491305
    seeds = [derive_seed(*p) for p in (("a", 1), ("a", 2), ("b", 1), ("a", "1"), ("a1",), (1, "a"), ("a", 1, None))]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
