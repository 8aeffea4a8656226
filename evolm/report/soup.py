"""The soup of deltas that won, its members and its contest on validation rows, as rows and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    members, single = contest["members"], contest["single"]["validation"]
    names = ", ".join(f"#{member['id']}" for member in members)
    size = counted(len(members), "delta")
    other = "no score" if single is None else f"{single:.3f}"
    scores = f"{contest['validation']:.3f} on validation rows, the best single individual {other}"
    if record.soup:
        return f"Soup of {size} ({names}): {scores}; --use single applies that one."
    return f"A soup of {size} ({names}) did not win: {scores}."
