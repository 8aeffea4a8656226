"""Answers of the FAQ to errors: which question of ``docs/faq.md`` explains which message."""

from __future__ import annotations

import re
from dataclasses import dataclass

from evolm.errors import DataError, EvolmError, GenomeError, ModelError, PermissionNeeded, RunError, WorkerError

PAGE = "faq.html"  # of the documentation site


@dataclass(frozen=True)
class Answer:
    """A question of the FAQ.

    Attributes:
        kind: class of the errors that it explains.
        pattern: regular expression that their messages contain.
        anchor: of the question, as the site writes it.
    """

    kind: type[EvolmError]
    pattern: str
    anchor: str


ANSWERS = (
    Answer(PermissionNeeded, r"is code outside evolm", "why-is-code-outside-evolm-refused"),
    Answer(
        PermissionNeeded, r"campaign's folder, found one outside", "why-is-data-outside-the-campaign-s-folder-refused"
    ),
    Answer(GenomeError, r"in the test split \(the first|outside the test split", "why-is-a-warm-start-refused"),
    Answer(RunError, r"expected a new(,| or) empty", "why-is-a-run-directory-refused"),
    Answer(RunError, r"changed since the run began", "why-can-a-run-not-be-continued"),
    Answer(RunError, r"it is damaged, and the run cannot be continued", "why-can-a-run-not-be-continued"),
    Answer(ModelError, r"exchangeable attention|packed and plain forward passes", "can-i-use-my-own-model"),
    Answer(DataError, r"expected a label among", "why-are-my-labels-read-as-numbers-or-as-one-label-too-many"),
    Answer(WorkerError, r"worker gone \d+ times", "why-does-a-batch-lose-its-worker"),
)


def hint(error: EvolmError) -> str:
    """Return where the FAQ explains an error, as a line for the terminal; ``""`` if it does not."""
    message = str(error)
    for answer in ANSWERS:
        if isinstance(error, answer.kind) and re.search(answer.pattern, message):
            return f"see the documentation: {PAGE}#{answer.anchor}"
    return ""
