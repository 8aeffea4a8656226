"""From log-probabilities to scores: normalisation, predictions, failures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from evolm.genomes import PromptGenome
from evolm.models import LanguageModel, LogLikelihood
from evolm.scorers import FunctionScorer, LabelLikelihood
from evolm.scorers.likelihood import LikelihoodParams
from evolm.tasks import Task

GENOME = PromptGenome("Spam?")


@pytest.fixture
def scorer(toy_task: Task, tiny_model: Callable[..., LanguageModel]) -> Callable[..., LabelLikelihood]:
    def made(normalization: str = "auto", words: dict | None = None) -> LabelLikelihood:
        model = tiny_model("float32", "off")
        return LabelLikelihood(toy_task, model, LikelihoodParams(normalization=normalization), words or {})

    return made


def answer(*continuations: list[float]) -> tuple[np.ndarray, ...]:
    return tuple(np.array(values, dtype=np.float32) for values in continuations)


def softmax(values: list[float]) -> np.ndarray:
    return np.exp(values) / np.exp(values).sum()


def test_auto_means_tokens_where_words_differ_in_length_else_sum(scorer: Any) -> None:
    uneven = scorer()
    assert uneven.describe() == {"normalization": "tokens", "word_tokens": {"ham": 4, "spam": 1}}
    even = scorer(words={"ham": ("abc",), "spam": ("xyz",)})
    assert even.describe() == {"normalization": "sum", "word_tokens": {"abc": 4, "xyz": 4}}
    assert scorer("sum").normalization == "sum"
    assert scorer("tokens").normalization == "tokens"


@pytest.mark.parametrize(("normalization", "raw"), [("sum", [-6.0, -1.0]), ("tokens", [-1.5, -1.0])])
def test_normalisation_adds_up_or_averages_tokens(normalization: str, raw: list[float], scorer: Any) -> None:
    logprobs = scorer(normalization).label_logprobs([answer([-1, -2, -1, -2], [-1])])
    assert np.allclose(np.exp(logprobs), [softmax(raw)])
    assert logprobs.dtype == np.float64
    assert np.allclose(np.exp(logprobs).sum(axis=1), 1)


def test_probabilities_of_a_real_pass_add_up_to_1(
    scorer: Any, toy_task: Task, tiny_model: Callable[..., LanguageModel]
) -> None:
    from evolm.evaluation import Engine
    from evolm.storage import AnswerStore

    likelihood = scorer()
    requests = likelihood.requests(GENOME, toy_task.dev)
    assert requests[0] == LogLikelihood(
        "Spam?\n\n", toy_task.template.item(toy_task.dev[0].fields), (" ham", " spam"), ""
    )
    engine = Engine(tiny_model("float32", "off"), AnswerStore(":memory:"))
    evaluation = likelihood.score(GENOME, engine.answer(requests), toy_task.dev)
    engine.close()
    probabilities = np.exp(evaluation.label_logprobs)
    gold = toy_task.gold_indices(toy_task.dev)
    assert np.allclose(probabilities.sum(axis=1), 1)
    assert np.allclose(evaluation.scores, probabilities[np.arange(36), gold])
    assert np.array_equal(evaluation.predictions, probabilities.argmax(axis=1))
    recalls = [np.mean(evaluation.predictions[gold == label] == label) for label in (0, 1)]
    assert evaluation.objective == evaluation.score == pytest.approx(np.mean(recalls))
    assert evaluation.failures == {}
    assert evaluation.tie_break < 0


def all_right(task: Task, sure: float) -> list[tuple[np.ndarray, ...]]:
    return [answer([-sure], [0.0]) if item.gold == "spam" else answer([0.0], [-sure]) for item in task.dev]


def test_the_tie_break_prefers_the_surer_of_two_equals(scorer: Any, toy_task: Task) -> None:
    likelihood = scorer("sum")
    surer, less = (likelihood.score(GENOME, all_right(toy_task, sure), toy_task.dev) for sure in (3.0, 1.0))
    assert surer.objective == less.objective == 1
    assert surer.tie_break > less.tie_break


def test_one_hopeless_item_does_not_decide_the_tie_break(scorer: Any, toy_task: Task) -> None:
    answers = all_right(toy_task, 3.0)
    answers[0] = answers[0][::-1]
    hopeless = [(a * np.float32(1000)) for a in answers[0]]
    evaluation = scorer("sum").score(GENOME, [tuple(hopeless), *answers[1:]], toy_task.dev)
    assert -1 < evaluation.tie_break < 0


def test_log_probabilities_that_are_no_numbers_are_failures_with_a_reason(scorer: Any, toy_task: Task) -> None:
    answers = all_right(toy_task, 3.0)
    answers[2] = answer([np.nan], [0.0])
    answers[4] = answer([-np.inf], [-np.inf])
    with np.errstate(invalid="ignore"):
        evaluation = scorer("sum").score(GENOME, answers, toy_task.dev)
    assert evaluation.failures == dict.fromkeys((2, 4), "the model's log-probabilities are not finite")
    assert np.isnan(evaluation.objective)
    assert np.isnan(evaluation.scores[[2, 4]]).all()
    assert evaluation.predictions[[2, 4]].tolist() == [-1, -1]
    assert np.isfinite(evaluation.scores[[0, 1, 3]]).all()


def test_a_task_without_gold_gets_predictions_and_no_score(scorer: Any, toy_task: Task) -> None:
    likelihood = scorer("sum")
    likelihood.task = replace(toy_task, has_gold=False)
    evaluation = likelihood.score(GENOME, all_right(toy_task, 3.0), toy_task.dev)
    assert evaluation.predictions.tolist() == toy_task.gold_indices(toy_task.dev).tolist()
    assert np.isnan(evaluation.objective)
    assert evaluation.failures == {}


# -- functions -----------------------------------------------------------------------------------------------


def test_a_function_scores_each_item_by_the_prediction(scorer: Any, toy_task: Task) -> None:
    calls = []

    def function(item: Any, label: str, probabilities: dict[str, float]) -> float:
        calls.append((item.digest, label, sum(probabilities.values())))
        return 2.0 if label == "spam" else 1.0

    evaluation = FunctionScorer(function, scorer("sum")).score(GENOME, all_right(toy_task, 3.0), toy_task.dev)
    spam = [item.gold == "spam" for item in toy_task.dev]
    assert evaluation.objective == pytest.approx(1 + np.mean(spam))
    assert evaluation.score == 1
    assert [c[0] for c in calls] == [item.digest for item in toy_task.dev]
    assert all(label == item.gold for (_, label, _), item in zip(calls, toy_task.dev, strict=True))
    assert np.allclose([c[2] for c in calls], 1)


@pytest.mark.parametrize(
    ("misbehave", "reason"),
    [
        (lambda: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda: float("nan"), "the function returned nan"),
        (lambda: float("inf"), "the function returned inf"),
        (lambda: "much", "ValueError: could not convert string to float: 'much'"),
        (lambda: None, "TypeError: "),
    ],
)
def test_a_function_that_fails_on_one_item_fails_that_item(
    misbehave: Any, reason: str, scorer: Any, toy_task: Task
) -> None:
    odd = toy_task.dev[3]

    def function(item: Any, label: str, probabilities: dict[str, float]) -> Any:
        return misbehave() if item is odd else 1.0

    evaluation = FunctionScorer(function, scorer("sum")).score(GENOME, all_right(toy_task, 3.0), toy_task.dev)
    assert list(evaluation.failures) == [3]
    assert evaluation.failures[3].startswith(reason)
    assert np.isnan(evaluation.objective)


def test_ctrl_c_inside_a_function_is_no_failed_item(scorer: Any, toy_task: Task) -> None:
    def function(*_: Any) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FunctionScorer(function, scorer("sum")).score(GENOME, all_right(toy_task, 3.0), toy_task.dev)
