"""The searches of a campaign: how each is made, what it may spend, and how it runs to its end."""

from __future__ import annotations

import logging
from collections.abc import Callable

from evolm.baselines import BASELINES
from evolm.campaign.build import Components
from evolm.campaign.recorder import RunRecorder
from evolm.campaign.search import Search
from evolm.config import BudgetSection
from evolm.evaluation.racing import Rules
from evolm.randomness import derive_seed
from evolm.searches import MAIN
from evolm.storage import GeneStore
from evolm.strategies import Strategy

logger = logging.getLogger("evolm")


def main_search(parts: Components, recorder: RunRecorder, durable_genes: bool = True) -> Search:
    """Return the search that the campaign is about.

    Args:
        parts: the campaign's objects.
        recorder: gives the journal and the folder of the vectors.
        durable_genes: see :func:`evolm.storage.write_atomically`.
    """
    return _search(MAIN, parts.stage_strategy(0), parts.stages[0].rules, parts, recorder, durable_genes)


def baseline_searches(parts: Components, recorder: RunRecorder) -> list[Search]:
    """Return the searches that the main search is compared with, at their beginning.

    They have the main search's seed, so that individuals that both draw at random are the same: the comparison is
    paired, and what the main search asked is answered from the cache.
    """
    seed, searches = derive_seed(MAIN, parts.config.seed), []
    for baseline in parts.searching_baselines:
        table = dict(baseline.strategy or {})
        strategy, rules = parts.strategy(table, seed), parts.stage_for(table).rules
        if strategy.refuses_partial(strategy.params):
            rules = None  # a baseline's strategy may need the fitness of all
        searches.append(_search(baseline.name, strategy, rules, parts, recorder))
    return searches


def _search(
    name: str,
    strategy: Strategy,
    rules: Rules | None,
    parts: Components,
    recorder: RunRecorder,
    durable_genes: bool = True,
) -> Search:
    config = parts.config
    return Search(
        name,
        strategy,
        parts.evaluator,
        parts.task.dev,
        recorder.journal,
        config.fitness.pick if config.fitness.combine == "pareto" else None,
        GeneStore(recorder.layout.genes, durable_genes),
        rules,
    )


def baseline_budget(name: str, budget: BudgetSection, main: Search) -> BudgetSection:
    """Return the limits of a baseline's search: what the main search spent.

    Args:
        name: of the baseline.
        budget: the campaign's limits.
        main: the main search, at its end.
    """
    spent = main.ledger
    if BASELINES[name].equal == "tokens":
        return BudgetSection(evaluations=0, tokens=spent.tokens)
    tokens = spent.tokens if budget.tokens else 0
    requests = spent.requests if budget.requests else 0
    if main.rules and budget.items:  # racing buys more evaluations for the same items
        return BudgetSection(evaluations=budget.evaluations, items=spent.items, tokens=tokens, requests=requests)
    return BudgetSection(evaluations=spent.evaluations, tokens=tokens, requests=requests)


def run_search(
    search: Search,
    budget: BudgetSection,
    recorder: RunRecorder,
    after_generation: Callable[[bool], None],
    stopped: Callable[[], str] = lambda: "",
) -> None:
    """Run a search until its budget is spent or it is stopped.

    Args:
        search: at its beginning, or as a checkpoint left it.
        budget: its limits. Seconds are checked after the first generation only: the verdict needs one.
        recorder: gives the seconds.
        after_generation: called with whether the best is a new one.
        stopped: returns why an observer ended the search, or ``""``.
    """
    while True:
        seconds = recorder.seconds if search.ledger.evaluations else 0.0
        if reason := stopped() or search.over(budget, seconds):
            logger.info("%s: %s", search.name, reason)
            search.evaluator.engine.expect_nothing()
            return
        after_generation(search.step(budget, seconds))
