"""PEFT's LoRA with a plain loop of PyTorch: learning rate and number of epochs are chosen on dev rows.

Rows are rendered under the first founder, without a chat template. A label is the one whose text is likeliest; an
option is the likeliest a token; an open text is written greedily.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.peers.contract import LEARNT, Found, Setting
from evolm.tasks import Form, Item

RATES = (1e-3, 3e-4, 3e-3)  # in the order in which they are tried
EPOCHS = 4
BATCH = 8
RANK = 8
UNLEARNT = -100  # transformers' mark of a token that is not learnt

Pair = tuple[list[int], list[int]]  # tokens of prompt and answer


def search(setting: Setting) -> Found:
    """Learn adapters within the budget, and answer the test rows with the one that is best on dev rows."""
    tuning = Tuning(setting)
    best: dict[str, Any] = {"dev": -1.0, "rate": 0.0, "epoch": 0, "weights": tuning.weights()}
    rates = RATES[: max(1, int(min(setting.meter.items // tuning.cost_of_epoch, len(RATES))))]
    for number, rate in enumerate(rates):
        share = (number + 1) / len(rates)
        tuning.restart(rate)
        for epoch in range(1, EPOCHS + 1):
            if not tuning.epoch(share):
                break
            score = tuning.dev_score()
            if score > best["dev"]:
                best = {"dev": score, "rate": rate, "epoch": epoch, "weights": tuning.weights()}
    tuning.load(best["weights"])
    setting.meter.end_search()
    return Found(tuning.outcomes(setting.task.test), f"learning rate {best['rate']}, {best['epoch']} epochs")


class Tuning:
    """The model with an adapter.

    Args:
        setting: rows, seed and budget.
    """

    def __init__(self, setting: Setting) -> None:
        from peft import LoraConfig, get_peft_model

        self.setting, self.tokenizer = setting, setting.chat.tokenizer
        torch.manual_seed(setting.seed)
        adapter = LoraConfig(
            r=RANK, lora_alpha=2 * RANK, lora_dropout=0.05, target_modules="all-linear", task_type="CAUSAL_LM"
        )
        self.model: Any = get_peft_model(setting.chat.model, adapter)
        self.first = self.weights()
        self.order = np.random.default_rng(setting.seed)
        self.optimizer: Any = None

    @property
    def cost_of_epoch(self) -> int:
        """Items of learning all train rows once, and answering the dev rows."""
        return LEARNT * len(self.setting.task.train) + len(self.setting.dev)

    def weights(self) -> dict[str, torch.Tensor]:
        """Return a copy of the adapter."""
        return {name: value.detach().clone() for name, value in self.model.named_parameters() if value.requires_grad}

    def load(self, weights: dict[str, torch.Tensor]) -> None:
        """Put an adapter in the place of the model's."""
        for name, value in self.model.named_parameters():
            if name in weights:
                value.data.copy_(weights[name])

    def restart(self, rate: float) -> None:
        """Begin again with the first adapter and another learning rate."""
        self.load(self.first)
        learnt = [value for value in self.model.parameters() if value.requires_grad]
        self.optimizer = torch.optim.AdamW(learnt, lr=rate)

    def epoch(self, share: float) -> bool:
        """Learn the train rows once, as far as the budget goes; return whether any row was learnt.

        Args:
            share: of the budget, that may be spent by then; dev rows are kept in reserve.
        """
        rows = [self.setting.task.train[index] for index in self.order.permutation(len(self.setting.task.train))]
        meter, learnt = self.setting.meter, False
        limit = share * meter.items - len(self.setting.dev)
        self.model.train()
        for begin in range(0, len(rows), BATCH):
            batch = rows[begin : begin + BATCH]
            if meter.spends(share) or meter.spent["items"] + LEARNT * len(batch) > limit:
                break
            self._learn([self._pair(item, str(item.gold)) for item in batch])
            meter.charge(LEARNT * len(batch))
            learnt = True
        return learnt

    def _learn(self, pairs: Sequence[Pair]) -> None:
        ids, mask, labels = self._padded(pairs)
        loss = self.model(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_([each for each in self.model.parameters() if each.requires_grad], 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def dev_score(self) -> float:
        """Return the task's metric on the dev rows."""
        return self.setting.task.metric_of(self.outcomes(self.setting.dev), self.setting.dev)

    @torch.inference_mode()
    def outcomes(self, items: Sequence[Item]) -> np.ndarray:
        """Return the ``(n,)`` outcomes of some rows."""
        self.model.eval()
        found = []
        for item in items:
            found.append(self._written(item) if self.setting.form is Form.TEXT else self._chosen(item))
            self.setting.meter.charge(1)
        return np.array(found, dtype=float if self.setting.form is Form.TEXT else int)

    def _chosen(self, item: Item) -> int:
        """Return the index of the likeliest answer."""
        options = self.setting.task.options_of(item)
        pairs = [self._pair(item, option) for option in options]
        firsts = [answer[0] for _, answer in pairs]
        if self.setting.form is Form.LABELS and len(set(firsts)) == len(firsts):  # the first tokens decide
            logits = self.model(input_ids=torch.tensor([pairs[0][0]])).logits[0, -1]
            return int(logits[firsts].argmax())
        ids, mask, labels = self._padded(pairs)
        logprobs = self.model(input_ids=ids, attention_mask=mask).logits[:, :-1].log_softmax(-1)
        wanted, targets = labels[:, 1:] != UNLEARNT, labels[:, 1:].clamp(min=0)
        sums = (logprobs.gather(-1, targets[..., None])[..., 0] * wanted).sum(-1)
        return int((sums / wanted.sum(-1)).argmax())

    def _written(self, item: Item) -> float:
        prompt, _ = self._pair(item, "")
        ids = torch.tensor([prompt])
        written = self.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=self.setting.longest,
            do_sample=False,
            pad_token_id=self.tokenizer.eos_token_id,
        )
        return self.setting.outcome(item, self.tokenizer.decode(written[0, len(prompt) :], skip_special_tokens=True))

    def _pair(self, item: Item, answer: str) -> Pair:
        template = self.setting.task.template
        question = self.setting.instructions[0] + template.separator + template.item(item.fields, item.options)
        prompt = self.tokenizer(question, add_special_tokens=False).input_ids
        whole = self.tokenizer(question + template.answer(answer), add_special_tokens=False).input_ids
        ending = [self.tokenizer.eos_token_id] if self.setting.form is Form.TEXT else []
        return prompt, whole[len(prompt) :] + ending

    def _padded(self, pairs: Sequence[Pair]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
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
