"""Metrics against values computed by hand."""

import numpy as np
import pytest

from evolm.tasks import KINDS, METRICS, Form
from evolm.tasks.metrics import averages, confusion_matrix, macro_f1, per_class

GOLD = np.array([0, 0, 0, 0, 1, 1])
PREDICTED = np.array([0, 0, 0, 1, 1, -1])
CLASSIFICATION = [name for name, metric in METRICS.items() if Form.LABELS in metric.forms]
COMPARING = [name for name, metric in METRICS.items() if metric.compare]


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_listed_under_its_name_with_a_sentence_and_forms_of_known_kinds(name: str) -> None:
    metric = METRICS[name]
    assert metric.name == name and metric.summary.endswith(".")
    assert metric.forms and set(metric.forms) <= {kind.form for kind in KINDS.values()}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("accuracy", 4 / 6),
        ("balanced_accuracy", (3 / 4 + 1 / 2) / 2),
        ("macro_f1", (6 / 7 + 1 / 2) / 2),
    ],
)
def test_metrics_agree_with_values_by_hand(name: str, expected: float) -> None:
    assert METRICS[name].function(PREDICTED, GOLD, 2) == pytest.approx(expected)


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_a_perfect_prediction_is_one_even_when_a_label_never_occurs(name: str) -> None:
    assert METRICS[name].function(GOLD, GOLD, 5) == 1.0


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_no_prediction_at_all_is_zero(name: str) -> None:
    assert METRICS[name].function(np.full(6, -1), GOLD, 2) == 0.0


@pytest.mark.parametrize("name", CLASSIFICATION)
@pytest.mark.parametrize("gold", [GOLD, np.array([2, 2, 0, 2]), np.array([1, 1])])
def test_weights_make_a_metric_a_mean_over_items(name: str, gold: np.ndarray) -> None:
    """Of macro F1 there are none: a wrong answer costs precision that belongs to no item."""
    weights_of = METRICS[name].weights
    assert (weights_of is None) == (name == "macro_f1")
    for seed in range(5):
        predicted = np.random.default_rng(seed).integers(-1, 3, len(gold))
        if weights_of is not None:
            weights = weights_of(np.bincount(gold, minlength=3))
            mean = np.mean(np.where(predicted == gold, weights[gold], 0.0))
            assert mean == pytest.approx(METRICS[name].function(predicted, gold, 3))


def test_balanced_accuracy_ignores_predicted_labels_that_are_never_gold() -> None:
    predicted = np.array([0, 2, 1, 1])
    assert METRICS["balanced_accuracy"].function(predicted, np.array([0, 0, 1, 1]), 3) == 0.75


def test_macro_f1_counts_predicted_labels_that_are_never_gold_as_zero() -> None:
    predicted = np.array([0, 2, 1, 1])
    assert macro_f1(predicted, np.array([0, 0, 1, 1]), 4) == pytest.approx((2 / 3 + 1 + 0) / 3)


def test_confusion_matrix_has_a_last_column_for_no_prediction() -> None:
    assert confusion_matrix(PREDICTED, GOLD, 2).tolist() == [[3, 1, 0], [0, 1, 1]]


def test_averages_are_over_labels_that_occur() -> None:
    found = averages(PREDICTED, GOLD, 3)  # label 2 never occurs
    assert found == pytest.approx(
        {"accuracy": 4 / 6, "precision": (1 + 1 / 2) / 2, "recall": (3 / 4 + 1 / 2) / 2, "f1": (6 / 7 + 1 / 2) / 2}
    )


def test_per_class_names_labels_in_order_with_their_support() -> None:
    ham, spam, never = per_class(PREDICTED, GOLD, ["ham", "spam", "never"])
    assert ham == {"label": "ham", "precision": 1.0, "recall": 0.75, "f1": pytest.approx(6 / 7), "support": 4}
    assert spam == {"label": "spam", "precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2}
    assert never == {"label": "never", "precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}


@pytest.mark.parametrize(
    ("predicted", "gold", "named"),
    [
        ([0, 1], [0], "(2,) and (1,)"),
        ([], [], "(0,)"),
        ([0, 2], [0, 1], "predicted: expected indices from -1 to 1"),
        ([0, 1], [0, -1], "gold: expected indices from 0 to 1"),
        ([0.0, 1.0], [0, 1], "predicted: expected integers"),
    ],
)
def test_wrong_indices_are_refused(predicted: list, gold: list, named: str) -> None:
    with pytest.raises(ValueError) as caught:
        confusion_matrix(np.array(predicted), np.array(gold), 2)
    assert named in str(caught.value)


# -- texts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMPARING)
def test_a_text_that_equals_its_target_is_one_and_nothing_written_is_zero(name: str) -> None:
    compare = METRICS[name].compare
    assert compare is not None
    assert compare("Ein Hund bellt.", "Ein Hund bellt.") == 1.0
    assert compare("", "Ein Hund bellt.") == 0.0


def test_an_exact_match_ignores_case_and_white_space_only() -> None:
    compare = METRICS["exact_match"].compare
    assert compare is not None
    assert compare(" nine  APPLES\n", "Nine apples") == 1.0
    assert compare("nine apples.", "nine apples") == compare("nineapples", "nine apples") == 0.0


def test_chrf_is_sacrebleus_between_0_and_1() -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    compare = METRICS["chrf"].compare
    assert compare is not None
    texts = ("The cat sat on the mat", "The cat is on a mat")
    assert compare(*texts) == pytest.approx(sacrebleu.sentence_chrf(texts[0], [texts[1]]).score / 100)
    assert 0.3 < compare(*texts) < 1


@pytest.mark.parametrize(
    ("text", "target", "expected"),
    [
        ("The Denver Broncos.", "Denver Broncos", 1.0),
        ("in the city of Paris", "Paris, France", 2 * (1 / 4) * (1 / 2) / (1 / 4 + 1 / 2)),
        ("no no no", "no no", 2 * (2 / 3) * 1 / (2 / 3 + 1)),
        ("anthem", "the", 0.0),  # an article within a word is no article
        ("the", "a", 1.0),
        ("blue", "red", 0.0),
    ],
)
def test_token_f1_counts_words_without_case_punctuation_and_articles(text: str, target: str, expected: float) -> None:
    compare = METRICS["token_f1"].compare
    assert compare is not None
    assert compare(text, target) == pytest.approx(expected)


def test_rouge_l_is_the_f1_of_the_longest_common_subsequence_of_stems() -> None:
    compare = METRICS["rouge_l"].compare
    assert compare is not None
    # police kill the gunman / police killed the gunman: all four stems; with words reversed, one in order
    assert compare("police kill the gunman", "Police killed the gunman!") == 1.0
    assert compare("gunman the kill police", "police killed the gunman") == pytest.approx(1 / 4)
    # the gunman police killed: "the gunman" or "police killed" is the longest, 2 of 4 on both sides (Lin 2004)
    assert compare("the gunman police killed", "police killed the gunman") == pytest.approx(2 / 4)
    assert compare("a returned value", "value") == pytest.approx(2 * (1 / 3) * 1 / (1 / 3 + 1))
    assert compare("один", "один") == 0.0


@pytest.mark.parametrize("name", COMPARING)
def test_a_text_metric_is_the_mean_of_its_outcomes(name: str) -> None:
    assert METRICS[name].function(np.array([0.0, 1.0, 0.5, 0.5]), np.zeros(4, dtype=int), 0) == 0.5


def test_perplexity_is_inverted_so_that_higher_is_better() -> None:
    outcomes = np.log([0.5, 0.125])
    assert METRICS["perplexity"].function(outcomes, np.zeros(2, dtype=int), 0) == pytest.approx(0.25)
    assert METRICS["perplexity"].compare is None


@pytest.mark.parametrize("name", [*COMPARING, "perplexity"])
@pytest.mark.parametrize("outcomes", [np.array([]), np.ones((2, 2))])
def test_outcomes_of_a_wrong_shape_are_refused(name: str, outcomes: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected an array"):
        METRICS[name].function(outcomes, np.zeros(len(outcomes), dtype=int), 0)


def test_texts_are_compared_in_one_unicode_form() -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    for name in ("exact_match", "chrf", "token_f1"):
        compare = METRICS[name].compare
        assert compare is not None and compare(composed, decomposed) == 1.0
