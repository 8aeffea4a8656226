"""DSPy: few-shot prompts by bootstrapping and random search, and MIPROv2, through an OpenAI-compatible server."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

from benchmarks.peers.contract import LONG, SHORT, Found, Setting
from benchmarks.peers.openai_server import NAME, serving
from evolm.tasks import Form, Item

FRAME = 24  # tokens of the marks around an answer that DSPy asks for
DEMONSTRATIONS = 4
ERRORS = 1_000_000  # answers that DSPy may fail to read before it gives up; each is wrong


def bootstrapped(setting: Setting) -> Found:
    """Run ``BootstrapFewShotWithRandomSearch`` with as many candidates as the items pay for."""
    return search(setting, _bootstrap)


def mipro(setting: Setting) -> Found:
    """Run ``MIPROv2`` in its mode *light*."""
    return search(setting, _mipro)


def search(setting: Setting, compiled: Callable[..., Any]) -> Found:
    """Compile a program within the budget, and answer the test rows with it."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # read at import: prices are not asked for online
    import dspy

    logging.getLogger("dspy").setLevel(logging.ERROR)
    most = setting.longest if setting.form is Form.TEXT else SHORT
    with serving(setting.chat) as address, redirect_stdout(StringIO()):
        common = {"api_base": address, "api_key": "none", "cache": False, "num_retries": 0}
        answering = dspy.LM(f"openai/{NAME}", max_tokens=most + FRAME, temperature=0.0, **common)
        proposing = dspy.LM(f"openai/{NAME}", max_tokens=LONG, temperature=1.0, **common)
        with dspy.context(lm=answering, num_threads=1, max_errors=ERRORS):
            student = dspy.Predict(_signature(setting))
            rows = {item.digest: item for item in (*setting.task.train, *setting.dev)}
            program = compiled(
                setting,
                student,
                metric=lambda example, found, trace=None: setting.score(
                    rows[example.digest], str(getattr(found, "answer", "") or "")
                ),
                trainset=_examples(setting, setting.task.train),
                valset=_examples(setting, setting.dev),
                proposing=proposing,
            )
            setting.meter.end_search()
            texts = [_answer(program, setting.text(item)) for item in setting.task.test]
    return Found(setting.outcomes(texts), _shown(program))


def _bootstrap(setting: Setting, student: Any, *, metric: Any, trainset: Any, valset: Any, proposing: Any) -> Any:
    from dspy.teleprompt import BootstrapFewShotWithRandomSearch

    each = len(valset) + 2 * DEMONSTRATIONS
    # Three programs are tried before the random ones: without demonstrations, with labelled and with written ones.
    candidates = max(1, int(min(setting.meter.items / each - 3, 16)))
    optimizer = BootstrapFewShotWithRandomSearch(
        metric=metric,
        max_bootstrapped_demos=DEMONSTRATIONS,
        max_labeled_demos=DEMONSTRATIONS,
        num_candidate_programs=candidates,
        num_threads=1,
        max_errors=ERRORS,
    )
    return optimizer.compile(student, trainset=_shuffled(setting, trainset), valset=valset)


def _mipro(setting: Setting, student: Any, *, metric: Any, trainset: Any, valset: Any, proposing: Any) -> Any:
    from dspy.teleprompt import MIPROv2
    from dspy.utils.exceptions import AdapterParseError

    optimizer = MIPROv2(
        metric=metric,
        prompt_model=proposing,
        auto="light",
        max_bootstrapped_demos=DEMONSTRATIONS,
        max_labeled_demos=DEMONSTRATIONS,
        num_threads=1,
        max_errors=ERRORS,
        seed=setting.seed,
    )
    try:
        return optimizer.compile(student, trainset=_shuffled(setting, trainset), valset=valset)
    except AdapterParseError:  # in a proposal, where DSPy does not go on: nothing better than the start is known
        return student


def _shuffled(setting: Setting, examples: Sequence[Any]) -> list[Any]:
    """Return examples in the seed's order: DSPy draws with seeds of its own."""
    import random

    return random.Random(setting.seed).sample(list(examples), len(examples))


def _signature(setting: Setting) -> Any:
    import dspy

    known = f"one of: {', '.join(setting.words)}" if setting.words else "a short text on one line"
    fields: Mapping[str, Any] = {
        "question": (str, dspy.InputField()),
        "answer": (str, dspy.OutputField(desc=known)),
    }
    return dspy.Signature(dict(fields), setting.instructions[0])


def _examples(setting: Setting, items: Sequence[Item]) -> list[Any]:
    import dspy

    def example(item: Item) -> Any:
        whole = dspy.Example(question=setting.text(item), answer=setting.gold(item), digest=item.digest)
        return whole.with_inputs("question")

    return [example(item) for item in items]


def _answer(program: Any, question: str) -> str:
    """Return the program's answer; empty if DSPy cannot read what the model wrote."""
    from dspy.utils.exceptions import AdapterParseError

    try:
        return str(program(question=question).answer or "")
    except AdapterParseError:
        return ""


def _shown(program: Any) -> str:
    return f"{program.signature.instructions}\n({len(program.demos)} demonstrations)"
