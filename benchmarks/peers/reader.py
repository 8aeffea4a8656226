"""Answers of a model of transformers whose weights a peer changes, without a chat template.

Rows are rendered under the first founder. A label is the one whose text is likeliest; an option is the likeliest a
token; an open text is written greedily.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.peers.contract import Setting
from evolm.tasks import Form, Item

UNLEARNT = -100  # transformers' mark of a token that is not learnt

Pair = tuple[list[int], list[int]]  # tokens of prompt and answer


class Reader:
    """Reads the answers of a model to rows, on the meter of a setting.

    Args:
        setting: rows and budget.
        model: of transformers, with an adapter or without.
    """

    def __init__(self, setting: Setting, model: Any) -> None:
        self.setting, self.model, self.tokenizer = setting, model, setting.chat.tokenizer

    def dev_score(self) -> float:
        """Return the task's metric on the dev rows."""
        return self.setting.task.metric_of(self.outcomes(self.setting.dev), self.setting.dev)

    @torch.inference_mode()
    def outcomes(self, items: Sequence[Item]) -> np.ndarray:
        """Return the ``(n,)`` outcomes of some rows."""
        self.model.eval()
        is_text, found = self.setting.form is Form.TEXT, []
        for item in items:
            found.append(self._written(item) if is_text else int(self.scores(item).argmax()))
            self.setting.meter.charge(1)
        return np.array(found, dtype=float if is_text else int)

    def scores(self, item: Item) -> torch.Tensor:
        """Return the ``(n_options,)`` log-probabilities of the answers to a row, up to a constant."""
        options = self.setting.task.options_of(item)
        pairs = [self.pair(item, option) for option in options]
        firsts = [answer[0] for _, answer in pairs]
        if self.setting.form is Form.LABELS and len(set(firsts)) == len(firsts):  # the first tokens decide
            logits: torch.Tensor = self.model(input_ids=torch.tensor([pairs[0][0]])).logits[0, -1]
            return logits[firsts]
        ids, mask, labels = self.padded(pairs)
        logprobs = self.model(input_ids=ids, attention_mask=mask).logits[:, :-1].log_softmax(-1)
        wanted, targets = labels[:, 1:] != UNLEARNT, labels[:, 1:].clamp(min=0)
        sums = (logprobs.gather(-1, targets[..., None])[..., 0] * wanted).sum(-1)
        return sums / wanted.sum(-1)

    def _written(self, item: Item) -> float:
        prompt, _ = self.pair(item, "")
        ids = torch.tensor([prompt])
        written = self.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=self.setting.longest,
            do_sample=False,
            pad_token_id=self.tokenizer.eos_token_id,
        )
        return self.setting.outcome(item, self.tokenizer.decode(written[0, len(prompt) :], skip_special_tokens=True))

    def pair(self, item: Item, answer: str) -> Pair:
        """Return the tokens of a row and of an answer to it."""
        template = self.setting.task.template
        question = self.setting.instructions[0] + template.separator + template.item(item.fields, item.options)
        prompt = self.tokenizer(question, add_special_tokens=False).input_ids
        whole = self.tokenizer(question + template.answer(answer), add_special_tokens=False).input_ids
        ending = [self.tokenizer.eos_token_id] if self.setting.form is Form.TEXT else []
        return prompt, whole[len(prompt) :] + ending

    def padded(self, pairs: Sequence[Pair]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return ``(rows, n)`` tokens, mask and labels, padded on the right."""
        longest = max(len(prompt) + len(answer) for prompt, answer in pairs)
        ids = torch.full((len(pairs), longest), self.tokenizer.eos_token_id)
        mask, labels = torch.zeros_like(ids), torch.full_like(ids, UNLEARNT)
        for row, (prompt, answer) in enumerate(pairs):
            whole = prompt + answer
            ids[row, : len(whole)] = torch.tensor(whole)
            mask[row, : len(whole)] = 1
            labels[row, len(prompt) : len(whole)] = torch.tensor(answer)
        return ids, mask, labels
