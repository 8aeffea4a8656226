"""Scores that read no gold labels, held against gold: a model can learn to please itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import pandas as pd
import scipy

from evolm.report.front import LENGTH
from evolm.report.reading import RunRecord
from evolm.report.tables import percent
from evolm.wording import counted, signed, words

FEW = 8  # with fewer individuals even a perfect rank correlation is left open
ONE_CLASS = 0.95  # share of the most predicted label from which a prompt is flagged


@dataclass(frozen=True)
class Audit:
    """One scorer against gold, over the main search's individuals.

    Attributes:
        scorer: its name in the journal.
        name: what people read; begins with a minus where less of it was rewarded.
        metric: what gold is measured by.
        pairs: a row an individual: ``id``, ``score`` (the scorer's, higher is what the search wants), ``gold`` (the
            task's metric on dev).
        correlation: Spearman's rank correlation of the two; None where there are fewer than three individuals or
            one of the two never changes.
        p: two-sided, of no correlation, as if individuals were independent (they are relatives, so it is too small).
    """

    scorer: str
    name: str
    metric: str
    pairs: pd.DataFrame
    correlation: float | None
    p: float = 1.0

    @property
    def favourite(self) -> pd.Series:
        """The individual that the scorer likes best; the first of equals."""
        return self.pairs.loc[self.pairs["score"].idxmax()]

    @property
    def best(self) -> pd.Series:
        """The individual that is best by gold; the first of equals."""
        return self.pairs.loc[self.pairs["gold"].idxmax()]

    @property
    def finding(self) -> str:
        """The correlation, in a sentence."""
        said = "unknown" if self.correlation is None else signed(self.correlation)
        return f"{self.name} against gold on dev: rank correlation {said} over {counted(len(self.pairs), 'prompt')}."

    @property
    def reading(self) -> str:
        """What the correlation means, in a sentence."""
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
    """Every scorer that reads no gold labels, where somebody knows them; the length of a prompt judges no answers."""
    found = [_audit(record, name) for name in unaided(record)] if record.gold else []
    return [audit for audit in found if len(audit.pairs)]


def unaided(record: RunRecord) -> list[str]:
    """Names of the scorers that judge answers without gold labels."""
    return [name for name, s in record.scorers.items() if s.get("needs_gold") is False and name != LENGTH]


def _audit(record: RunRecord, scorer: str) -> Audit:
    weight = record.scorers[scorer].get("weight", 1.0)
    rows = [
        (entry["id"], (entry.get("measures") or {}).get(scorer), record.judged(entry))
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


def one_class(record: RunRecord) -> str:
    """A warning where the best prompt gives nearly every item the same label; ``""`` where it doesn't."""
    share = ((record.best() or {}).get("measures") or {}).get("largest_share")
    if share is None or share < ONE_CLASS or not record.task.get("labels"):
        return ""
    return f"The best prompt gives the same label to {percent(share)} of the dev items{_on_test(record)}."


def _on_test(record: RunRecord) -> str:
    """The same on test, with the label's name and how often it is right to give it."""
    outcomes = record.outcomes or {}
    predicted, gold = (outcomes.get("outcomes") or {}).get("best") or [], outcomes.get("gold") or []
    if not predicted or not gold:
        return ""
    [(label, count)] = Counter(predicted[0]).most_common(1)
    name = record.task["labels"][label] if label >= 0 else "nothing"
    shares = percent(count / len(gold)), percent(gold.count(label) / len(gold))
    return f"; on test it answers “{name}” to {shares[0]}, where {shares[1]} are"
