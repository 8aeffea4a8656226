"""What people are told about the texts that a model reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from evolm.wording import counted

if TYPE_CHECKING:
    from evolm.models.contract import Model


def text_notes(model: Model, rows: Iterable[str], prompts: Sequence[str] = ()) -> tuple[str, ...]:
    """Return sentences about a chat template with a date, and about control tokens in rows and prompts.

    Args:
        model: whose tokenizer and chat template read the texts.
        rows: all text of each row.
        prompts: the founders' instructions with their demonstrations.
    """
    notes = []
    if model.chat and model.template.dated:
        date = model.template.date.strftime("%d %b %Y")
        notes.append(
            f"The chat template asks for today's date; it is told {date}, always, so that a prompt stays what it is."
        )
    found = [names for row in rows if (names := model.control.found(row))]
    shown = [names for prompt in prompts if (names := model.control.found(prompt))]
    if found or shown:
        places = [counted(len(found), "row")] * bool(found) + [counted(len(shown), "founder")] * bool(shown)
        notes.append(
            f"Control tokens of this model, such as {(found + shown)[0][0]!r}, stand in {' and '.join(places)}; they "
            "are read as text."
        )
    return tuple(notes)
