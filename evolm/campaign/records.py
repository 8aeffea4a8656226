"""Records of a campaign: pure functions from its objects to the journal's head, the result and the events.

A record holds JSON values only.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evolm.archives import Front
from evolm.baselines import BEST
from evolm.baselines.single import SINGLE
from evolm.campaign.budget import Ledger, served_record
from evolm.campaign.build import Components
from evolm.campaign.finals import Final
from evolm.campaign.search import Search
from evolm.campaign.strategies import strategy_name
from evolm.campaign.verdict import claim
from evolm.collapse import about_collapse
from evolm.config import BudgetSection, CampaignConfig
from evolm.errors import RunError
from evolm.evaluation.guard import PERPLEXITY
from evolm.genomes import Committee, Genome, Winner
from evolm.headroom import about_headroom
from evolm.individual import Individual
from evolm.models.served.model import ServedModel
from evolm.observers import Phase, Progress
from evolm.readouts import FittedReader, refitted
from evolm.searches import MAIN
from evolm.tasks import Task

if TYPE_CHECKING:
    from evolm.models import Model

Record = dict[str, Any]

# Facts of the head that must not change, each with its name in messages.
FINGERPRINTS = (
    ("task", "fingerprint", "the data"),
    ("model", "fingerprint", "the model"),
    ("model", "dtype", "the model's dtype"),
)
NOTHING = object()  # stands for the value of a key that a table lacks
SETTINGS = (
    "strategy",
    "stages",
    "scorers",
    "operators",
    "writer",
    "space",
    "seed",
    "founders",
    "racing",
    "guard",
    "mixed_hosts",
)


# -- head ------------------------------------------------------------------------------------------------------


def head_record(parts: Components, main: Search) -> Record:
    """Return the journal's first entry: everything that decides what a run does."""
    config = parts.config
    return {
        "type": "run",
        "schema": 1,
        "name": campaign_name(parts),
        "seed": config.seed,
        "model": model_record(parts.model),
        "writer": model_record(parts.writer.model) if parts.writer else None,
        "profile": parts.model.profile.to_record(),
        "task": {
            **task_record(parts.task),
            "fingerprint": parts.task.fingerprint,
            "notes": list(parts.task.notes),
        },
        **_strategy_record(parts, main),
        "scorers": {
            name: {"weight": weight, "needs_gold": scorer.needs_gold, **scorer.describe()}
            for name, (scorer, weight) in parts.evaluator.scorers.items()
        },
        "fitness": config.fitness.model_dump(),
        "normalization": parts.scoring.labels.normalization if parts.scoring.labels else None,
        "chat_template": parts.model.chat,
        **_server_record(parts),
        "founders": len(parts.founders.genomes),
        "operators": {operator.name: weight for operator, weight in main.strategy.variation.operators},
        "space": parts.space.describe(),
        "identities": parts.space.identities(),
        "budget": config.budget.model_dump(),
        "racing": main.race.rules.to_record() if main.race else None,
        **({"guard": parts.evaluator.guard.describe()} if parts.evaluator.guard else {}),
        **({"mixed_hosts": True} if config.evaluation.mixed_hosts else {}),
    }


def _server_record(parts: Components) -> Record:
    """Return how a server is asked, with the key ``"server"``, and prices; nothing if all models are local."""
    writer = parts.config.operators.writer
    prices = {
        "prices": list(parts.config.model.price_per_million),
        "writer_prices": list(writer.price_per_million) if writer else [0, 0],
    }
    if not isinstance(parts.model, ServedModel):
        return {"server": prices} if any(prices["writer_prices"]) else {}
    found = parts.model.abilities
    repeats = found.difference if math.isfinite(found.difference) else None
    return {"server": {"served": found.served, "way": found.way, "difference": repeats, **prices}}


def price_of(ledger: Ledger, config: CampaignConfig) -> float:
    """Return what a search has cost, in the currency of ``price_per_million``."""
    writer = config.operators.writer
    return ledger.price(config.model.price_per_million, writer.price_per_million if writer else (0.0, 0.0))


def _strategy_record(parts: Components, main: Search) -> Record:
    """Return the strategy and its settings; of a campaign in stages, the names of all, and the stages."""
    if parts.config.stage is None:
        return {"strategy": {"name": strategy_name(parts.config.strategy), **main.strategy.params.model_dump()}}
    stages = [stage.to_record() for stage in parts.stages]
    return {"strategy": {"name": " -> ".join(stage["strategy"]["name"] for stage in stages)}, "stages": stages}


def campaign_name(parts: Components) -> str:
    """Return the campaign's name: its own, or the task's."""
    return parts.config.name or parts.task.name


def model_record(model: Model) -> dict[str, str]:
    """Return a model's name, fingerprint and dtype."""
    prepared = model.prepared
    return {"name": prepared.name, "fingerprint": prepared.fingerprint, "dtype": prepared.dtype}


def task_record(task: Task) -> Record:
    """Return a task's kind, metric, labels, splits and how the search uses gold labels."""
    return {
        "name": task.name,
        "kind": task.kind,
        "metric": task.metric,
        "gold": "audit" if task.audited else "use" if task.has_gold else None,
        "labels": list(task.labels),
        "splits": task.splits(),
    }


def require_same_run(before: Record, now: Record, directory: Path) -> None:
    """Compare the journal's head with that of the campaign which is to continue the run.

    Raises:
        RunError: naming the first difference in data, model or settings.
    """
    now = json.loads(json.dumps(now))  # as the journal says it: tuples are lists
    for section, key, name in FINGERPRINTS:
        was, found = before.get(section, {}).get(key), now[section][key]
        if was != found:
            raise RunError(
                f"{directory}: {name} changed since the run began: expected {str(was)[:16]}, found {str(found)[:16]}"
            )
    for key in SETTINGS:
        if before.get(key) != now.get(key):
            raise changed_setting(directory, key, before.get(key), now.get(key))


def changed_setting(directory: Path, name: str, was: Any, found: Any) -> RunError:
    """Return the error for a setting, or a table of settings, that differs: it names the first key that does.

    Args:
        directory: of the run.
        name: of the setting.
        was: its value when the run began.
        found: its value now.
    """
    while isinstance(was, dict) and isinstance(found, dict):
        key = next(key for key in {**was, **found} if was.get(key, NOTHING) != found.get(key, NOTHING))
        name, was, found = f"{name}.{key}", was.get(key, NOTHING), found.get(key, NOTHING)
    expected, found = ("nothing" if value is NOTHING else repr(value) for value in (was, found))
    return RunError(f"{directory}: {name} changed since the run began: expected {expected}, found {found}")


def settings_record(parts: Components, main: Search) -> Record:
    """Return the tables of campaign.toml, the strategy's defaults included."""
    tables = parts.config.model_dump(by_alias=True, mode="json")
    if parts.config.stage is not None:
        return {**tables, "strategy": _strategy_record(parts, main)["strategy"]}
    strategy = tables["strategy"] | main.strategy.params.model_dump(mode="json")
    return {**tables, "strategy": {"name": strategy_name(strategy)} | strategy}


# -- result ----------------------------------------------------------------------------------------------------


def result_record(parts: Components, main: Search, final: Final, test: Record | None, stopped: str) -> Record:
    """Return the content of ``result.json`` but for the seconds that the run took.

    Args:
        parts: the campaign's objects.
        main: the main search.
        final: gives the winner.
        test: what the test split showed; None if there is none.
        stopped: why an observer ended the search; ``""`` if it was not.
    """
    founder, ledger, elected = main.founder or final.winner, main.ledger, final.elected
    return {
        "seed": parts.config.seed,
        "model": model_record(parts.model),
        "task": task_record(parts.task),
        "budget": {
            "evaluations": ledger.evaluations,
            "items": ledger.items,
            "tokens": ledger.tokens,
            "writer_tokens": ledger.writer_tokens,
            **served_record(ledger),
            **({"price": price} if (price := price_of(ledger, parts.config)) else {}),
        },
        "racing": racing_record(main),
        "stopped": stopped or None,
        "dev": {"founder": founder.score, **scores_record(final.winner.score, elected, "dev")},
        "validation": None if final.validation is None else scores_record(final.validation, elected, "validation"),
        "expected": final.expected,
        "test": test,
        "claim": refusal(parts, final.winner) or claim(test, parts.task.metric),
        "best": individual_record(final.winner),
        "soup": changed_record(parts, final, "soup"),
        "relearnt": changed_record(parts, final, "relearnt"),
        "committee": committee_record(parts, final),
        "front": front_record(main, list(parts.evaluator.scorers)),
        "founder": individual_record(founder),
    }


def refusal(parts: Components, winner: Individual) -> str:
    """Return why the best individual of a search without gold is no winner, or ``""``.

    It has collapsed; then all have, since any other would have beaten it.
    """
    why = "" if parts.task.has_gold else about_collapse(winner.measures, winner.items)
    return (
        f"No winner: every individual has collapsed; of the best, {why}. Another scorer or founder may help."
        if why
        else ""
    )


def scores_record(single: float | None, elected: Record | None, split: str) -> Record:
    """Return the best's score on a split and, if another form won, that of the best single individual."""
    return {BEST: single} if elected is None else {BEST: elected[split], SINGLE.name: single}


def committee_record(parts: Components, final: Final) -> Record | None:
    """Return a committee that won: its record in the journal, its members' genomes and readouts; None if none won."""
    if final.elected is None or not isinstance(final.best, Committee):
        return None
    members = zip(final.elected["members"], final.best.members, strict=True)
    described = [
        {**member, "genome": genome.summary(), "readout": readout_record(parts, refitted(genome))}
        for member, genome in members
    ]
    return {**final.elected, "digest": final.best.digest, "members": described}


def changed_record(parts: Components, final: Final, form: str) -> Record | None:
    """Return a form of one genome that won: its record in the journal, its genome and readout; None if it did not."""
    if final.elected is None or final.form != form or isinstance(final.best, Committee):
        return None
    described = {"digest": final.best.digest, "genome": final.best.summary()}
    return {**final.elected, **described, "readout": readout_record(parts, refitted(final.best))}


def guard_record(parts: Components, finals: Mapping[str, Final], best: Winner) -> Record | None:
    """Return what the guard says of the winner and of the finalists; None without ``[guard]``.

    Args:
        parts: the campaign's objects.
        finals: name of a search -> its final; the main search's is among them.
        best: the winner as it is applied.
    """
    section, guard = parts.config.guard, parts.evaluator.guard
    if section is None:
        return None
    if guard is None:
        return {"use": section.use, "max_rise": section.max_rise, "base": None, "best": None}
    base = guard.measure_base(parts.engine)
    before, after = base.evaluation.measures[PERPLEXITY], parts.evaluator.general_perplexity(best)
    searches = {name: parts.evaluator.general_perplexity(final.best) for name, final in finals.items()}
    return {
        "use": section.use,
        "max_rise": section.max_rise,
        "base": before,
        "best": after,
        "rise": after / before - 1,
        "kept": bool(after / before - 1 <= section.max_rise),
        "tokens": base.tokens,
        "searches": {name: value for name, value in searches.items() if name != MAIN},
    }


def readout_record(parts: Components, genome: Genome) -> Record | None:
    """Return what the fit of a genome's readout chose, and on how many rows; None if it was not fitted."""
    labels = parts.scoring.labels
    reader = labels.reader(parts.space.express(genome)) if labels else None
    if not isinstance(reader, FittedReader) or reader.known_fit is None:
        return None
    genes = reader.known_fit.genes
    read = {"layers": list(genes.layers), "pooling": genes.pooling} if genes.layers else {}
    return {"kind": genes.kind, **read, "strength": genes.strength or None, "rows": len(reader.rows())}


def individual_record(individual: Individual) -> Record:
    """Return an individual's id, digest and genome without its vectors."""
    return {"id": individual.id, "digest": individual.digest, "genome": individual.genome.summary()}


def racing_record(search: Search) -> Record | None:
    """Return a search's racing rules and what they saved; None without racing."""
    if search.rules is None:
        return None
    saved = {"items_saved": search.items_saved, "share_saved": share_saved(search)}
    return {**search.rules.to_record(), "dropped": search.ledger.dropped, **saved}


def share_saved(search: Search) -> float | None:
    """Return the share of items, in [0, 1], that racing saved a search; None without racing."""
    if search.rules is None:
        return None
    return search.items_saved / max(search.items_saved + search.ledger.items, 1)


def front_record(search: Search, objectives: list[str]) -> Record | None:
    """Return a search's Pareto front, by id, and the rule that picked its best; None with a single objective."""
    archive = search.archive
    if not isinstance(archive, Front):
        return None
    members = [
        {
            "id": member.id,
            "digest": member.digest,
            "objectives": {name: member.measures[name] for name in objectives},
            "genome": member.genome.summary(),
        }
        for member in sorted(archive, key=lambda member: member.id)
    ]
    return {"rule": archive.rule, "members": members}


# -- events ----------------------------------------------------------------------------------------------------


def phase_of(search: Search, budget: BudgetSection, seconds: float, stage: str = "") -> Phase:
    """Return a search, or the current one of its stages, as the phase that begins with it."""
    return Phase(search.name, search.ledger.evaluations, budget.model_dump(), seconds, stage)


def progress_of(
    search: Search,
    budget: BudgetSection,
    usage: dict[str, int],
    seconds: float,
    improved: bool,
    headroom: Record | None = None,
    stage: str = "",
) -> Progress:
    """Return the state of a search after a generation; ``headroom`` is the journal's entry if one was just made."""
    best = search.archive.best
    return Progress(
        search=search.name,
        generation=search.generation,
        best=math.nan if best is None or best.score is None else best.score,
        mean=search.mean,
        diversity=float(search.last.get("diversity", 0.0)),
        evaluations=search.ledger.evaluations,
        evaluations_allowed=budget.evaluations,
        usage=usage,
        seconds=seconds,
        improved=improved,
        saved=share_saved(search),
        tokens=search.ledger.tokens,
        front_size=len(search.archive) if isinstance(search.archive, Front) else None,
        headroom=about_headroom(headroom) if headroom else "",
        stage=stage,
    )
