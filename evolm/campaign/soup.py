"""Soups: one delta that is the average of several, under the same prompt.

Wortsman et al. 2022, "Model soups: averaging weights of multiple fine-tuned models improves accuracy without
increasing inference time", https://arxiv.org/abs/2203.05482. Of the uniform soups of the best two, three and so on,
the one with the lowest log-loss on dev rows is taken; section 3.1's greedy soup decides deltas one by one, which asks
the model as often but one soup after the other. Unlike there, the soup must then beat the best single individual on
validation rows.
"""

from __future__ import annotations

from evolm.campaign.build import Components
from evolm.campaign.contests import Contention, Standing, answers, contestable
from evolm.campaign.search import Search
from evolm.genomes import DELTA, PROMPT, Genome
from evolm.individual import Individual


def contend(
    search: Search, parts: Components, single: Individual, alone: Standing, rival: Standing
) -> Contention | None:
    """Average the best deltas under one prompt and compare the soup with the winner so far on validation rows.

    Args:
        search: the search whose best individuals are averaged.
        parts: the campaign's objects.
        single: the individual that won the final.
        alone: its standing on validation rows.
        rival: the standing of the winner so far.

    Returns:
        None if the campaign can have no soup, fewer than two deltas are under one prompt, or no soup can answer
        every row.
    """
    if not allowed(parts):
        return None
    members = ingredients(search.candidates)[: parts.config.finals.soup]
    if len(members) < 2:
        return None
    soups = [soup(members[:count], parts) for count in range(2, len(members) + 1)]
    task = parts.task
    on_dev = [Standing.of(each, task, task.dev) for each in answers(soups, parts, task.dev)]
    best = max(range(len(soups)), key=lambda place: (on_dev[place], -place))
    [mine] = answers([soups[best]], parts, task.validation)
    if mine is None or on_dev[best] == Standing():
        return None
    standing = Standing.of(mine, task, task.validation)
    record = {
        "members": [{"id": each.id, "digest": each.digest, "dev": each.score} for each in members[: best + 2]],
        "dev": on_dev[best].score,
        **standing.to_record(),
        "single": alone.to_record(),
        "won": standing > rival,
    }
    return Contention(soups[best], standing, record)


def allowed(parts: Components) -> bool:
    """Return whether the winner of a search may be a soup."""
    return parts.config.finals.soup > 1 and DELTA in parts.space.evolving and contestable(parts)


def ingredients(ranked: list[Individual]) -> list[Individual]:
    """Return the individuals that change the model under the prompt of the best of these, the best first."""
    changed = [each for each in ranked if each.genome.delta.genes.any()]
    return [each for each in changed if _prompt(each.genome) == _prompt(changed[0].genome)]


def soup(members: list[Individual], parts: Components) -> Genome:
    """Return the first member with the average of all members' deltas in the place of its own."""
    deltas = parts.space[DELTA]
    return members[0].genome.with_chromosome(DELTA, deltas.soup([each.genome.delta for each in members]))


def _prompt(genome: Genome) -> str:
    return str(genome[PROMPT].digest)
