"""GEPA: reflective evolution of an instruction, with the model as its own critic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.peers.contract import LONG, Found, Setting
from evolm.tasks import Item

PART = "instruction"
MOST_CALLS = 100_000  # if only time is limited


def search(setting: Setting) -> Found:
    """Optimize an instruction within the budget, and answer the test rows with it."""
    import gepa
    from gepa.adapters.default_adapter.default_adapter import DefaultAdapter, EvaluationResult

    rows = {setting.text(item): item for item in (*setting.task.train, *setting.dev)}

    def answer(messages: Sequence[Any]) -> str:
        return setting.chat.answer(messages, setting.longest).text

    def reflect(prompt: Any) -> str:
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        return setting.chat.answer(messages, LONG, temperature=1.0).text

    def evaluate(data: Any, response: str) -> EvaluationResult:
        score = setting.score(rows[data["input"]], response)
        return EvaluationResult(score, f"The right answer is '{data['answer']}'.", None)

    found = gepa.optimize(
        seed_candidate={PART: setting.instructions[0]},
        trainset=_data(setting, setting.task.train),
        valset=_data(setting, setting.dev),
        adapter=DefaultAdapter(model=answer, evaluator=evaluate),
        reflection_lm=reflect,
        max_metric_calls=int(min(setting.meter.items, MOST_CALLS)),
        stop_callbacks=lambda state: setting.meter.over,
        seed=setting.seed,
        logger=_Silent(),
    )
    best = found.best_candidate[PART]
    setting.meter.end_search()
    texts = [
        answer([{"role": "system", "content": best}, {"role": "user", "content": setting.text(item)}])
        for item in setting.task.test
    ]
    return Found(setting.outcomes(texts), best)


class _Silent:
    """A logger of GEPA."""

    def log(self, message: str) -> None:
        """Log nothing."""


def _data(setting: Setting, items: Sequence[Item]) -> list[Any]:
    return [{"input": setting.text(item), "additional_context": {}, "answer": setting.gold(item)} for item in items]
