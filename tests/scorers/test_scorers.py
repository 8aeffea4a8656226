"""From answers to scores: normalisation, calibration, predictions, information, failures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from evolm.genomes import Phenotype, Prompt, Readout
from evolm.models import Generate, Generated, LanguageModel, LogLikelihood, LogProbs
from evolm.readout_kinds import CONTEXTUAL
from evolm.readouts import calibrated
from evolm.scorers import SCORERS, Evaluation, FunctionParams, FunctionScorer
from evolm.scorers.labels import CONTENT_FREE
from evolm.scorers.likelihood import label_entropy
from evolm.scorers.mutual_information import pointwise_information
from evolm.tasks import Item, Task
from evolm.testing.small import scoring

GENOME = Prompt("Spam?")
SHOWN = Phenotype(GENOME)
Rounds = Callable[[Sequence[Any]], Sequence[Any]]


def hold(dialogue: Any, *rounds: Any) -> Evaluation:
    """Hold a dialogue with canned answers: a list a round, or a function from its requests to them."""
    requests = next(dialogue)
    for answers in rounds:
        try:
            requests = dialogue.send(answers(requests) if callable(answers) else answers)
        except StopIteration as end:
            return end.value
    raise AssertionError(f"the scorer asks for more: {requests}")


@pytest.fixture
def made(toy_task: Task, tiny_model: Callable[..., LanguageModel]) -> Callable[..., Any]:
    """Return ``made(name="label_likelihood", task=toy_task, params={}, **scoring)``."""

    def scorer(name: str = "label_likelihood", task: Task = toy_task, params: Any = None, **more: Any) -> Any:
        made_from = scoring(task, tiny_model("float32", "off"), **more)
        return SCORERS[name](made_from, SCORERS[name].Params(**(params or {})))

    return scorer


def answer(*continuations: list[float], joined: int = 0) -> LogProbs:
    return LogProbs((np.array(values, dtype=np.float32) for values in continuations), joined)


def softmax(values: list[float]) -> np.ndarray:
    return np.exp(values) / np.exp(values).sum()


def all_right(task: Task, sure: float) -> list[LogProbs]:
    return [answer([-sure], [0.0]) if item.gold == "spam" else answer([0.0], [-sure]) for item in task.dev]


# -- label probabilities -------------------------------------------------------------------------------------


def test_auto_means_tokens_where_words_differ_in_length_else_sum(made: Any) -> None:
    assert made().describe() == {"normalization": "tokens", "word_tokens": {"ham": 4, "spam": 1}}
    even = made(words={"ham": ("abc",), "spam": ("xyz",)})
    assert even.describe() == {"normalization": "sum", "word_tokens": {"abc": 4, "xyz": 4}}
    assert made(normalization="characters").labels.normalization == "characters"


@pytest.mark.parametrize(
    ("normalization", "raw"), [("sum", [-6.0, -1.0]), ("tokens", [-1.5, -1.0]), ("characters", [-2.0, -0.25])]
)
def test_normalisation_adds_up_or_averages(normalization: str, raw: list[float], made: Any, toy_task: Task) -> None:
    labels = made(normalization=normalization).labels
    logprobs = labels.read(GENOME, [answer([-1, -2, -1, -2], [-1])], toy_task.dev[:1])
    assert np.allclose(np.exp(logprobs), [softmax(raw)])
    assert logprobs.dtype == np.float64


def test_characters_of_the_item_that_are_scored_with_the_answers_count_for_each(made: Any, toy_task: Task) -> None:
    labels = made(normalization="characters").labels
    logprobs = labels.read(GENOME, [answer([-1, -2, -1, -2], [-1, -3], joined=2)], toy_task.dev[:1])
    assert np.allclose(np.exp(logprobs), [softmax([-6 / 5, -4 / 6])])


def test_a_request_holds_the_prompt_the_item_and_every_label(made: Any, toy_task: Task) -> None:
    (request, *_) = next(made().dialogue(SHOWN, toy_task.dev))
    text = toy_task.template.item(toy_task.dev[0].fields)
    assert request == LogLikelihood("Spam?\n\n", text, (" ham", " spam"))


def test_a_contextual_readout_also_asks_about_content_free_inputs(made: Any, toy_task: Task) -> None:
    scorer, items = made(normalization="sum"), toy_task.dev[:4]
    priors = [answer([-2.0], [-0.5]), answer([-3.0], [-0.1]), answer([-1.0], [-1.0])]

    def answers(requests: Sequence[LogLikelihood]) -> list[Any]:
        assert [r.item for r in requests[4:]] == [toy_task.template.item({"text": text}) for text in CONTENT_FREE]
        return [*all_right(toy_task, 2.0)[:4], *priors]

    evaluation = hold(scorer.dialogue(Phenotype(GENOME, readout=Readout(CONTEXTUAL)), items), answers)
    prior = np.mean([softmax([-2.0, -0.5]), softmax([-3.0, -0.1]), softmax([-1.0, -1.0])], axis=0)
    plain = np.array([softmax([-2.0, 0.0]) if i.gold == "spam" else softmax([0.0, -2.0]) for i in items])
    expected = plain / prior
    assert np.allclose(np.exp(evaluation.label_logprobs), expected / expected.sum(axis=1, keepdims=True))


def test_calibration_leaves_missing_options_missing() -> None:
    logprobs = np.log(
        np.array([[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]]) + 0.0, where=[[1, 1, 0], [1, 1, 1]], out=np.full((2, 3), -np.inf)
    )
    prior = np.log(
        np.array([[0.8, 0.2, 0.0], [0.2, 0.3, 0.5]]), where=[[1, 1, 0], [1, 1, 1]], out=np.full((2, 3), -np.inf)
    )
    assert np.allclose(np.exp(calibrated(logprobs, prior)), [[0.2, 0.8, 0.0], [1 / 3, 1 / 3, 1 / 3]])


# -- likelihood and margin -----------------------------------------------------------------------------------


def test_the_objective_is_the_metric_and_scores_are_gold_probabilities(made: Any, toy_task: Task) -> None:
    answers = all_right(toy_task, 2.0)
    answers[0] = answers[0][::-1]  # one item wrong
    evaluation = hold(made(normalization="sum").dialogue(SHOWN, toy_task.dev), answers)
    gold = toy_task.gold_indices(toy_task.dev)
    recalls = [np.mean(evaluation.outcomes[gold == label] == label) for label in (0, 1)]
    assert evaluation.objective == evaluation.score == pytest.approx(np.mean(recalls))
    assert evaluation.score < 1
    assert np.allclose(evaluation.scores[1:], softmax([2.0, 0.0])[0])
    assert evaluation.measures["largest_share"] == pytest.approx(
        max(np.mean(evaluation.outcomes), 1 - np.mean(evaluation.outcomes))
    )


def test_the_tie_break_prefers_the_surer_of_two_equals(made: Any, toy_task: Task) -> None:
    surer, less = (
        hold(made(normalization="sum").dialogue(SHOWN, toy_task.dev), all_right(toy_task, sure))
        for sure in (3.0, 1.0)
    )
    assert surer.objective == less.objective == 1
    assert surer.tie_break > less.tie_break


def test_one_hopeless_item_does_not_decide_the_tie_break(made: Any, toy_task: Task) -> None:
    answers = all_right(toy_task, 3.0)
    hopeless = tuple(a * np.float32(1000) for a in answers[0][::-1])
    evaluation = hold(made(normalization="sum").dialogue(SHOWN, toy_task.dev), [hopeless, *answers[1:]])
    assert -1 < evaluation.tie_break < 0


def test_log_probabilities_that_are_no_numbers_are_failures_with_a_reason(made: Any, toy_task: Task) -> None:
    answers = all_right(toy_task, 3.0)
    answers[2] = answer([np.nan], [0.0])
    answers[4] = answer([-np.inf], [-np.inf])
    with np.errstate(invalid="ignore"):
        evaluation = hold(made(normalization="sum").dialogue(SHOWN, toy_task.dev), answers)
    assert evaluation.failures == dict.fromkeys((2, 4), "the model's log-probabilities are not finite")
    assert np.isnan(evaluation.objective)
    assert np.isnan(evaluation.scores[[2, 4]]).all()
    assert evaluation.outcomes[[2, 4]].tolist() == [-1, -1]
    assert np.isfinite(evaluation.scores[[0, 1, 3]]).all()


def test_the_margin_is_from_gold_where_there_is_gold_else_from_the_prediction(made: Any, toy_task: Task) -> None:
    answers = [a[::-1] for a in all_right(toy_task, 2.0)]  # everything wrong, and sure of it
    margin = softmax([2.0, 0.0])[0] - softmax([2.0, 0.0])[1]
    with_gold = hold(made("margin", normalization="sum").dialogue(SHOWN, toy_task.dev), answers)
    blind = replace(toy_task, has_gold=False)
    without = hold(made("margin", blind, normalization="sum").dialogue(SHOWN, toy_task.dev), answers)
    assert with_gold.objective == pytest.approx(-margin)
    assert without.objective == pytest.approx(margin)


# -- scores without gold -------------------------------------------------------------------------------------


def test_mutual_information_is_entropy_of_the_mean_minus_mean_entropy() -> None:
    probabilities = np.random.default_rng(0).dirichlet([0.5, 1.0, 2.0], size=50)

    def entropy(p: np.ndarray) -> np.ndarray:
        return -(p * np.log(p)).sum(axis=-1)

    expected = entropy(probabilities.mean(axis=0)) - entropy(probabilities).mean()
    assert pointwise_information(np.log(probabilities)).mean() == pytest.approx(expected)


def test_a_prompt_that_always_says_the_same_is_consistent_but_tells_nothing(made: Any, toy_task: Task) -> None:
    always = [answer([-9.0], [0.0])] * len(toy_task.dev)
    agreement = hold(made("self_consistency", normalization="sum").dialogue(SHOWN, toy_task.dev), always)
    information = hold(made("mutual_information", normalization="sum").dialogue(SHOWN, toy_task.dev), always)
    assert agreement.objective > 0.999
    assert information.objective == pytest.approx(0, abs=1e-9)
    assert information.measures["largest_share"] == 1
    right = hold(
        made("mutual_information", normalization="sum").dialogue(SHOWN, toy_task.dev), all_right(toy_task, 9.0)
    )
    assert right.objective > 0.6


def test_p_true_asks_about_the_answer_that_was_given(made: Any, toy_task: Task) -> None:
    items = toy_task.dev[:2]

    def verdicts(requests: Sequence[LogLikelihood]) -> list[Any]:
        for request, item in zip(requests, items, strict=True):
            assert request.prefix.startswith(f"{toy_task.template.item(item.fields)} {item.gold}\n")
            assert GENOME.instruction not in request.prefix
        return [answer([-1.0], [-2.0]), answer([-3.0], [-1.0])]

    evaluation = hold(made("p_true").dialogue(SHOWN, items), all_right(toy_task, 2.0)[:2], verdicts)
    assert np.allclose(evaluation.scores, [softmax([-1.0, -2.0])[0], softmax([-3.0, -1.0])[0]])
    assert evaluation.objective == pytest.approx(evaluation.scores.mean())


def test_the_perplexity_of_a_prompt_is_that_of_prompt_and_item_by_themselves(made: Any, toy_task: Task) -> None:
    def answers(requests: Sequence[LogLikelihood]) -> list[Any]:
        assert [r.continuations for r in requests] == [
            (" Spam?\n\n" + toy_task.template.item(item.fields),) for item in toy_task.dev[:2]
        ]
        return [answer([-1.0, -3.0]), answer([-1.0, -1.0])]

    scorer = made("perplexity", params={"of": "prompt"})
    assert not scorer.needs_gold
    evaluation = hold(scorer.dialogue(SHOWN, toy_task.dev[:2]), answers)
    assert evaluation.objective == pytest.approx(-1.5)
    assert evaluation.measures["perplexity"] == pytest.approx(np.exp(1.5))


# -- generated text ------------------------------------------------------------------------------------------


@pytest.fixture
def rhymes(toy_task: Task) -> Task:
    """A generation task of four items."""
    items = [Item.of("generation", {"text": f"{i}"}, gold) for i, gold in enumerate(["A cat", "dog", "hen", "bee"])]
    return replace(toy_task, kind="generation", labels=(), metric="exact_match", dev=tuple(items))


def said(*texts: str) -> list[Generated]:
    return [Generated(text, (1,), True) for text in texts]


def test_exact_match_forgives_case_and_space_and_ties_break_by_chrf(made: Any, rhymes: Task) -> None:
    near = hold(made("exact_match", rhymes).dialogue(SHOWN, rhymes.dev), said("a  CAT", "dog", "hens", "wasp"))
    far = hold(made("exact_match", rhymes).dialogue(SHOWN, rhymes.dev), said("a  CAT", "dog", "x", "wasp"))
    assert near.outcomes.tolist() == [1, 1, 0, 0]
    assert near.objective == near.score == far.objective == 0.5
    assert near.tie_break > far.tie_break
    assert near.texts == ("a  CAT", "dog", "hens", "wasp")


def test_consistency_draws_several_answers_and_takes_the_one_that_others_agree_with(made: Any, rhymes: Task) -> None:
    def answers(requests: Sequence[Generate]) -> list[Generated]:
        assert [r.decoding.sample for r in requests] == [0, 1, 2] * 2
        assert all(r.decoding.temperature == 0.5 for r in requests)
        return said("cat", "dog", "cat", "bee", "bee", "bee")

    scorer = made("self_consistency", rhymes, params={"samples": 3, "temperature": 0.5})
    evaluation = hold(scorer.dialogue(SHOWN, rhymes.dev[:2]), answers)
    assert evaluation.texts == ("cat", "bee")
    assert np.allclose(evaluation.scores, [1 / 3, 1])


def test_diversity_counts_different_word_pairs(made: Any, rhymes: Task) -> None:
    same = hold(made("diversity", rhymes).dialogue(SHOWN, rhymes.dev), said(*["a b c"] * 4))
    different = hold(made("diversity", rhymes).dialogue(SHOWN, rhymes.dev), said("a b c", "d e f", "g h", "one"))
    assert same.objective == pytest.approx(2 / 8)
    assert different.objective == 1
    assert different.scores.tolist() == [1, 1, 1, 0]


def test_relevance_is_what_the_item_adds_to_the_texts_probability(made: Any, rhymes: Task) -> None:
    texts = said("cat", "", "hen", "bee")
    behind, alone = [answer([-1.0])] * 3, [answer([-3.0]), answer([-1.0]), answer([-0.5])]
    evaluation = hold(made("relevance", rhymes).dialogue(SHOWN, rhymes.dev), texts, [*behind, *alone])
    assert evaluation.scores.tolist() == [2.0, -12.0, 0.0, -0.5]


# -- functions -----------------------------------------------------------------------------------------------


@pytest.fixture
def function_scorer(toy_task: Task, tiny_model: Callable[..., LanguageModel]) -> Any:
    """Return ``scorer(function)`` over the toy task."""
    return lambda function: FunctionScorer(function, scoring(toy_task, tiny_model("float32", "off"), "sum"))


def test_a_function_scores_each_item_by_the_prediction(function_scorer: Any, toy_task: Task) -> None:
    calls = []

    def function(item: Any, label: str, probabilities: dict[str, float]) -> float:
        calls.append((item.digest, label, sum(probabilities.values())))
        return 2.0 if label == "spam" else 1.0

    evaluation = hold(function_scorer(function).dialogue(SHOWN, toy_task.dev), all_right(toy_task, 3.0))
    spam = [item.gold == "spam" for item in toy_task.dev]
    assert evaluation.objective == pytest.approx(1 + np.mean(spam))
    assert evaluation.score == 1
    assert [c[0] for c in calls] == [item.digest for item in toy_task.dev]
    assert all(label == item.gold for (_, label, _), item in zip(calls, toy_task.dev, strict=True))
    assert np.allclose([c[2] for c in calls], 1)


def test_a_function_sees_the_text_that_was_written(rhymes: Task, tiny_model: Callable[..., LanguageModel]) -> None:
    scorer = FunctionScorer(lambda item, text, _: len(text), scoring(rhymes, tiny_model("float32", "off")))
    assert hold(scorer.dialogue(SHOWN, rhymes.dev[:2]), said("cat", "horse")).scores.tolist() == [3, 5]


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
    misbehave: Any, reason: str, function_scorer: Any, toy_task: Task
) -> None:
    odd = toy_task.dev[3]

    def function(item: Any, label: str, probabilities: dict[str, float]) -> Any:
        return misbehave() if item is odd else 1.0

    evaluation = hold(function_scorer(function).dialogue(SHOWN, toy_task.dev), all_right(toy_task, 3.0))
    assert list(evaluation.failures) == [3]
    assert evaluation.failures[3].startswith(reason)
    assert np.isnan(evaluation.objective)


def test_a_score_outside_the_range_that_a_function_was_given_is_a_failure(
    toy_task: Task, tiny_model: Callable[..., LanguageModel]
) -> None:
    made_from = scoring(toy_task, tiny_model("float32", "off"), "sum")
    scorer = FunctionScorer(
        lambda item, label, _: 2.5 if item is toy_task.dev[1] else 2.0, made_from, FunctionParams(range=(0, 2))
    )
    evaluation = hold(scorer.dialogue(SHOWN, toy_task.dev), all_right(toy_task, 3.0))
    assert evaluation.failures == {1: "the function returned 2.5"}
    assert scorer.describe()["range"] == [0, 2]
    assert scorer.decomposable
    terms = scorer.item_terms(evaluation, toy_task.dev, toy_task.dev)
    assert (terms.lowest, terms.highest) == (0, 2)
    assert terms.weighted(-3).highest == 0 and terms.weighted(-3).lowest == -6
    assert not FunctionScorer(lambda *_: 1.0, made_from).decomposable


@pytest.mark.parametrize("ends", [(1, 0), (1, 1), (0, float("inf"))])
def test_a_range_has_two_finite_ends_the_lowest_first(ends: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="lowest, highest|finite"):
        FunctionParams(range=ends)


def test_ctrl_c_inside_a_function_is_no_failed_item(function_scorer: Any, toy_task: Task) -> None:
    def function(*_: Any) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hold(function_scorer(function).dialogue(SHOWN, toy_task.dev), all_right(toy_task, 3.0))


def test_label_entropy_is_that_of_the_mean_distribution() -> None:
    sure_of_each = np.log(np.array([[1.0, 0.0], [0.0, 1.0]]) + 1e-300)
    assert label_entropy(sure_of_each) == pytest.approx(np.log(2))
    assert label_entropy(np.array([[0.0, -np.inf]] * 3)) == 0.0
    assert label_entropy(np.log([[0.9, 0.1], [0.7, 0.3]])) == pytest.approx(-0.8 * np.log(0.8) - 0.2 * np.log(0.2))
