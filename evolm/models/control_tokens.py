"""Text is never control: what a row, an instruction or a demonstration says is read as text.

A tokenizer turns the text ``<|im_end|>`` into the token that ends a turn, wherever it stands. Requests whose text
holds no such string are tokenised in one piece. In the others the tokens of the chat template's frame are set apart
first, and the text between them is tokenised by a copy of the tokenizer that knows no control tokens. This is checked
when the copy is made, since some tokenizers know control tokens as pieces of text, too.

Tokens that were added to a tokenizer without an embedding in the model are read as text in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import cached_property
from typing import Any

from tokenizers import AddedToken, Tokenizer

from evolm.errors import ModelError, Unanswerable

PROBE = "a{}b"
BETWEEN = "\u2060evolm-between\u2060"  # stands for a control token before a text; occurs in no text
Span = tuple[int, int]


class ControlTokens:
    """The control tokens of one tokenizer.

    Args:
        tokenizer: a fast tokenizer.
        embeddings: number of rows of the model's embeddings.
        model: name of the model, for messages.

    Attributes:
        ids: text of each control token -> its id.
        written: control tokens that the campaign's own templates write, which stay control everywhere.

    Raises:
        ModelError: if the tokenizer's own vocabulary has more tokens than the model has embeddings.
    """

    def __init__(self, tokenizer: Any, embeddings: int, model: str) -> None:
        if tokenizer.vocab_size > embeddings:
            raise ModelError(
                f"model {model!r}: expected a tokenizer of at most {embeddings} tokens, the rows of its embeddings, "
                f"found {tokenizer.vocab_size}: the tokenizer belongs to another model"
            )
        self.tokenizer = tokenizer
        template = str(tokenizer.chat_template or "")
        self._added: dict[str, AddedToken] = {
            token.content: token
            for number, token in tokenizer.added_tokens_decoder.items()
            if token.special or number >= embeddings or (_marked(token.content) and token.content in template)
        }
        self.ids = {content: tokenizer.convert_tokens_to_ids(content) for content in self._added}
        self.written: frozenset[str] = frozenset()
        self._any = _pattern(self.ids)

    def found(self, text: str) -> list[str]:
        """Return the control tokens that stand in a text and are read as text there, each once."""
        if not self._any.search(text):
            return []
        return [each for each in dict.fromkeys(self._any.findall(text)) if each not in self.written]

    def keep(self, templates: str) -> None:
        """Let control tokens that a campaign's own templates write stay control, in place of those of another one."""
        self.written = frozenset(self._any.findall(templates))

    def tokens(self, text: str, frame: Sequence[Span]) -> list[int]:
        """Return the tokens of a text with control tokens in its frame only.

        Args:
            text: the whole text.
            frame: begins and ends of the parts that the chat template wrote.

        Raises:
            Unanswerable: if the tokenizer cannot keep control tokens and text apart.
        """
        tokens: list[int] = []
        at, strips = 0, False
        for begin, end in self._control(text, frame):
            content = text[begin:end]
            before = text[at:begin].rstrip() if self._added[content].lstrip else text[at:begin]
            tokens += [*self._plain(before.lstrip() if strips else before, first=not at), self.ids[content]]
            at, strips = end, self._added[content].rstrip
        return tokens + self._plain(text[at:].lstrip() if strips else text[at:], first=not at)

    def _control(self, text: str, frame: Sequence[Span]) -> list[Span]:
        """Return the places of control tokens: any in the frame, elsewhere those that the templates write."""
        written = _pattern(self.written)
        places: list[Span] = []
        at = 0
        for begin, end in [*frame, (len(text), len(text))]:
            places += [match.span() for match in written.finditer(text, at, begin)]
            places += [match.span() for match in self._any.finditer(text, begin, end)]
            at = end
        return places

    def _plain(self, text: str, first: bool) -> list[int]:
        """Return the tokens of a text without control tokens, which are others for the first part of a text."""
        return self._copied(text, first) if text and self._separates else []

    def _copied(self, text: str, first: bool) -> list[int]:
        ids = self._copy.encode(text if first else BETWEEN + text, add_special_tokens=False).ids
        return ids if first else ids[1:]

    @cached_property
    def _copy(self) -> Tokenizer:
        """A copy of the tokenizer that reads control tokens as text, and knows ``BETWEEN``."""
        copy = Tokenizer.from_str(self.tokenizer.backend_tokenizer.to_str())
        copy.no_padding()
        copy.no_truncation()
        copy.add_special_tokens([AddedToken(content, special=True) for content in self.ids])
        copy.add_tokens([AddedToken(BETWEEN, normalized=False)])
        copy.encode_special_tokens = True
        return copy

    @cached_property
    def _separates(self) -> bool:
        """True.

        Raises:
            Unanswerable: if the tokenizer reads control tokens as such in any case, or gives other tokens for a
                text's parts.
        """
        control = set(self.ids.values())
        for content in self.ids:
            if control & set(self._copied(PROBE.format(content), first=True)):
                raise Unanswerable(
                    f"the text {content!r}: expected a tokenizer that can read it as text, found a control token"
                )
        whole = self.tokenizer(PROBE.join(["", *self.ids, ""]), add_special_tokens=False).input_ids
        parts = self._copied(PROBE, first=True)
        for number in self.ids.values():
            parts += [number, *self._copied(PROBE, first=False)]
        if whole != parts:
            raise Unanswerable("a text with a control token: expected the tokens of its parts, found others")
        return True


def _marked(content: str) -> bool:
    """Return whether a token looks like markup: white space and words can be tokens of their own, too."""
    return len(content) > 2 and content[0] + content[-1] in ("<>", "[]")


def _pattern(contents: Collection[str]) -> re.Pattern[str]:
    """Return what finds any of some texts, the longest first; nothing if there are none."""
    ordered = sorted(contents, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, ordered)) or r"(?!)")
