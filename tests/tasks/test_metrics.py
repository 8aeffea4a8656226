"""Metrics against values computed by hand."""

import numpy as np
import pytest

from evolm.tasks.metrics import CLASSIFICATION_METRICS, confusion_matrix, macro_f1, per_class

GOLD = np.array([0, 0, 0, 0, 1, 1])
PREDICTED = np.array([0, 0, 0, 1, 1, -1])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("accuracy", 4 / 6),
        ("balanced_accuracy", (3 / 4 + 1 / 2) / 2),
        ("macro_f1", (6 / 7 + 1 / 2) / 2),
    ],
)
def test_metrics_agree_with_values_by_hand(name: str, expected: float) -> None:
    assert CLASSIFICATION_METRICS[name](PREDICTED, GOLD, 2) == pytest.approx(expected)


@pytest.mark.parametrize("name", CLASSIFICATION_METRICS)
def test_a_perfect_prediction_is_one_even_when_a_label_never_occurs(name: str) -> None:
    assert CLASSIFICATION_METRICS[name](GOLD, GOLD, 5) == 1.0


@pytest.mark.parametrize("name", CLASSIFICATION_METRICS)
def test_no_prediction_at_all_is_zero(name: str) -> None:
    assert CLASSIFICATION_METRICS[name](np.full(6, -1), GOLD, 2) == 0.0


def test_balanced_accuracy_ignores_predicted_labels_that_are_never_gold() -> None:
    predicted = np.array([0, 2, 1, 1])
    assert CLASSIFICATION_METRICS["balanced_accuracy"](predicted, np.array([0, 0, 1, 1]), 3) == 0.75


def test_macro_f1_counts_predicted_labels_that_are_never_gold_as_zero() -> None:
    predicted = np.array([0, 2, 1, 1])
    assert macro_f1(predicted, np.array([0, 0, 1, 1]), 4) == pytest.approx((2 / 3 + 1 + 0) / 3)


def test_confusion_matrix_has_a_last_column_for_no_prediction() -> None:
    assert confusion_matrix(PREDICTED, GOLD, 2).tolist() == [[3, 1, 0], [0, 1, 1]]


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
