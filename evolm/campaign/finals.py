"""The finals: a search's finalists meet again on validation rows, which no selection has seen.

The best of many on dev is partly the luckiest: choosing by dev alone keeps its luck along with its merit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evolm.campaign.build import Components
from evolm.campaign.search import Search
from evolm.evaluation.evaluator import Assessment, Charge
from evolm.individual import Individual


@dataclass(frozen=True)
class Final:
    """The outcome of a search's final.

    Attributes:
        winner: the finalist that is best on dev and validation together; without validation rows the best on dev.
        entry: the journal's entry; None without validation rows.
        validation: the winner's score on validation; None without validation rows.
    """

    winner: Individual
    entry: dict[str, Any] | None
    validation: float | None


def run_final(search: Search, parts: Components, winner: Individual | None = None) -> Final | None:
    """Re-score a search's finalists on validation rows; None if the search found nothing valid.

    Args:
        search: the search that found the finalists.
        parts: the campaign's objects.
        winner: an individual that wins without a final; None = the best of the finalists.
    """
    if winner is not None:
        return Final(winner, None, _validation_score(winner, parts))
    if search.archive.best is None:
        return None
    rows = parts.task.validation
    finalists = search.archive.finalists
    if not rows or len(finalists) < 2:
        return Final(search.archive.best, None, _validation_score(search.archive.best, parts))
    genomes = [finalist.genome for finalist in finalists]
    alone = _whole(parts.evaluator.assess(genomes, rows))
    pooled = _whole(parts.evaluator.assess(genomes, (*parts.task.dev, *rows)))
    standing = {place: each.fitness for place, each in enumerate(pooled) if each is not None}
    place = list(standing)[search.archive.pick(list(standing.values()))] if standing else 0
    entry = {
        "type": "validation",
        "search": search.name,
        "finalists": [
            {"id": f.id, "dev": f.score, "validation": _score(alone[i]), "pooled": _score(pooled[i])}
            for i, f in enumerate(finalists)
        ],
        "winner": finalists[place].id,
    }
    return Final(finalists[place], entry, _score(alone[place]))


def _validation_score(winner: Individual, parts: Components) -> float | None:
    if not parts.task.validation:
        return None
    return _score(_whole(parts.evaluator.assess([winner.genome], parts.task.validation))[0])


def _whole(results: Sequence[tuple[Assessment | str, Charge]]) -> list[Assessment | None]:
    """Return the assessments in which no item failed, else None: an item may be longer than all dev items."""
    return [None if isinstance(said, str) or said.failures else said for said, _ in results]


def _score(assessment: Assessment | None) -> float | None:
    return assessment.score if assessment else None


def finals_of(
    searches: Sequence[Search], parts: Components, winners: Mapping[str, Individual] | None = None
) -> dict[str, Final]:
    """Run the final of every search that found something valid, by the search's name.

    Args:
        searches: the main search and those of baselines.
        parts: the campaign's objects.
        winners: name of a search -> an individual that wins without a final.
    """
    finals = {search.name: run_final(search, parts, (winners or {}).get(search.name)) for search in searches}
    return {name: final for name, final in finals.items() if final is not None}
