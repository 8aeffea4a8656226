"""Operators that let the model rewrite instructions; demonstrations and all else come from the first parent.

- Resampling: APE (Zhou 2022, https://arxiv.org/abs/2211.01910).
- Genetic algorithm and differential evolution: EvoPrompt (Guo 2023, https://arxiv.org/abs/2309.08532).
- Criticism: ProTeGi (Pryzant 2023, https://arxiv.org/abs/2305.03495), one criticism and one rewriting a child and no
  beam search.

These papers give a large model all steps of an operator in one request. A small model loses the thread, so here every
step is a request of its own (see :mod:`evolm.operators.patterns`); the requests of all families form one batch. A
refused answer ends the dialogue: the operator then has nothing to offer for that family.

Another model may write (``[operators] writer``); failures on train items are always those of the model that evolves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from evolm.genomes import PROMPT, Genome, Phenotype, Prompt
from evolm.models import Decoding, Dialogue
from evolm.operators.base import Family, Role, VariationContext, with_chromosomes
from evolm.operators.patterns import (
    COMBINE,
    CRITICISE,
    IMPROVE,
    REWORD,
    Pattern,
    cleaned,
    one_line,
    refusal,
    words,
)
from evolm.operators.prompt import PHRASES, pieces
from evolm.scorers import Scoring, generate_texts
from evolm.tasks import Item
from evolm.tasks.text_metrics import exact_match
from evolm.wording import headline

TEMPERATURE, TOP_P = 0.6, 0.9
MOST_TOKENS, MORE_TOKENS = 128, 32  # of a line that the model writes: at most, and beyond those of its texts
REASON_TOKENS = 40  # of its criticism
TRIED, SHOWN = 8, 2  # train items that a criticised prompt is tried on, and failures among them that are shown
ITEM_CHARS = 160  # of a failure's text


def line(
    context: VariationContext, pattern: Pattern, *texts: str, known: Sequence[str] = (), room: int = 0
) -> Dialogue[str]:
    """Let the model continue a pattern by one line.

    Args:
        context: draws the sample's number.
        pattern: the pattern that is continued.
        texts: for the placeholders of its case, one line each.
        known: instructions that the line must not repeat.
        room: most tokens of the line; 0 = ``MORE_TOKENS`` more than its texts have.

    Returns:
        The line, or ``""`` if it was refused.
    """
    counting = context.model_access.writer.model if context.model_access else context.space[PROMPT]
    room = room or min(counting.count_tokens(" ".join(texts)) + MORE_TOKENS, MOST_TOKENS)
    decoding = Decoding(room, ("\n",), TEMPERATURE, TOP_P, sample=int(context.rng.integers(2**31)))
    [answer] = yield [pattern.request(texts, decoding)]
    text = cleaned(answer.text)
    return "" if refusal(text, answer.finished, pattern, texts, known) else text


def paraphrase(context: VariationContext, prompt: Prompt) -> Dialogue[Prompt | None]:
    """Let the model say the instruction in other words."""
    ours = one_line(prompt.instruction)
    if not ours:
        return None
    text = yield from line(context, REWORD, ours, known=_known(context, ours))
    return _child(context, prompt, text)


def evoprompt_ga(context: VariationContext, first: Prompt, second: Prompt) -> Dialogue[Prompt | None]:
    """Let the model join two instructions into one, and say that in other words."""
    ours, theirs = one_line(first.instruction), one_line(second.instruction)
    both = ours or theirs
    if ours and theirs and words(ours) != words(theirs):
        both = yield from line(context, COMBINE, ours, theirs)
    if not both:
        return None
    text = yield from line(context, REWORD, both, known=_known(context, ours, theirs))
    return _child(context, first, text)


def evoprompt_de(context: VariationContext, first: Prompt, second: Prompt) -> Dialogue[Prompt | None]:
    """Let the model reword what sets two instructions apart, join it to the best one, and that to the first.

    Differences to the paper: one of the two donors is the second parent, and the difference is found without the
    model.
    """
    ours, theirs = one_line(first.instruction), one_line(second.instruction)
    held, known = [text for text in _held(context) if text], _known(context, ours, theirs)
    differences = [differing(theirs, text) for text in held if words(text) != words(ours)]
    differences = [text for text in differences if text]
    if not differences:
        return None
    mutated = yield from line(context, REWORD, differences[context.rng.integers(len(differences))])
    if not mutated:
        return None
    text = yield from line(context, COMBINE, held[0], mutated, known=() if ours else known)
    if ours and text:
        text = yield from line(context, COMBINE, ours, text, known=known)
    return _child(context, first, text)


def language_feedback(context: VariationContext, prompt: Prompt) -> Dialogue[Prompt | None]:
    """Show the model train items that the prompt gets wrong; let it say why, then improve the instruction."""
    assert context.model_access is not None
    ours, demonstrated = one_line(prompt.instruction), {demo.item for demo in prompt.demonstrations}
    items = [item for item in context.model_access.train if item.digest not in demonstrated]
    if not ours or not items:
        return None
    drawn = context.rng.choice(len(items), size=min(TRIED, len(items)), replace=False)
    failures = yield from _failures(context.model_access.scoring, prompt, [items[i] for i in drawn])
    if not failures:
        return None
    reason = yield from line(context, CRITICISE, ours, ".\n".join(failures[:SHOWN]), room=REASON_TOKENS)
    if not reason:
        return None
    text = yield from line(context, IMPROVE, ours, reason[0].upper() + reason[1:], known=_known(context, ours))
    return _child(context, prompt, text)


def differing(first: str, second: str) -> str:
    """Return the phrases that only the first text has, or else those that only the second has; maybe none."""
    ours, theirs = ({words(piece): piece for piece in pieces(text, PHRASES)} for text in (first, second))
    only = [piece for key, piece in ours.items() if key not in theirs]
    return " ".join(only or [piece for key, piece in theirs.items() if key not in ours])


def _failures(scoring: Scoring, prompt: Prompt, items: Sequence[Item]) -> Dialogue[list[str]]:
    """Ask the model about items; return a sentence on each wrong answer, in their order."""
    if scoring.labels is None:
        answers = yield from generate_texts(scoring, prompt, items)
    else:
        logprobs = yield from scoring.labels.ask(Phenotype(prompt), items)
        options = map(scoring.task.options_of, items)
        answers = tuple(
            prompt.word(known[best]) for known, best in zip(options, logprobs.argmax(axis=1), strict=True)
        )
    right = [prompt.word(item.gold or "") for item in items]
    return [
        f'Wrong: "{_excerpt(item)}" was answered "{one_line(answer)}". The right answer is "{one_line(gold)}"'
        for item, answer, gold in zip(items, answers, right, strict=True)
        if not exact_match(answer, gold)
    ]


def _excerpt(item: Item) -> str:
    text = one_line(" ".join(item.fields.values()))
    return text if len(text) <= ITEM_CHARS else f"{text[:ITEM_CHARS]}…"


def _held(context: VariationContext) -> list[str]:
    """Return the instructions of the population, the best first."""
    return [one_line(individual.genome.prompt.instruction) for individual in context.population]


def _known(context: VariationContext, *parents: str) -> list[str]:
    """Return the instructions that a child must not repeat."""
    return [*parents, *_held(context)]


def _child(context: VariationContext, parent: Prompt, text: str) -> Prompt | None:
    """Return the parent with another instruction; None if that is empty or outside the space."""
    child = replace(parent, instruction=text)
    return None if not text or context.space[PROMPT].outside(child) else child


@dataclass(frozen=True)
class LanguageOperator:
    """An operator that holds a dialogue with the model: ``conversation(context, *prompts) -> prompt or None``."""

    name: str
    role: Role
    conversation: Callable[..., Dialogue[Prompt | None]]
    weight: float = 0.0
    needs_gold: bool = False
    needs_unlabelled: bool = False
    chromosome: str = PROMPT
    asks_model: bool = True

    @property
    def summary(self) -> str:
        """First line of the conversation's docstring."""
        return headline(self.conversation.__doc__)

    def vary(self, families: Sequence[Family], context: VariationContext) -> list[Genome | None]:
        """Hold all families' dialogues side by side; none without model access or with a fixed instruction."""
        arity = 2 if self.role == "crossover" else 1
        conversations = [
            self.conversation(context, *(p.genome.prompt for p in family[:arity])) for family in families
        ]
        if context.model_access is None or not context.space[PROMPT].instruction:
            return [None] * len(families)
        return with_chromosomes(PROMPT, families, context.model_access.hold_dialogues(conversations))


LANGUAGE_OPERATORS = [
    LanguageOperator("paraphrase", "mutation", paraphrase),
    LanguageOperator("language_feedback", "mutation", language_feedback, needs_gold=True),
    LanguageOperator("evoprompt_ga", "crossover", evoprompt_ga),
    LanguageOperator("evoprompt_de", "crossover", evoprompt_de),
]
