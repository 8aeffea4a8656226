"""PEFT's LoRA with a plain loop of PyTorch: learning rate and number of epochs are chosen on dev rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from benchmarks.peers.contract import LEARNT, Found, Setting
from benchmarks.peers.reader import Reader
from evolm.tasks import Item

RATES = (1e-3, 3e-4, 3e-3)  # in the order in which they are tried
EPOCHS = 4
BATCH = 8
RANK = 8


def search(setting: Setting) -> Found:
    """Learn adapters within the budget, and answer the test rows with the one that is best on dev rows."""
    tuning = Tuning(setting)
    best: dict[str, Any] = {"dev": -1.0, "rate": 0.0, "epoch": 0, "weights": tuning.weights()}
    affordable = min(setting.meter.items / tuning.cost_of_epoch, len(RATES))  # all of them if items have no limit
    rates = RATES[: max(1, int(affordable))]
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


class Tuning(Reader):
    """The model with an adapter.

    Args:
        setting: rows, seed and budget.
    """

    def __init__(self, setting: Setting) -> None:
        from peft import LoraConfig, get_peft_model

        torch.manual_seed(setting.seed)
        adapter = LoraConfig(
            r=RANK, lora_alpha=2 * RANK, lora_dropout=0.05, target_modules="all-linear", task_type="CAUSAL_LM"
        )
        super().__init__(setting, get_peft_model(setting.chat.model, adapter))
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
            self._learn(batch)
            meter.charge(LEARNT * len(batch))
            learnt = True
        return learnt

    def _learn(self, rows: list[Item]) -> None:
        ids, mask, labels = self.padded([self.pair(item, str(item.gold)) for item in rows])
        loss = self.model(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_([each for each in self.model.parameters() if each.requires_grad], 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
