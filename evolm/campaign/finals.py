"""The finals: a search's finalists meet again on validation rows, which no selection has seen.

The best of many on dev is partly the luckiest: choosing by dev alone keeps its luck along with its merit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evolm.campaign import committee, relearning, soup
from evolm.campaign.build import Components
from evolm.campaign.contests import Contention, Standing, answers, contestable
from evolm.campaign.forecasts import Forecast, forecast_of
from evolm.campaign.search import Search
from evolm.evaluation.evaluator import Assessment, Charge
from evolm.evaluation.guard import PERPLEXITY
from evolm.genomes import Genome, Winner
from evolm.individual import Individual

# Forms that the winner may take, simpler ones first; each meets the winner so far.
FORMS: Mapping[str, Callable[[Search, Components, Individual, Standing, Standing], Contention | None]] = {
    "soup": soup.contend,
    "relearnt": relearning.contend,
    "committee": committee.contend,
}


@dataclass(frozen=True)
class Final:
    """The outcome of a search's final.

    Attributes:
        winner: the finalist with the highest expected score by dev and validation answers (:mod:`.forecasts`), of
            equals the best on dev and validation together, of these the one with the shortest prompt, which costs
            least to use; without validation rows the best on dev.
        entry: the journal's entry; None without validation rows.
        validation: the winner's score on validation; None without validation rows.
        expected: the winner's expected score on test rows, see :meth:`Forecast.on_test`; None if the objective is not
            the task's metric, or no mean over items, and if another form won.
        form: a name in ``FORMS`` if that form won; ``""`` if the winner did.
        best: the form that won, or the winner's genome.
    """

    winner: Individual
    entry: dict[str, Any] | None
    validation: float | None
    best: Winner
    expected: dict[str, Any] | None = None
    form: str = ""

    @property
    def elected(self) -> dict[str, Any] | None:
        """The journal's record of the form that won; None if the winner did."""
        return self.entry[self.form] if self.entry and self.form else None


def run_final(search: Search, parts: Components, winner: Individual | None = None) -> Final | None:
    """Re-score a search's finalists on validation rows; None if the search found nothing valid.

    Args:
        search: the search that found the finalists.
        parts: the campaign's objects.
        winner: an individual that wins without a final; None = the best of the finalists.
    """
    if winner is not None:
        return Final(winner, None, _validation_score(winner, parts), winner.genome)
    if search.archive.best is None:
        return None
    rows = parts.task.validation
    finalists = search.archive.finalists
    if not rows or len(finalists) < 2:
        best = search.archive.best
        forecast = forecast_of(search, [best], [None])
        return Final(best, None, _validation_score(best, parts), best.genome, _expected(forecast, 0, parts))
    genomes = [finalist.genome for finalist in finalists]
    terms_of = rows if parts.evaluator.decomposable else ()
    alone = _whole(parts.evaluator.assess(genomes, rows, all_items=terms_of))
    pooled = _whole(parts.evaluator.assess(genomes, (*parts.task.dev, *rows)))
    forecast = forecast_of(search, finalists, [each.item_terms if each else None for each in alone])
    place = _picked(search, pooled, forecast, [_length(genome, parts) for genome in genomes])
    entry = {
        "type": "validation",
        "search": search.name,
        "finalists": [
            {
                "id": f.id,
                "dev": f.score,
                "validation": _score(alone[i]),
                "pooled": _score(pooled[i]),
                "expected": forecast.mean(i) if forecast else None,
                "error": forecast.error(i) if forecast else None,
                **({PERPLEXITY: f.measures[PERPLEXITY]} if parts.evaluator.guard else {}),
            }
            for i, f in enumerate(finalists)
        ],
        "winner": finalists[place].id,
    }
    winner, form = finalists[place], ""
    elected: Winner = winner.genome
    rival = single = _standing(winner, parts)
    for name, contend in FORMS.items():
        contest = contend(search, parts, winner, single, rival)
        entry[name] = contest.record if contest else None
        if contest and contest.won and _keeps(contest.record, contest.winner, winner, parts):
            form, elected, rival = name, contest.winner, contest.standing
    expected = None if form else _expected(forecast, place, parts)
    return Final(winner, entry, _score(alone[place]), elected, expected, form)


def _keeps(record: dict[str, Any], form: Winner, winner: Individual, parts: Components) -> bool:
    """Return whether a form that won violates the guard's limit no more than the individual; note it if it does."""
    if parts.evaluator.guard is None:
        return True
    record[PERPLEXITY] = parts.evaluator.general_perplexity(form)
    record["won"] = bool(parts.evaluator.guard.violation_at(record[PERPLEXITY]) <= winner.fitness.violation)
    return bool(record["won"])


def _standing(winner: Individual, parts: Components) -> Standing:
    """Return the winner's standing on validation rows; the lowest one if no other form may contend."""
    if not contestable(parts):
        return Standing()
    [said] = answers([winner.genome], parts, parts.task.validation)
    return Standing.of(said, parts.task, parts.task.validation)


def _length(genome: Genome, parts: Components) -> int:
    """Return the number of characters before each item."""
    return len(parts.space.express(genome).prompt.prefix(parts.task.template))


def _picked(
    search: Search, pooled: Sequence[Assessment | None], forecast: Forecast | None, lengths: Sequence[int]
) -> int:
    """Return the winner's place, of equals the shortest: a finalist that fails on a row cannot win, unless all do."""
    whole = {place: each for place, each in enumerate(pooled) if each is not None}
    least = min((each.violation for each in whole.values()), default=0.0)  # Deb's rules: feasible ones, if any
    standing = {place: each.fitness for place, each in whole.items() if each.violation == least}
    if forecast is not None:
        standing = {place: (forecast.mean(place), *fitness) for place, fitness in standing.items()}
    places = sorted(standing, key=lambda place: lengths[place])  # an archive picks the first of equals
    return places[search.archive.pick([standing[place] for place in places])] if standing else 0


def _expected(forecast: Forecast | None, place: int, parts: Components) -> dict[str, Any] | None:
    if forecast is None or not parts.evaluator.maximises_metric or not parts.task.test:
        return None
    return forecast.on_test(place, len(parts.task.test))


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
