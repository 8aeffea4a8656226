"""The rows and sentences that the page and the terminal show.

Intervals on scores come from the verdict (a paired bootstrap); the interval on an operator's rate is
Wilson's: Wilson 1927, "Probable inference, the law of succession, and statistical inference",
https://doi.org/10.1080/01621459.1927.10502953.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import scipy

from evolm.baselines import BASELINES, BEST, Baseline
from evolm.baselines.founder import BEST_FOUNDER
from evolm.baselines.single import SINGLE
from evolm.config import EXTERNAL
from evolm.headroom import about_headroom
from evolm.readout_kinds import WORDS
from evolm.report.reading import RunRecord
from evolm.wording import counted, signed, words


@dataclass(frozen=True)
class ScoreRow:
    """A score on the test split.

    Attributes:
        key: ``"best"`` or the baseline's name.
        name: its title.
        score: the test score.
        gain: the best's score minus this one.
        interval: 95 % interval of the gain, if it was computed.
        strongest: whether this is the strongest baseline.
        averages: accuracy, and macro-averaged precision, recall and F1; None if answers are no labels, and in older
            runs.
    """

    key: str
    name: str
    score: float
    gain: float | None = None
    interval: tuple[float, float] | None = None
    strongest: bool = False
    averages: Mapping[str, float] | None = None


@dataclass(frozen=True)
class OperatorRow:
    """Counts of one operator, and the rate at which its children beat their parents.

    ``fallback`` counts those of the tries in which the model's words gave no child and another operator stood in.
    """

    name: str
    tried: int
    fallback: int
    accepted: int
    evaluated: int
    better: int
    rate: float | None
    interval: tuple[float, float]


@dataclass(frozen=True)
class BudgetRow:
    """The amount spent of one budget; ``limit`` 0 means no limit."""

    name: str
    spent: float
    limit: float


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval for a proportion; (0, 1) without trials."""
    if trials <= 0:
        return 0.0, 1.0
    interval = scipy.stats.binomtest(successes, trials).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def score_rows(record: RunRecord) -> list[ScoreRow]:
    """Return the best, then the baselines that took part by falling score; empty without a test."""
    test = record.test
    if not test or not _known(test.get("best")):
        return []
    best, strongest, averages = test["best"], test.get("strongest_baseline"), test.get("averages") or {}
    intervals = {BEST_FOUNDER.name: test.get("interval_over_founder"), strongest: test.get("interval")}
    rows = [
        ScoreRow(
            key=key,
            name=_title(baseline, test) + _remark(record, key),
            score=test[key],
            gain=best - test[key],
            interval=_pair(intervals.get(key)),
            strongest=key == strongest,
            averages=averages.get(key),
        )
        for key, baseline in BASELINES.items()
        if _known(test.get(key))
    ]
    rows.sort(key=lambda row: -row.score)
    searcher = "the search" if (record.run.get("strategy") or {}).get("name") == EXTERNAL else "evolution"
    name = f"best of {searcher}" + _remark(record, "best")
    return [ScoreRow("best", name, best, averages=averages.get("best")), *rows]


def progress_rows(record: RunRecord) -> list[tuple[str, float]]:
    """Return ``(name, score on dev)`` of the best, the best founder and the best of baselines' searches."""
    entries = [
        ("best" if record.status == "finished" else "best so far", record.best()),
        (BEST_FOUNDER.title, record.founder()),
        *((words(name), record.best(name)) for name, baseline in BASELINES.items() if baseline.strategy),
    ]
    return [(name, e["score"]) for name, e in entries if e is not None and e.get("score") is not None]


def operator_rows(record: RunRecord) -> list[OperatorRow]:
    """Return the operators of the main search, the most tried first."""
    rates: dict[str, dict[str, Any]] = (record.last("operators") or {}).get("rates") or {}
    rows = []
    for name, rate in rates.items():
        tried, fallback, accepted, evaluated, better = (
            int(rate.get(k) or 0) for k in ("tried", "fallback", "accepted", "evaluated", "better")
        )
        share = better / evaluated if evaluated else None
        interval = wilson(better, evaluated)
        rows.append(OperatorRow(name, tried, fallback, accepted, evaluated, better, share, interval))
    return sorted(rows, key=lambda row: (-row.tried, row.name))


def budget_rows(record: RunRecord) -> list[BudgetRow]:
    """Return the amounts that the main search has spent, with their limits."""
    limits = record.run.get("budget") or {}
    spent: dict[str, Any] = dict(record.last("generation") or {})
    spent["evaluations"] = spent.get("evaluations") or len(record.entries_of("individual"))
    spent["seconds"] = _clock(record).get("seconds")
    names = ["evaluations", "items", "tokens", "seconds"]
    if record.run.get("writer"):
        names.insert(3, "writer_tokens")
    served = spent.get("served") or {}
    names[-1:-1] = [name for name in ("requests", "writer_requests") if served.get(name)]
    spent |= served
    if price := price_of(spent, record.run.get("server") or {}):
        names.insert(-1, "price")
        spent["price"] = price
    return [BudgetRow(name.replace("_", " "), spent.get(name) or 0, limits.get(name) or 0) for name in names]


def price_of(spent: Mapping[str, Any], server: Mapping[str, Any]) -> float:
    """Return what a search has cost by the prices of the journal's first entry; 0 without prices.

    Args:
        spent: the search's tokens, and of them ``generated``; the same of a writer.
        server: the entry's key ``server``: ``prices`` and ``writer_prices`` of a million tokens read and written.
    """
    total = 0.0
    for prefix in ("", "writer_"):
        read_price, written_price = server.get(f"{prefix}prices") or (0.0, 0.0)
        written = spent.get(f"{prefix}generated") or 0
        total += ((spent.get(f"{prefix}tokens") or 0) - written) * read_price + written * written_price
    return total / 1e6


def savings(record: RunRecord) -> dict[str, float]:
    """Return the last cumulative counts of ``timing.jsonl``, and the shares that sharing and the cache saved."""
    counts = {k: v for k, v in _clock(record).items() if isinstance(v, int | float)}
    if counts.get("tokens_charged"):
        counts["tokens_saved"] = 1 - counts.get("tokens_forwarded", 0) / counts["tokens_charged"]
    if counts.get("requests"):
        counts["cache_share"] = counts.get("cache_hits", 0) / counts["requests"]
    return counts


def failures(record: RunRecord) -> list[tuple[str, int, list[int]]]:
    """Return ``(reason, count, ids)`` of failed individuals, the most frequent reason first."""
    failed = [e for e in record.entries_of("individual") if e.get("status") == "failed"]
    reasons = Counter(str(e.get("reason") or "no reason recorded") for e in failed)
    ids = {r: [e["id"] for e in failed if str(e.get("reason") or "no reason recorded") == r] for r in reasons}
    return [(reason, count, ids[reason]) for reason, count in reasons.most_common()]


def racing(record: RunRecord) -> str:
    """Return a sentence about the items that racing saved the main search so far; ``""`` without racing."""
    rules, last = record.run.get("racing"), record.last("generation")
    each = (record.task.get("splits") or {}).get("dev")
    if not rules or not last or not each:
        return ""
    name = "Racing" if rules.get("mode") == "race" else "Successive halving"
    dropped = f"{name} dropped {last['dropped']} of {counted(last['evaluations'], 'individual')} early"
    whole = last["evaluations"] * each
    return f"{dropped}: {last['items']:,} of {whole:,} items were scored, {percent(1 - last['items'] / whole)} saved."


def expected(record: RunRecord) -> str:
    """Return a sentence about the score that was expected before the test; ``""`` if none was."""
    forecast = (record.result or {}).get("expected")
    if not forecast or not record.test or not _known(record.test.get(BEST)):
        return ""
    low, high = forecast["interval"]
    return (
        f"Expected before the test: {forecast['score']:.3f} {record.metric} (between {low:.3f} and {high:.3f} with a "
        f"probability of {percent(forecast['confidence'])}); realised: {record.test[BEST]:.3f}."
    )


def general(record: RunRecord) -> str:
    """Return sentences about the model's general ability; ``""`` without a guard."""
    guard = (record.result or {}).get("guard")
    if not guard:
        return ""
    if guard["base"] is None:
        return "General ability: prompts and readouts leave the model as it is, so the guard is free."
    rise = f"{guard['base']:.1f} → {guard['best']:.1f} ({100 * guard['rise']:+.1f} %)".replace("-", "−")
    told = f"General perplexity {rise}"
    if guard["use"] == "objective":
        return f"{told}; it was an objective."
    limit = f"+{100 * guard['max_rise']:g} %"
    return (
        f"{told}; the limit is {limit}."
        if guard["kept"]
        else f"{told}: above the limit of {limit}; no finalist kept it."
    )


def headroom(record: RunRecord) -> str:
    """Return sentences about what the search could gain, from its first individuals; ``""`` if nothing is known."""
    entry = record.last("headroom")
    return about_headroom(entry) if entry else ""


def stages(record: RunRecord) -> str:
    """Return a sentence about the stages that the main search has begun; ``""`` if it has one alone."""
    begun, settings = record.entries_of("stage"), record.run.get("stages") or []
    if len(settings) < 2 or not begun:
        return ""
    told = []
    for entry in begun:
        strategy = words(settings[entry["stage"] - 1]["strategy"]["name"])
        told.append(f"{entry['name']} by {strategy} after {counted(entry['evaluations'], 'evaluation')}")
    return f"Stages begun, of {len(settings)}: {', '.join(told)}."


def stopped(record: RunRecord) -> str:
    """Return a sentence if a callback ended the main search; ``""`` if none did, or if the search went on since."""
    stop, last = record.last("stop"), record.last("generation")
    if not stop or not last or stop["evaluations"] != last["evaluations"]:
        return ""
    return f"A callback ended the search after {counted(stop['evaluations'], 'evaluation')}: {stop['reason']}"


def headline(record: RunRecord) -> str:
    """Return the verdict's sentence or, before it, a sentence about the best so far."""
    if record.result is not None:
        return str(record.result.get("claim") or "The run is finished.")
    best, founder = record.best(), record.founder()
    if best is None:
        return "No individual has a score yet."
    said = f"Best so far: {best['score']:.3f} {record.scale} on dev"
    if founder is None or best["id"] == founder["id"]:
        return said + ", a founder."
    return f"{said}, {signed(best['score'] - founder['score'])} over the best founder."


def percent(share: float) -> str:
    """Return a share in whole percent, with a no-break space before the sign."""
    return f"{100 * share:.0f}\N{NO-BREAK SPACE}%"


def _clock(record: RunRecord) -> dict[str, Any]:
    """Return the last value of each count: an event need not repeat all of them."""
    latest: dict[str, Any] = {}
    for event in record.timing:
        latest.update({k: v for k, v in event.items() if v is not None})
    return latest


def _title(baseline: Baseline, test: dict[str, Any]) -> str:
    draws = (test.get("draws") or {}).get(baseline.name)
    return baseline.title + (f" (mean of {len(draws)} draws)" if draws else "")


def _remark(record: RunRecord, key: str) -> str:
    """Return a remark for another form than a single individual, or another readout than words; else ``""``."""
    if key == BEST and record.committee:
        return f" (committee of {len(record.committee['members'])})"
    if key == BEST and record.soup:
        return f" (soup of {len(record.soup['members'])})"
    if key == BEST and record.relearnt:
        return " (learnt once more)"
    described = BEST if key == SINGLE.name else key
    genome = ((record.result or {}).get(described) or {}).get("genome") or {}
    kind = (genome.get("readout") or {}).get("kind", WORDS)
    return "" if kind == WORDS else f" ({words(kind)} readout)"


def _known(score: Any) -> bool:
    """Return False for a baseline that was switched off (null) or could not be scored (NaN)."""
    return isinstance(score, int | float) and math.isfinite(score)


def _pair(interval: Any) -> tuple[float, float] | None:
    return (interval[0], interval[1]) if interval else None
