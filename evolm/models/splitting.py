"""The border between a context and its answers, in tokens.

A tokenizer may join the end of a context and the beginning of an answer in one token: the tokens of the context are
then no beginning of the tokens of the whole text. Such answers are scored from the last token that the context and
all whole texts of the request have in common, so that they are compared behind the same tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

from evolm.errors import Unanswerable


def common_length(first: Sequence[int], second: Sequence[int]) -> int:
    """Return the number of tokens that two texts begin with alike."""
    for place, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return place
    return min(len(first), len(second))


def border(context: list[int], wholes: Sequence[list[int]]) -> int:
    """Return the number of tokens before the answers: all of the context's unless a token spans the border.

    Args:
        context: tokens of the text before the answers.
        wholes: tokens of that text with each answer behind it.
    """
    length = len(context)
    if all(whole[:length] == context for whole in wholes):
        return length
    return min(common_length(context, whole) for whole in wholes)


def require_answers(texts: Sequence[str], answers: Sequence[tuple[int, ...]], before: int) -> None:
    """Check the answers of one request.

    Args:
        texts: of the answers.
        answers: their tokens, those that are scored.
        before: number of tokens before them.

    Raises:
        Unanswerable: if there is no token before the answers, an answer has no tokens, or two answers that differ in
            text have the same tokens.
    """
    for text, tokens in zip(texts, answers, strict=True):
        if not tokens:
            raise Unanswerable(f"answer {text!r}: expected at least one token, found none")
    if not before:
        raise Unanswerable(
            f"answer {texts[0]!r}: expected a token before it, found one token that joins it with the beginning of "
            "the text"
        )
    if len(set(answers)) < len(set(texts)):
        first: dict[tuple[int, ...], str] = {}
        for text, tokens in zip(texts, answers, strict=True):
            if first.setdefault(tokens, text) != text:
                raise Unanswerable(
                    f"answers {first[tokens]!r} and {text!r}: expected different tokens, found the same ones, so the "
                    "model cannot tell them apart; choose other words"
                )
