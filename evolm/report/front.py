"""The front of a run with several objectives, as rows: who is on it, and by which rule one of them was picked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evolm.report.reading import Entry, RunRecord
from evolm.wording import words

LENGTH = "prompt_length"  # counts tokens downwards; people count them upwards


@dataclass(frozen=True)
class ObjectiveAxis:
    """An axis of the front as people read it; ``fewer`` says that less of it is better."""

    key: str
    name: str
    fewer: bool

    @classmethod
    def of(cls, key: str, weight: float, metric: str) -> ObjectiveAxis:
        """The objective of a scorer, called by what it measures."""
        names = {LENGTH: "prompt tokens", "label_likelihood": metric}
        return cls(key, names.get(key, words(key)), (weight < 0) != (key == LENGTH))

    def value(self, entry: Entry) -> float | None:
        """The individual's value; None where it failed."""
        value = (entry.get("measures") or {}).get(self.key)
        return value if value is None or self.key != LENGTH else -value

    def text(self, value: float | None) -> str:
        """A value as it is shown: a count of tokens, or three decimals; nothing where there is none."""
        if value is None:
            return ""
        return f"{value:,.0f}" if self.key == LENGTH else f"{value:.3f}"


@dataclass(frozen=True)
class Member:
    """An individual on the front; ``values`` follow the order of the objectives, None where not recorded."""

    id: int
    values: tuple[float | None, ...]
    tokens: float | None
    genome: dict[str, Any]
    picked: bool


def objectives(record: RunRecord) -> list[ObjectiveAxis]:
    """What the front is about, in the order of the campaign; none where all scorers are one sum."""
    if not record.pareto:
        return []
    return [ObjectiveAxis.of(key, s.get("weight", 1.0), record.metric) for key, s in record.scorers.items()]


def members(record: RunRecord) -> list[Member]:
    """The front's members, the best in the first objective first."""
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
    """How one of the front's members was picked, as the end of a sentence."""
    axes = objectives(record)
    where = "on dev and validation together" if record.last("validation") else "on dev"
    if (record.run.get("fitness") or {}).get("pick") == "knee":
        return f"the largest sum of all objectives, each scaled to its range over the front, {where} (“knee”)"
    most = "fewest" if axes[0].fewer and axes[0].key == LENGTH else "lowest" if axes[0].fewer else "highest"
    return f"the {most} {axes[0].name} {where} (“first”)"
