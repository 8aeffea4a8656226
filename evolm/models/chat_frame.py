"""Chat templates: the text that a tokenizer's template puts around the user's message."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from jinja2 import TemplateError

from evolm.errors import ModelError

# What a template that asks for the date is told, so that a prompt is the same tomorrow: Llama 3's own default.
DATE = datetime(2024, 7, 26)
PLACEHOLDER = "\u2060evolm\u2060"  # stands for content while a template is rendered; occurs in no text


DRAWN = re.compile(r"\|\s*random\b|\blipsum\s*\(")  # Jinja2's filter and function that draw at random
ASKED = re.compile(r"""strftime_now\(\s*(?P<quote>['"])(?P<form>[^'"\\]*)(?P=quote)\s*\)""")
UNUSABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError, TemplateError)


class ChatTemplate:
    """The chat template of one tokenizer.

    Args:
        tokenizer: with a chat template.
        model: name of the model, for messages.

    Attributes:
        dated: whether the template asks for today's date.
        date: the date that it is told.

    Raises:
        ModelError: if the template draws at random, or asks for the date in a form that it computes.
    """

    date = DATE

    def __init__(self, tokenizer: Any, model: str) -> None:
        self.tokenizer = tokenizer
        self.model = model
        try:
            source = tokenizer.get_chat_template()
        except ValueError as error:
            raise ModelError(f"model {model!r}: its chat template cannot be used: {error}") from None
        if DRAWN.search(source):
            raise ModelError(
                f"model {model!r}: expected a chat template that writes the same text each time, found random draws"
            )
        self.dated = "strftime_now(" in source
        self._source = ASKED.sub(lambda asked: repr(DATE.strftime(asked["form"])), source)
        if "strftime_now(" in self._source:
            raise ModelError(
                f"model {model!r}: expected a chat template that spells out the date's form, found a computed one"
            )
        self._frames: dict[str, tuple[str, str]] = {}  # system message -> text before and after the user's message

    def frame(self, system: str) -> tuple[str, str]:
        """Return the text before and after the user's message, up to the start of the answer.

        Args:
            system: system message; empty = none, even if the template has a default one.

        Raises:
            ModelError: if the template does not show the user's message, or refuses a system message.
        """
        if system not in self._frames:
            user = {"role": "user", "content": PLACEHOLDER}
            try:
                if system:
                    text = self.render([{"role": "system", "content": system}, user])
                else:
                    text = self._without_default_system(user)
            except UNUSABLE as error:
                raise ModelError(
                    f"model {self.model!r}: its chat template cannot be used"
                    f"{' with a system message (template.system)' if system else ''}: {error}"
                ) from None
            before, found, after = text.partition(PLACEHOLDER)
            if not found:
                raise ModelError(
                    f"model {self.model!r}: expected a chat template that shows the user's message, "
                    "found one without it; set model.chat_template = 'off'"
                )
            self._frames[system] = before, after
        return self._frames[system]

    def render(self, messages: list[dict[str, str]], generate: bool = True) -> str:
        """Return rendered messages; with ``generate`` up to the start of the assistant's answer."""
        return self.tokenizer.apply_chat_template(
            messages, chat_template=self._source, tokenize=False, add_generation_prompt=generate
        )

    def _without_default_system(self, user: dict[str, str]) -> str:
        """Render one user message without the system message that some templates add by default."""
        alone = self.render([user])
        system = {"role": "system", "content": PLACEHOLDER + "system"}
        try:
            both, only = self.render([system, user]), self.render([system], generate=False)
        except UNUSABLE:
            return alone  # the template accepts no system message, so it adds none
        if not both.startswith(only):
            return alone
        turn = both[len(only) :]
        bos = self.tokenizer.bos_token or ""
        if bos and alone.startswith(bos) and not turn.startswith(bos):
            turn = bos + turn
        return turn
