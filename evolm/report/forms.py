"""A soup of deltas, or a delta that learnt once more: the contest on validation rows, as rows and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evolm.report.reading import RunRecord
from evolm.searches import MAIN
from evolm.wording import counted


@dataclass(frozen=True)
class SoupRow:
    """A member of a soup that won.

    Attributes:
        id: of the individual.
        dev: its own score.
        descent: ids of its main line of ancestors, founder first, itself last.
    """

    id: int
    dev: float | None
    descent: Sequence[int]


def soup_rows(record: RunRecord) -> list[SoupRow]:
    """Return the members of the soup that won, the best first; none if none won."""
    members = (record.soup or {}).get("members") or []
    return [
        SoupRow(member["id"], member.get("dev"), [each.id for each in record.descent(MAIN, member["id"])])
        for member in members
    ]


def soup_sentence(record: RunRecord) -> str:
    """Return a sentence on the contest of a soup with the best single individual; ``""`` if there was none."""
    contest = record.soup or (record.last("validation") or {}).get("soup")
    if not contest:
        return ""
    members = contest["members"]
    names = ", ".join(f"#{member['id']}" for member in members)
    size = counted(len(members), "delta")
    if record.soup:
        return f"Soup of {size} ({names}): {_scores(contest)}; --use single applies that one."
    return f"A soup of {size} ({names}) did not win: {_scores(contest)}."


def relearnt_sentence(record: RunRecord) -> str:
    """Return a sentence on the contest of a delta that learnt once more; ``""`` if there was none."""
    contest = record.relearnt or (record.last("validation") or {}).get("relearnt")
    if not contest:
        return ""
    steps = counted(contest["steps"], "step")
    if record.relearnt:
        said = f"Learnt once more, {steps} on all {contest['rows']} rows but test: before the last time,"
        return f"{said} {_scores(contest)}; --use single applies that one."
    return f"What learnt once more, {steps} on train and dev rows, did not win: {_scores(contest)}."


def _scores(contest: dict[str, Any]) -> str:
    single = contest["single"]["validation"]
    other = "no score" if single is None else f"{single:.3f}"
    return f"{contest['validation']:.3f} on validation rows, the best single individual {other}"
