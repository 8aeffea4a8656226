"""The contract between a language model and everything that asks it, whether it is local or behind a server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

from evolm.errors import ConfigError
from evolm.models.requests import Answer, LogLikelihood, ReadyRequest, Request
from evolm.models.served.names import is_served
from evolm.models.specs import PassSettings, PreparedModel

if TYPE_CHECKING:
    from evolm.models.language_model import LanguageModel


class Model(Protocol):
    """A language model with its tokenizer, or a server that has both.

    Answers are computed by an executor of :mod:`evolm.evaluation`; the model brings requests into the form in which
    they are answered, and reads the answers.
    """

    @property
    def prepared(self) -> PreparedModel:
        """Name and fingerprint; of a server, without a folder."""

    @property
    def passes(self) -> PassSettings:
        """Sizes of forward passes."""

    @property
    def profile(self) -> Any:
        """Everything besides the model and a request that decides an answer: ``digest``, ``to_record()``."""

    @property
    def chat(self) -> bool:
        """Whether prompts are wrapped in a chat template unless a request says otherwise."""

    @property
    def template(self) -> Any:
        """The chat template."""

    @property
    def control(self) -> Any:
        """The control tokens of the tokenizer."""

    @property
    def context_length(self) -> int:
        """Most tokens of a text."""

    @property
    def layers(self) -> int:
        """Layers whose states can be read; 0 = none."""

    @property
    def width(self) -> int:
        """Channels of a hidden state; 0 = there are none."""

    def tokenize(self, requests: Sequence[Request]) -> Sequence[ReadyRequest]:
        """Return every request, in order, in the form in which it is answered.

        Raises:
            Unanswerable: if the model cannot be asked about a text.
            ModelError: if the model cannot answer requests of this kind.
        """

    def read(self, request: Any, stored: bytes) -> Answer:
        """Return an answer from the bytes of an executor's array."""

    def answer_lengths(self, request: LogLikelihood) -> list[int]:
        """Return the number of tokens of each continuation, in order."""

    def count_tokens(self, text: str) -> int:
        """Return the number of a text's tokens, special tokens excluded; estimated if a server has the tokenizer."""

    def render(self, request: Request) -> tuple[str, str, tuple[str, ...]]:
        """Return prefix, item and continuations as text, with the chat template if it is known."""

    def render_messages(self, messages: list[dict[str, str]]) -> str:
        """Return messages as text, up to the start of the answer."""


def require_local(model: Model, what: str) -> LanguageModel:
    """Return a model whose weights and hidden states are at hand.

    Args:
        model: any model.
        what: the setting that needs them, for the message.

    Raises:
        ConfigError: if the model is behind a server.
    """
    if is_served(model.prepared.name):
        raise ConfigError(f"{what}: expected a local model, found the server {model.prepared.name!r}, {REFUSED}")
    return cast("LanguageModel", model)


REFUSED = "which gives access neither to weights nor to hidden states"
