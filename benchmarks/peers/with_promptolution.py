"""promptolution: EvoPrompt (GA, DE), CAPO and OPRO, with the model in the same process.

Its own ``LocalLLM`` asks a transformers pipeline for 256 new tokens in bfloat16 for every row, which takes seconds
a row on a CPU without bfloat16 units. The class here has its interface and its system prompt, and answers by
:class:`benchmarks.peers.chat.LocalChat` with as many tokens as an answer needs. The first occurrence of a label is
the answer, as in promptolution's ``FirstOccurrencePredictor``.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

import numpy as np

from benchmarks.peers.contract import LONG, BudgetSpent, Found, Setting
from evolm.tasks import Form

BLOCK = 16  # dev rows of a block, which CAPO races on
SHARE = 3  # the first population costs at most 1 / SHARE of the items
FEWEST = 4  # prompts that differential evolution combines
STEPS = 10_000  # the budget ends the search


def peer(optimizer: str) -> Callable[[Setting], Found]:
    """Return the peer of one of promptolution's optimizers: ``CAPO``, ``EvoPromptDE``, ``EvoPromptGA``, ``OPRO``."""
    return lambda setting: search(setting, optimizer)


def search(setting: Setting, optimizer: str) -> Found:
    """Optimize a prompt within the budget, and answer the test rows with the best one."""
    import promptolution.optimizers as optimizers

    random.seed(setting.seed)
    np.random.seed(setting.seed)
    predictor = _predictor(setting)
    options: dict[str, Any] = {"create_fs_reasoning": False} if optimizer == "CAPO" else {}
    if optimizer == "CAPO":
        options["df_few_shots"] = _frame(setting, setting.task.train)
    # OPRO's examples and all others' rows come from the dev rows; demonstrations of CAPO from the train rows.
    searching = getattr(optimizers, optimizer)(
        predictor=predictor,
        task=_task(setting),
        meta_llm=_model(setting, LONG, temperature=1.0),
        initial_prompts=_initial(setting),
        **options,
    )
    with suppress(BudgetSpent):
        searching.optimize(STEPS)
    best = _best(searching)
    setting.meter.end_search()
    texts = [setting.text(item) for item in setting.task.test]
    answers, _ = predictor.predict([best] * len(texts), texts)
    upper = setting.form is Form.OPTIONS  # letters, which promptolution compares in lower case
    return Found(setting.outcomes([answer.upper() for answer in answers] if upper else answers), best)


def _best(searching: Any) -> str:
    """Return the best prompt of the last finished step; the first one before that."""
    scores = list(searching.scores)
    prompts = searching.prompts
    chosen = prompts[int(np.argmax(scores))] if len(scores) == len(prompts) else prompts[0]
    return str(chosen.construct_prompt())


def _initial(setting: Setting) -> list[str]:
    """Return as many founders as leave most of the budget to the search."""
    affordable = setting.meter.items / (SHARE * len(setting.dev))
    count = max(FEWEST, min(len(setting.instructions), int(min(affordable, 1e6))))
    return setting.instructions[:count]


def _model(setting: Setting, most: int, temperature: float = 0.0, words: Collection[str] = ()) -> Any:
    """Return the model; with ``words``, an answer ends behind the first of them, since nothing else is read."""
    from promptolution.llms.base_llm import BaseLLM

    def named(text: str) -> bool:
        whole = text.split()[:-1]  # the last word may go on
        return any("".join(filter(str.isalnum, word)).lower() in words for word in whole)

    class Local(BaseLLM):
        def __init__(self) -> None:
            super().__init__()
            self.tokenizer = setting.chat.tokenizer

        def _get_response(self, prompts: list[str], system_prompts: list[str]) -> list[str]:
            replies = []
            for prompt, system in zip(prompts, system_prompts, strict=True):
                if setting.meter.over:
                    raise BudgetSpent
                messages = [{"role": "system", "content": system}, {"role": "user", "content": prompt}]
                reply = setting.chat.answer(messages, most, temperature, enough=named)
                replies.append(reply.text)
            return replies

    return Local()


def _predictor(setting: Setting) -> Any:
    from promptolution.predictors import FirstOccurrencePredictor
    from promptolution.predictors.base_predictor import BasePredictor

    if setting.form is not Form.TEXT:
        words = [word.lower() for word in setting.words]
        return FirstOccurrencePredictor(_model(setting, setting.longest, words=words), words)

    class FirstLine(BasePredictor):
        def _extract_preds(self, preds: list[str]) -> list[str]:
            return [(each.strip().split("\n") or [""])[0] for each in preds]

    return FirstLine(_model(setting, setting.longest))


def _frame(setting: Setting, items: Any) -> Any:
    import pandas as pd

    return pd.DataFrame({"x": [setting.text(item) for item in items], "y": [setting.gold(item) for item in items]})


def _task(setting: Setting) -> Any:
    from promptolution.tasks import ClassificationTask, RewardTask

    common: dict[str, Any] = {
        "df": _frame(setting, setting.dev),
        "x_column": "x",
        "y_column": "y",
        "task_description": setting.instructions[0],
        "n_subsamples": BLOCK,
        "seed": setting.seed,
    }
    if setting.form is not Form.TEXT:
        return ClassificationTask(**common)
    by_gold = {setting.gold(item): item for item in setting.dev}
    return RewardTask(
        reward_function=lambda prediction, y: setting.score(by_gold[y], prediction), reward_columns=["y"], **common
    )
