"""The front of a run with several objectives: its members as rows, and the rule by which one was picked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evolm.report.reading import Entry, RunRecord
from evolm.wording import words

LENGTH = "prompt_length"  # its score is minus the number of tokens; the report shows the number


@dataclass(frozen=True)
class ObjectiveAxis:
    """An axis of the front for readers.

    Attributes:
        key: the scorer's name.
        name: the axis's title.
        fewer: whether lower values are better.
    """

    key: str
    name: str
    fewer: bool

    @classmethod
    def of(cls, key: str, weight: float, metric: str) -> ObjectiveAxis:
        """Return the axis of a scorer, named after the quantity that it measures."""
        names = {LENGTH: "prompt tokens", "label_likelihood": metric}
        return cls(key, names.get(key, words(key)), (weight < 0) != (key == LENGTH))

    def value(self, entry: Entry) -> float | None:
        """Return an individual's value; None if it failed."""
        value = (entry.get("measures") or {}).get(self.key)
        return value if value is None or self.key != LENGTH else -value

    def text(self, value: float | None) -> str:
        """Return a value as text: a count of tokens, or three decimals; ``""`` for None."""
        if value is None:
            return ""
        return f"{value:,.0f}" if self.key == LENGTH else f"{value:.3f}"


@dataclass(frozen=True)
class Member:
    """An individual on the front.

    Attributes:
        id: as in the journal.
        values: one per objective, in order; None if it is not recorded.
        tokens: length of its prompt in tokens, if recorded.
        genome: the genome's record.
        picked: whether it is the run's best.
    """

    id: int
    values: tuple[float | None, ...]
    tokens: float | None
    genome: dict[str, Any]
    picked: bool


def objectives(record: RunRecord) -> list[ObjectiveAxis]:
    """Return the front's axes, in the order of the campaign file; none if fitness is one sum."""
    if not record.pareto:
        return []
    return [ObjectiveAxis.of(key, s.get("weight", 1.0), record.metric) for key, s in record.scorers.items()]


def members(record: RunRecord) -> list[Member]:
    """Return the front's members, the best in the first objective first."""
    axes, best = objectives(record), record.best()
    if not axes:
        return []
    found = [
        Member(
            id=entry["id"],
            values=tuple(axis.value(entry) for axis in axes),
            tokens=(entry.get("measures") or {}).get("prefix_tokens"),
            genome=entry.get("genome") or {},
            picked=best is not None and entry["id"] == best["id"],
        )
        for entry in record.front()
    ]
    sign = 1 if axes[0].fewer else -1
    return sorted(found, key=lambda member: (sign * (member.values[0] or 0), member.id))


def rule(record: RunRecord) -> str:
    """Return the rule by which a member of the front was picked, as the end of a sentence."""
    axes = objectives(record)
    where = "on dev and validation together" if record.last("validation") else "on dev"
    if (record.run.get("fitness") or {}).get("pick") == "knee":
        return f"the largest sum of all objectives, each scaled to its range over the front, {where} (“knee”)"
    most = "fewest" if axes[0].fewer and axes[0].key == LENGTH else "lowest" if axes[0].fewer else "highest"
    return f"the {most} {axes[0].name} {where} (“first”)"
