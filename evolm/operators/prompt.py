"""Model-free operators on prompts: instruction, demonstrations, verbalizers.

Edits of an instruction follow GrIPS (Prasad 2022, https://arxiv.org/abs/2203.07281): delete, swap and
duplicate its pieces. GrIPS finds phrases with a parser; here a piece is a sentence, or a phrase between commas
and joining words, so that nothing has to be installed. Demonstrations vary as variable-length lists.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from evolm.genomes import PROMPT, Demonstration, Prompt, PromptSpace
from evolm.operators.base import FunctionOperator

SENTENCES = re.compile(r"(?<=[.!?:;])\s+|\n+")
PHRASES = re.compile(r"(?<=[,.!?:;])\s+|\n+|\s+(?=(?:and|or|but|if|whether|that|which|when|because|with)\s)")


def pieces(text: str, pattern: re.Pattern[str]) -> list[str]:
    """Cut a text into its non-empty pieces."""
    return [piece.strip() for piece in pattern.split(text) if piece and piece.strip()]


def _cut(rng: np.random.Generator, text: str) -> list[str]:
    """Cut into sentences or phrases, each as likely; a single sentence is always cut into phrases."""
    sentences = pieces(text, SENTENCES)
    if len(sentences) > 1 and rng.random() < 0.5:
        return sentences
    return pieces(text, PHRASES)


def _rewritten(prompt: Prompt, space: PromptSpace, parts: list[str]) -> Prompt | None:
    text = " ".join(parts)
    return replace(prompt, instruction=text) if space.instruction and text else None


def instruction_delete(rng: np.random.Generator, space: PromptSpace, prompt: Prompt) -> Prompt | None:
    """Delete a sentence or phrase of the instruction."""
    parts = _cut(rng, prompt.instruction)
    if len(parts) < 2:
        return None
    del parts[rng.integers(len(parts))]
    return _rewritten(prompt, space, parts)


def instruction_swap(rng: np.random.Generator, space: PromptSpace, prompt: Prompt) -> Prompt | None:
    """Swap two sentences or phrases of the instruction."""
    parts = _cut(rng, prompt.instruction)
    if len(parts) < 2:
        return None
    first, second = rng.choice(len(parts), 2, replace=False)
    parts[first], parts[second] = parts[second], parts[first]
    return _rewritten(prompt, space, parts)


def instruction_duplicate(rng: np.random.Generator, space: PromptSpace, prompt: Prompt) -> Prompt | None:
    """Repeat a sentence or phrase of the instruction somewhere else in it."""
    parts = _cut(rng, prompt.instruction)
    if not parts:
        return None
    parts.insert(int(rng.integers(len(parts) + 1)), parts[rng.integers(len(parts))])
    return _rewritten(prompt, space, parts)


def instruction_crossover(
    rng: np.random.Generator, space: PromptSpace, first: Prompt, second: Prompt
) -> Prompt | None:
    """Join the beginning of one instruction to the end of another, cut between sentences or phrases."""
    pattern = SENTENCES if rng.random() < 0.5 else PHRASES
    ours, theirs = pieces(first.instruction, pattern), pieces(second.instruction, pattern)
    if not ours or not theirs or first.instruction == second.instruction:
        return None
    head, tail = int(rng.integers(len(ours) + 1)), int(rng.integers(len(theirs) + 1))
    return _rewritten(first, space, ours[:head] + theirs[tail:])


def demonstrations_add(rng: np.random.Generator, space: PromptSpace, prompt: Prompt) -> Prompt | None:
    """Insert a train item as a demonstration."""
    shown = list(prompt.demonstrations)
    item = space.draw_item(rng, {demo.item for demo in shown})
    if item is None or len(shown) >= space.demonstrations[1]:
        return None
    shown.insert(int(rng.integers(len(shown) + 1)), Demonstration.from_item(item))
    return replace(prompt, demonstrations=tuple(shown))


def demonstrations_drop(rng: np.random.Generator, space: PromptSpace, prompt: Prompt) -> Prompt | None:
    """Drop a demonstration."""
    shown = list(prompt.demonstrations)
    if len(shown) <= space.demonstrations[0]:
        return None
    del shown[rng.integers(len(shown))]
    return replace(prompt, demonstrations=tuple(shown))


def demonstrations_replace(rng: np.random.Generator, space: PromptSpace, prompt: Prompt) -> Prompt | None:
    """Put another train item in a demonstration's place."""
    shown = list(prompt.demonstrations)
    item = space.draw_item(rng, {demo.item for demo in shown})
    if item is None or not shown:
        return None
    shown[rng.integers(len(shown))] = Demonstration.from_item(item)
    return replace(prompt, demonstrations=tuple(shown))


def demonstrations_shuffle(rng: np.random.Generator, space: PromptSpace, prompt: Prompt) -> Prompt | None:
    """Show the demonstrations in another order."""
    shown = prompt.demonstrations
    if len(shown) < 2:
        return None
    return replace(prompt, demonstrations=tuple(shown[i] for i in rng.permutation(len(shown))))


def demonstrations_one_point(
    rng: np.random.Generator, space: PromptSpace, first: Prompt, second: Prompt
) -> Prompt | None:
    """Join the first demonstrations of one prompt to the last of another."""
    ours, theirs = first.demonstrations, second.demonstrations
    head, tail = rng.integers(len(ours) + 1), rng.integers(len(theirs) + 1)
    return _with_demonstrations(first, ours[:head] + theirs[tail:], space)


def demonstrations_two_point(
    rng: np.random.Generator, space: PromptSpace, first: Prompt, second: Prompt
) -> Prompt | None:
    """Put a run of one prompt's demonstrations in place of a run of another's."""
    ours, theirs = first.demonstrations, second.demonstrations
    begin, end = sorted(rng.integers(len(ours) + 1, size=2))
    start, stop = sorted(rng.integers(len(theirs) + 1, size=2))
    return _with_demonstrations(first, ours[:begin] + theirs[start:stop] + ours[end:], space)


def _with_demonstrations(prompt: Prompt, shown: tuple[Demonstration, ...], space: PromptSpace) -> Prompt | None:
    """Keep the first of equal demonstrations and as many as the space allows; None where nothing changed."""
    unique = tuple({demo.item: demo for demo in shown}.values())[: space.demonstrations[1]]
    return None if unique == prompt.demonstrations else replace(prompt, demonstrations=unique)


def uniform_crossover(rng: np.random.Generator, space: PromptSpace, first: Prompt, second: Prompt) -> Prompt | None:
    """Take instruction, demonstrations and each label's word from either parent."""
    theirs = rng.random(2 + len(space.labels)) < 0.5
    words = {label: (second if theirs[2 + index] else first).word(label) for index, label in enumerate(space.labels)}
    return replace(
        first,
        instruction=second.instruction if theirs[0] and space.instruction else first.instruction,
        demonstrations=second.demonstrations if theirs[1] else first.demonstrations,
        verbalizers=tuple(sorted((label, word) for label, word in words.items() if word != label)),
    )


def verbalizer_replace(rng: np.random.Generator, space: PromptSpace, prompt: Prompt) -> Prompt | None:
    """Let another allowed word stand for a label."""
    choices = sorted(label for label, words in space.verbalizers.items() if len(words) > 1)
    if not choices:
        return None
    label = choices[rng.integers(len(choices))]
    others = [word for word in space.verbalizers[label] if word != prompt.word(label)]
    words = {**dict(prompt.verbalizers), label: others[rng.integers(len(others))]}
    return replace(prompt, verbalizers=tuple(sorted((k, v) for k, v in words.items() if k != v)))


def critique_replace(rng: np.random.Generator, space: PromptSpace, prompt: Prompt) -> Prompt | None:
    """Ask for criticism of drafts by another question, if answers are refined."""
    others = [question for question in space.critiques if question != prompt.question]
    return replace(prompt, critique=others[rng.integers(len(others))]) if others else None


MUTATIONS = {
    instruction_delete: 1.0,
    instruction_swap: 0.5,
    instruction_duplicate: 0.5,
    demonstrations_add: 2.0,
    demonstrations_drop: 1.0,
    demonstrations_replace: 2.0,
    demonstrations_shuffle: 1.0,
    verbalizer_replace: 1.0,
    critique_replace: 1.0,
}
CROSSOVERS = {
    uniform_crossover: 1.0,
    instruction_crossover: 1.0,
    demonstrations_one_point: 1.0,
    demonstrations_two_point: 1.0,
}
ON_DEMONSTRATIONS = frozenset(
    function.__name__ for function in (*MUTATIONS, *CROSSOVERS) if function.__name__.startswith("demonstrations_")
)
ON_CRITIQUES = frozenset([critique_replace.__name__])
PROMPT_OPERATORS = [
    *(FunctionOperator(f.__name__, "mutation", PROMPT, f, weight) for f, weight in MUTATIONS.items()),
    *(FunctionOperator(f.__name__, "crossover", PROMPT, f, weight) for f, weight in CROSSOVERS.items()),
]
