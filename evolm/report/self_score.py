"""What a model thinks of itself against what it is worth, generation by generation, in a search that sees no gold."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from evolm.collapse import collapse_violation
from evolm.report.reading import AUDIT, Entry, RunRecord
from evolm.report.svg import EVOLUTION, QUIET, RANDOM
from evolm.wording import counted, signed

LEAST = 3  # generations before anything is said of their course


@dataclass(frozen=True)
class GenerationAudit:
    """One generation of the main search.

    Attributes:
        number: of the generation.
        itself: what the search maximises, of the generation's best by it.
        gold: the task's metric of the same individual, by gold that the search did not see.
        collapsed: individuals that gave one answer to nearly everything, or repeated themselves.
        individuals: how many were scored.
    """

    number: int
    itself: float
    gold: float
    collapsed: int
    individuals: int


def generation_audits(record: RunRecord) -> list[GenerationAudit]:
    """Return the audit of every generation with a scored individual; none unless gold is audited."""
    if record.gold != AUDIT:
        return []
    generations: dict[int, list[Entry]] = {}
    for entry in record.entries_of("individual"):
        if entry.get("fitness") and record.metric_on_dev(entry) is not None:
            generations.setdefault(entry.get("generation") or 0, []).append(entry)
    return [_audit(record, number, generations[number]) for number in sorted(generations)]


def _audit(record: RunRecord, number: int, entries: list[Entry]) -> GenerationAudit:
    best = max(entries, key=lambda entry: (-(entry.get("violation") or 0.0), *entry["fitness"], -entry["id"]))
    collapsed = sum(
        collapse_violation(entry.get("measures") or {}, int(entry.get("items") or 0)) > 0 for entry in entries
    )
    gold = record.metric_on_dev(best)
    assert gold is not None
    return GenerationAudit(number, float(best["fitness"][0]), float(gold), collapsed, len(entries))


def course(audits: list[GenerationAudit], metric: str) -> str:
    """Return how self-score and gold went from the first generation to the last, in a sentence; ``""`` if too few."""
    if len(audits) < LEAST:
        return ""
    first, last = audits[0], audits[-1]
    peak = max(audits, key=lambda audit: (audit.gold, -audit.number))
    rose, gained = last.itself - first.itself, last.gold - first.gold
    said = (
        f"From generation {first.number} to {last.number} the best's score of itself went from {first.itself:.3f} to "
        f"{last.itself:.3f} ({signed(rose)}), its {metric} by gold from {first.gold:.3f} to {last.gold:.3f} "
        f"({signed(gained)})"
    )
    if last.itself > peak.itself and last.gold < peak.gold:
        said += f"; it was worth most in generation {peak.number} ({peak.gold:.3f}), and thinks more of itself since"
    if collapsed := sum(audit.collapsed for audit in audits):
        said += f"; {counted(collapsed, 'individual')} collapsed and could not win"
    return said + "."


def self_score_figure(record: RunRecord) -> Figure | None:
    """Draw self-score and gold over the generations, one above the other; None with fewer than two."""
    audits = generation_audits(record)
    if len(audits) < 2:
        return None
    figure = Figure(figsize=(7.6, 3.9))
    figure.subplots_adjust(left=0.11, right=0.97, bottom=0.13, top=0.95, hspace=0.18)
    above, below = figure.subplots(2, sharex=True)
    numbers = [audit.number for audit in audits]
    rows = (
        (above, [audit.itself for audit in audits], RANDOM, "of itself"),
        (below, [audit.gold for audit in audits], EVOLUTION, f"{record.metric}, gold"),
    )
    for axes, values, color, name in rows:
        axes.plot(numbers, values, marker="o", markersize=4, color=color, linewidth=1.8)
        axes.set_ylabel(name)
        axes.margins(y=0.15)
        for audit, value in zip(audits, values, strict=True):
            if audit.collapsed == audit.individuals:
                axes.plot(audit.number, value, "x", color=QUIET, markersize=9)
    below.set_xlabel("generation")
    below.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure
