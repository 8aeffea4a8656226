"""The model as a person without a GPU would run it: transformers' own forward pass, one answer at a time.

As llama.cpp's server does, the keys and values of the last prompt are kept, so that rows behind the same prompt read
only what differs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

from benchmarks.peers.contract import SHORT, Meter
from evolm.models import prepare
from evolm.randomness import derive_seed


@dataclass(frozen=True)
class Reply:
    """An answer: its text, and how many tokens were read and written."""

    text: str
    read: int = 0
    written: int = 0


class LocalChat:
    """A chat model in float32 on one thread.

    Args:
        name: of the model, as a campaign names it.
        meter: charged with an item for every answer; a spent one gives empty answers at once.
        seed: of sampling.
    """

    def __init__(self, name: str, meter: Meter, seed: int = 0) -> None:
        prepared = prepare(name, dtype="float32", device="cpu")
        self.folder = prepared.folder
        self.tokenizer = AutoTokenizer.from_pretrained(prepared.folder)
        self.model: Any = AutoModelForCausalLM.from_pretrained(prepared.folder, dtype=torch.float32).eval()
        self.meter = meter
        self.seed = seed
        self._lock = Lock()
        self._answers = 0
        self._known: list[int] = []
        self._cache = DynamicCache()

    def answer(
        self,
        messages: Sequence[Mapping[str, str]],
        max_tokens: int = SHORT,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        enough: Callable[[str], bool] = lambda text: False,
    ) -> Reply:
        """Return the answer to a conversation; empty if the budget of the search is spent.

        Args:
            messages: of the conversation, with ``role`` and ``content``.
            max_tokens: most new tokens.
            temperature: 0 = the likeliest token.
            stop: texts that end the answer, and are not part of it.
            enough: whether nothing behind a text matters, which then is the answer.
        """
        with self._lock:
            if self.meter.over:
                return Reply("")
            rendered = self.tokenizer.apply_chat_template(list(messages), add_generation_prompt=True, tokenize=False)
            ids = self.tokenizer(rendered, add_special_tokens=False).input_ids
            generator = torch.Generator().manual_seed(derive_seed(self.seed, "answer", self._answers) % 2**63)
            self._answers += 1
            reply = self._write(ids, max_tokens, temperature, stop, enough, generator)
            self.meter.charge(1, reply.read, reply.written)
            return reply

    @torch.inference_mode()
    def _write(
        self,
        ids: list[int],
        most: int,
        temperature: float,
        stop: Sequence[str],
        enough: Callable[[str], bool],
        generator: torch.Generator,
    ) -> Reply:
        logits, written, text = self._read(ids), [], ""
        while len(written) < most:
            token = _pick(logits, temperature, generator)
            if token == self.tokenizer.eos_token_id:
                break
            written.append(token)
            text = self.tokenizer.decode(written, skip_special_tokens=True)
            places = [at for each in stop if (at := text.find(each)) >= 0]
            if places:
                return Reply(text[: min(places)], len(ids), len(written))
            if enough(text):
                break
            if len(written) < most:
                logits = self._read([*ids, *written])
        return Reply(text, len(ids), len(written))

    def _read(self, ids: list[int]) -> torch.Tensor:
        """Return ``(vocabulary,)`` logits behind some tokens; those that are known are not read again."""
        shared = 0
        for known, token in zip(self._known, ids[:-1], strict=False):
            if known != token:
                break
            shared += 1
        if surplus := len(self._known) - shared:
            self._cache.crop(-surplus)
        states = self.model.base_model(
            input_ids=torch.tensor([ids[shared:]]), past_key_values=self._cache, use_cache=True
        ).last_hidden_state
        self._known = list(ids)
        # The head gets contiguous states, see benchmarks.plain.
        return self.model.get_output_embeddings()(states[:, -1:].contiguous())[0, -1].float()


def _pick(logits: torch.Tensor, temperature: float, generator: torch.Generator) -> int:
    if temperature <= 0:
        return int(logits.argmax())
    return int(torch.multinomial(torch.softmax(logits / temperature, -1), 1, generator=generator))
