"""The best founder's instruction with random demonstrations, several draws of them, read as the winner is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from evolm.baselines.base import Baseline, Contest
from evolm.genomes import PROMPT, READOUT
from evolm.randomness import Randomness, derive_seed

if TYPE_CHECKING:
    from evolm.genomes import Genome, Prompt, PromptSpace

NAME = "few_shot"
DRAWS = 3
DEMONSTRATIONS = 4


def few_shot_prompts(founder: Prompt, space: PromptSpace, count: int, seed: int, draws: int = DRAWS) -> list[Prompt]:
    """Return ``draws`` copies of the founder, each with a random set of demonstrations.

    Args:
        founder: the prompt whose instruction and verbalizers are kept.
        space: the space that demonstrations are drawn from; a set that makes the prompt too long is shortened.
        count: number of demonstrations in a set.
        seed: of the campaign.
        draws: number of sets.
    """
    rng = Randomness(derive_seed(NAME, seed)).numpy
    drawn = (replace(founder, demonstrations=space.draw_demonstrations(rng, count)) for _ in range(draws))
    return [space.shortened(prompt) for prompt in drawn]


def few_shot_count(winner: Prompt, space: PromptSpace) -> int:
    """Return the number of demonstrations that the baseline shows: the winner's, 4 if it has none."""
    return min(len(winner.demonstrations) or DEMONSTRATIONS, space.most_demonstrations)


def _contestants(contest: Contest) -> list[Genome]:
    winner, prompts = contest.space.express(contest.winner).prompt, contest.space[PROMPT]
    count = few_shot_count(winner, prompts)
    if not count:
        return []
    read = {kind: part for kind, part in contest.winner.chromosomes.items() if kind == READOUT}
    drawn = few_shot_prompts(contest.founder.prompt, prompts, count, contest.seed)
    return [contest.space.completed({PROMPT: prompt, **read}) for prompt in drawn]


FEW_SHOT = Baseline(
    name=NAME,
    title="founder with random demonstrations",
    phrase="random demonstrations",
    summary="best founder's instruction with random demonstrations",
    contestants=_contestants,
    prompts=DRAWS,
)
