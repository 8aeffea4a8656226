"""Few-shot and majority: what they draw and predict."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from evolm.baselines.few_shot import DRAWS, few_shot_count, few_shot_prompts
from evolm.baselines.majority import majority_predictions
from evolm.genomes import Prompt


def test_the_majority_of_dev_is_named_for_every_item() -> None:
    assert majority_predictions(np.array([1, 0, 1]), 4).tolist() == [1, 1, 1, 1]


def test_few_shot_draws_keep_the_founder_s_words_and_stay_in_the_space(toy_space: Callable[..., Any]) -> None:
    space = toy_space(max_tokens=45)
    founder = Prompt("Is it spam or ham?", (), (("ham", "fine"),))
    drawn = few_shot_prompts(founder, space, 4, seed=3)
    assert len(drawn) == DRAWS
    assert len({genome.digest for genome in drawn}) == DRAWS
    assert drawn == few_shot_prompts(founder, space, 4, seed=3) != few_shot_prompts(founder, space, 4, seed=4)
    for genome in drawn:
        assert (genome.instruction, genome.verbalizers) == (founder.instruction, founder.verbalizers)
        assert not space.outside(genome)
        assert 0 < len(genome.demonstrations) <= 4
        assert {shown.item for shown in genome.demonstrations} <= {item.digest for item in space.train}


@pytest.mark.parametrize(("own", "most", "expected"), [(3, 8, 3), (0, 8, 4), (0, 2, 2), (0, 0, 0)])
def test_few_shot_shows_as_many_as_the_winner(
    toy_space: Callable[..., Any], own: int, most: int, expected: int
) -> None:
    space = toy_space(demonstrations=(0, most))
    winner = Prompt("", space.draw_demonstrations(np.random.default_rng(0), own))
    assert few_shot_count(winner, space) == expected
