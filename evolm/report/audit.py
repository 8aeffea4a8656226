"""Warnings: a model that learned to please itself, one answer to everything, a search that diverged.

Scorers without gold labels are compared with gold.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import scipy

from evolm.collapse import LARGEST, about_collapse
from evolm.report.front import LENGTH
from evolm.report.reading import RunRecord
from evolm.report.tables import percent
from evolm.strategies import STRATEGIES
from evolm.wording import counted, signed, words

FEW = 8  # with fewer individuals no rank correlation is called significant
LAST = 2  # generations in which all are worse than the start if a search diverged
ONE_CLASS = 0.95  # a prompt is flagged if its most predicted label has at least this share


@dataclass(frozen=True)
class Audit:
    """One scorer compared with gold, over the individuals of the main search.

    Attributes:
        scorer: its name in the journal.
        name: its name for readers; begins with "minus" if the search rewarded a lower score.
        metric: the task's metric, in words.
        pairs: one row per individual: ``id``, ``score`` (the scorer's, signed so that the search maximised it) and
            ``gold`` (the task's metric on dev).
        correlation: Spearman's rank correlation of score and gold; None with fewer than three individuals, or if
            score or gold is constant.
        p: two-sided p-value of no correlation. It assumes independent individuals and is too small, since they are
            related.
    """

    scorer: str
    name: str
    metric: str
    pairs: pd.DataFrame
    correlation: float | None
    p: float = 1.0

    @property
    def favourite(self) -> pd.Series:
        """The individual with the highest score; the first of equals."""
        return self.pairs.loc[self.pairs["score"].idxmax()]

    @property
    def best(self) -> pd.Series:
        """The individual with the highest metric by gold; the first of equals."""
        return self.pairs.loc[self.pairs["gold"].idxmax()]

    @property
    def finding(self) -> str:
        """The correlation, in a sentence."""
        said = "unknown" if self.correlation is None else signed(self.correlation)
        return f"{self.name} against gold on dev: rank correlation {said} over {counted(len(self.pairs), 'prompt')}."

    @property
    def reading(self) -> str:
        """The meaning of the correlation, in a sentence."""
        if self.correlation is None:
            return "Too few prompts, or too much alike, to say whether it follows the right answers."
        if self.p > 0.05 or len(self.pairs) < FEW:
            return "That may be chance: nothing shows that it follows the right answers."
        if self.correlation >= 0.7:
            return "It ranks prompts much as the right answers do."
        if self.correlation >= 0.3:
            return "It ranks prompts only roughly as the right answers do."
        if self.correlation > 0:
            return "It hardly follows the right answers."
        return "It likes prompts that are wrong more often: the model pleases itself."


def audits(record: RunRecord) -> list[Audit]:
    """Return an audit for every scorer that reads no gold labels, if the task has gold labels; else none."""
    found = [_audit(record, name) for name in scorers_without_gold(record)] if record.gold else []
    return [audit for audit in found if len(audit.pairs)]


def scorers_without_gold(record: RunRecord) -> list[str]:
    """Return the names of scorers that score answers without gold labels; prompt length does not score answers."""
    return [name for name, s in record.scorers.items() if s.get("needs_gold") is False and name != LENGTH]


def _audit(record: RunRecord, scorer: str) -> Audit:
    weight = record.scorers[scorer].get("weight", 1.0)
    rows = [
        (entry["id"], (entry.get("measures") or {}).get(scorer), record.metric_on_dev(entry))
        for entry in record.entries_of("individual")
    ]
    pairs = pd.DataFrame(rows, columns=["id", "score", "gold"]).dropna().reset_index(drop=True)
    pairs = pairs.astype({"score": float, "gold": float})
    if weight < 0:
        pairs["score"] *= -1
    audit = Audit(scorer, ("minus " if weight < 0 else "") + words(scorer), record.metric, pairs, None)
    if len(pairs) < 3 or pairs["score"].nunique() == 1 or pairs["gold"].nunique() == 1:
        return audit
    found = scipy.stats.spearmanr(pairs["score"], pairs["gold"])
    return replace(audit, correlation=float(found.statistic), p=float(found.pvalue))


def warnings(record: RunRecord) -> list[str]:
    """Return a sentence for everything that makes the best, or the search, worth doubting."""
    return [sentence for sentence in (one_class(record), repeated(record), diverged(record)) if sentence]


def diverged(record: RunRecord) -> str:
    """Return a warning if a search that follows a mean ended where all are worse than its start, else ``""``."""
    settings = record.run.get("strategy") or {}
    strategy = STRATEGIES.get(str(settings.get("name")))
    if strategy is None or not strategy.can_diverge:
        return ""
    told = record.individuals()
    start = told["score"][told["parents"].map(len) == 0].max()
    last = told["score"][told["generation"] > told["generation"].max() - LAST]
    # Failed individuals are worse than any; a start that failed, NaN, is better than none.
    if told["generation"].max() < LAST or not start > last.fillna(-np.inf).max():
        return ""
    sigma = settings.get("sigma")
    return (
        f"The search diverged: all {len(last)} individuals of its last {LAST} generations are worse than its start, "
        f"{start:.3f}; try smaller steps ({f'strategy.sigma = {sigma:g}' if sigma else 'space.delta.sigma'})."
    )


def one_class(record: RunRecord) -> str:
    """Return a warning if the best prompt gives nearly every item the same label, else ``""``."""
    share = ((record.best() or {}).get("measures") or {}).get(LARGEST)
    if share is None or share < ONE_CLASS or not record.task.get("labels"):
        return ""
    return f"The best prompt gives the same label to {percent(share)} of the dev items{_on_test(record)}."


def repeated(record: RunRecord) -> str:
    """Return a warning if most texts of the best repeat themselves, or are all the same, else ``""``."""
    best = record.best() or {}
    if record.task.get("labels"):
        return ""
    why = about_collapse(best.get("measures") or {}, int(best.get("items") or 0))
    return f"The best has collapsed: {why}." if why else ""


def _on_test(record: RunRecord) -> str:
    """Return the same about test: the label, its share of the answers and its share of gold."""
    outcomes = record.outcomes or {}
    predicted, gold = (outcomes.get("outcomes") or {}).get("best") or [], outcomes.get("gold") or []
    if not predicted or not gold:
        return ""
    [(label, count)] = Counter(predicted[0]).most_common(1)
    name = record.task["labels"][label] if label >= 0 else "nothing"
    shares = percent(count / len(gold)), percent(gold.count(label) / len(gold))
    return f"; on test it answers “{name}” to {shares[0]}, which is right for {shares[1]}"
