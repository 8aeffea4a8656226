"""The committee that won, its members and its contest on validation rows, as rows and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evolm.report.differences import Side, compare, with_chosen
from evolm.report.reading import RunRecord
from evolm.searches import MAIN
from evolm.wording import counted


@dataclass(frozen=True)
class MemberRow:
    """A member of a committee that won.

    Attributes:
        id: of the individual.
        weight: its seats.
        share: of the committee's answer, in [0, 1].
        dev, validation: its own scores.
        descent: ids of its main line of ancestors, founder first, itself last.
        side: its genome, ready to be shown.
        text: its prompt, exactly as the model reads it, or ``""``.
    """

    id: int
    weight: int
    share: float
    dev: float | None
    validation: float | None
    descent: Sequence[int]
    side: Side
    text: str


def member_rows(record: RunRecord) -> list[MemberRow]:
    """Return the members of the committee that won, in order; none if none won."""
    members = (record.committee or {}).get("members") or []
    seats = sum(member["weight"] for member in members)
    texts = dict(enumerate(record.member_prompts))
    rows = []
    for place, member in enumerate(members):
        genome = with_chosen(member.get("genome") or {}, member.get("readout"))
        row = MemberRow(
            id=member["id"],
            weight=member["weight"],
            share=member["weight"] / seats,
            dev=member.get("dev"),
            validation=member.get("validation"),
            descent=[ancestor.id for ancestor in record.descent(MAIN, member["id"])],
            side=compare(genome, genome)[1],
            text=texts.get(place, ""),
        )
        rows.append(row)
    return rows


def committee_sentence(record: RunRecord) -> str:
    """Return a sentence on the contest of a committee with the best single individual; ``""`` if there was none."""
    contest = record.committee or (record.last("validation") or {}).get("committee")
    if not contest:
        return ""
    members, single = contest["members"], contest["single"]["validation"]
    names = ", ".join(f"{_times(member)}#{member['id']}" for member in members)
    size = counted(len(members), "individual")
    other = "no score" if single is None else f"{single:.3f}"
    scores = f"{contest['validation']:.3f} on validation rows, the best single individual {other}"
    if contest["won"]:
        return f"Committee of {size} ({names}): {scores}; --use single applies that one."
    return f"A committee of {size} ({names}) did not win: {scores}."


def _times(member: dict[str, Any]) -> str:
    return f"{member['weight']} × " if member["weight"] > 1 else ""
