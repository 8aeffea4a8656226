"""From a server's tokens to places in the text that was sent, and to the tokens of the answers behind a border."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from evolm.errors import Unanswerable


@dataclass(frozen=True)
class PlacedToken:
    """A token of a text.

    Attributes:
        start: number of characters before it.
        logprob: nats; None for the first token of a text.
    """

    start: int
    logprob: float | None


def placed(
    tokens: Sequence[str | None], logprobs: Sequence[float | None], offsets: Sequence[int], text: str
) -> list[PlacedToken]:
    """Return the tokens of a text with their places.

    Places are found from the end of the text, since servers put a token of their own, or a space, before it. Tokens
    that hold a part of a character are no text of their own; then the server's offsets are used.

    Args:
        tokens: their texts, of the whole text and nothing behind it; None = unknown.
        logprobs: one for each.
        offsets: one for each, as the server says; empty = it says none.
        text: that was sent.

    Raises:
        ValueError: if the tokens are not those of the text.
    """
    if len(tokens) != len(logprobs) or not tokens:
        raise ValueError("as many tokens as log-probabilities expected")
    starts = _from_the_end(tokens, text) or _as_told(tokens, offsets, text)
    return [PlacedToken(start, logprob) for start, logprob in zip(starts, logprobs, strict=True)]


def _from_the_end(tokens: Sequence[str | None], text: str) -> list[int] | None:
    end, starts = len(text), [0] * len(tokens)
    for index in range(len(tokens) - 1, 0, -1):
        token = tokens[index]
        if token is None or not text.endswith(token, 0, end):
            return None
        end -= len(token)
        starts[index] = end
    first = tokens[0]
    whole = first is None or not end or first.lstrip() == text[:end].lstrip()
    return starts if whole else None


def _as_told(tokens: Sequence[str | None], offsets: Sequence[int], text: str) -> list[int]:
    rises = all(before <= after for before, after in pairwise(offsets))
    if len(offsets) != len(tokens) or not rises or offsets[0] < 0 or offsets[-1] >= len(text):
        raise ValueError("the tokens are not those of the text")
    return list(offsets)


def scored_behind(
    border: int, texts: Sequence[str], wholes: Sequence[Sequence[PlacedToken]]
) -> tuple[list[list[float]], int]:
    """Return the log-probabilities of each continuation's tokens, and the characters that are scored before it.

    All continuations are scored from the same place: the last one before or at the border where every text has a
    token's beginning, so that a token that spans the border counts for all of them.

    Args:
        border: characters of the context, white space at its end excluded.
        texts: of the continuations.
        wholes: the tokens of the context with each continuation.

    Raises:
        Unanswerable: if there is no token before the continuations, or none in one of them.
    """
    common = set.intersection(*({token.start for token in whole} for whole in wholes))
    cut = max((start for start in common if start <= border), default=0)
    logprobs = [[token.logprob for token in whole if token.start >= cut] for whole in wholes]
    for text, own in zip(texts, logprobs, strict=True):
        if not own or any(value is None for value in own):
            raise Unanswerable(
                f"answer {text!r}: expected a token before it and at least one token of its own, found none"
            )
    return [[float(value) for value in own if value is not None] for own in logprobs], border - cut
