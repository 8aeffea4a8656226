"""Language feedback at answer time: the model criticises its draft in one line, then writes the answer anew.

Self-Refine (Madaan 2023, https://arxiv.org/abs/2303.17651) without examples of criticism: the question that asks for
it is part of the prompt (:attr:`evolm.genomes.Prompt.critique`), so it can evolve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evolm.genomes import Prompt
from evolm.models import Dialogue, Generate, Generated
from evolm.scorers.base import Scoring
from evolm.tasks import Item

CRITIQUE_TOKENS = 32
CRITIQUE_STOPS = ("\n",)


def refined(
    scoring: Scoring, prompt: Prompt, items: Sequence[Item], drafts: Sequence[str]
) -> Dialogue[tuple[str, ...]]:
    """Let the model criticise a draft for each item and answer the item again; an empty answer leaves the draft.

    Args:
        scoring: the task, and how texts are decoded.
        prompt: what stands before each item, and the question that asks for criticism.
        items: what is answered.
        drafts: one text per item.
    """
    template, decoding = scoring.task.template, scoring.decoding
    prefix, asked = prompt.prefix(template), [template.item(item.fields) for item in items]
    judged = [f"{item}{template.answer(draft)}\n{prompt.question}" for item, draft in zip(asked, drafts, strict=True)]
    short = replace(decoding, max_new_tokens=CRITIQUE_TOKENS, stop_strings=CRITIQUE_STOPS)
    critiques: list[Generated] = yield [Generate(prefix, text, short, template.system) for text in judged]
    answers: list[Generated] = yield [
        Generate(prefix, f"{text} {critique.text}{template.separator}{item}", decoding, template.system)
        for text, critique, item in zip(judged, critiques, asked, strict=True)
    ]
    return tuple(answer.text or draft for answer, draft in zip(answers, drafts, strict=True))
