"""Chat templates: the text that a tokenizer's template puts around the user's message."""

from __future__ import annotations

from typing import Any

from jinja2 import TemplateError

from evolm.errors import ModelError

PLACEHOLDER = "\u2060evolm\u2060"  # stands for content while a template is rendered; occurs in no text


class ChatTemplate:
    """The chat template of one tokenizer.

    Args:
        tokenizer: with a chat template.
        model: name of the model, for messages.
    """

    def __init__(self, tokenizer: Any, model: str) -> None:
        self.tokenizer = tokenizer
        self.model = model
        self._frames: dict[str, tuple[str, str]] = {}  # system message -> text before and after the user's message

    def frame(self, system: str) -> tuple[str, str]:
        """Return the text before and after the user's message, up to the start of the answer.

        Args:
            system: system message; empty = none, even if the template has a default one.

        Raises:
            ModelError: if the template does not show the user's message.
        """
        if system not in self._frames:
            user = {"role": "user", "content": PLACEHOLDER}
            if system:
                text = self.render([{"role": "system", "content": system}, user])
            else:
                text = self._without_default_system(user)
            before, found, after = text.partition(PLACEHOLDER)
            if not found:
                raise ModelError(f"model {self.model!r}: its chat template does not show the user's message")
            self._frames[system] = before, after
        return self._frames[system]

    def render(self, messages: list[dict[str, str]], generate: bool = True) -> str:
        """Return rendered messages; with ``generate`` up to the start of the assistant's answer."""
        return self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=generate)

    def _without_default_system(self, user: dict[str, str]) -> str:
        """Render one user message without the system message that some templates add by default."""
        alone = self.render([user])
        system = {"role": "system", "content": PLACEHOLDER + "system"}
        try:
            both, only = self.render([system, user]), self.render([system], generate=False)
        except (ValueError, TypeError, RuntimeError, TemplateError):
            return alone  # the template accepts no system message, so it adds none
        if not both.startswith(only):
            return alone
        turn = both[len(only) :]
        bos = self.tokenizer.bos_token or ""
        if bos and alone.startswith(bos) and not turn.startswith(bos):
            turn = bos + turn
        return turn
