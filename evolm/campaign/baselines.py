"""What the winner must beat on the test split, besides random search: cheap things that anyone would try first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from evolm.genomes import PromptGenome, PromptSpace
from evolm.randomness import Randomness, derive_seed

FEW_SHOT_DRAWS = 3
FEW_SHOT_DEMONSTRATIONS = 4


def few_shot_genomes(
    founder: PromptGenome, space: PromptSpace, count: int, seed: int, draws: int = FEW_SHOT_DRAWS
) -> list[PromptGenome]:
    """Return the founder's instruction with ``draws`` random sets of demonstrations.

    Args:
        founder: gives instruction and verbalizers.
        space: gives demonstrations; sets that make the prompt too long are shortened.
        count: demonstrations in each.
        seed: of the campaign.
    """
    rng = Randomness(derive_seed("few_shot", seed)).numpy
    drawn = (replace(founder, demonstrations=space.draw_demonstrations(rng, count)) for _ in range(draws))
    return [space.shortened(genome) for genome in drawn]


def majority_predictions(gold_dev: np.ndarray, n: int) -> np.ndarray:
    """Return ``(n,)`` predictions of the label that is most frequent on dev."""
    return np.full(n, np.bincount(gold_dev).argmax())


def few_shot_count(winner: PromptGenome, space: PromptSpace) -> int:
    """Return how many demonstrations the few-shot baseline shows: as many as the winner, 4 if it has none."""
    return min(len(winner.demonstrations) or FEW_SHOT_DEMONSTRATIONS, space.most_demonstrations)
