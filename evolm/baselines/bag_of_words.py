"""A linear classifier on the words and letters of the rows, without any language model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from evolm.baselines.base import Baseline, Contest

if TYPE_CHECKING:
    from evolm.tasks import Item, Task

NAME = "bag_of_words"
STRENGTHS = (1.0, 10.0, 100.0)  # inverse strengths of the penalty
FOLDS = 5
FEATURES = 20_000  # most of each kind


def bag_of_words_predictions(task: Task, known: Sequence[Item], asked: Sequence[Item]) -> np.ndarray:
    """Return ``(n,)`` label indices that the classifier predicts.

    TF-IDF of words, pairs of words and runs of two to five letters; logistic regression whose strength is chosen by
    cross-validation. Classes count equally if the task's metric counts them equally.

    Args:
        task: with labels and a template.
        known: items with gold, of two labels or more.
        asked: items to be answered.
    """
    gold = task.gold_indices(known)
    with threadpool_limits(1, user_api="blas"):
        classifier = _classifier(np.bincount(gold), _counts_classes_equally(task))
        classifier.fit([_text(item) for item in known], gold)
        return np.asarray(classifier.predict([_text(item) for item in asked]), dtype=np.int64)


def _text(item: Item) -> str:
    return "\n".join(item.fields.values())


def _counts_classes_equally(task: Task) -> bool:
    from evolm.tasks import METRICS  # reports, which only read titles, do not need the room of tasks

    weights_of = METRICS[task.metric].weights
    return weights_of is None or weights_of(np.array([1, 2]))[0] != weights_of(np.array([1, 2]))[1]


def _classifier(counts: np.ndarray, balanced: bool) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.pipeline import make_pipeline, make_union

    features = make_union(
        TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", sublinear_tf=True, max_features=FEATURES),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, max_features=FEATURES),
    )
    weight, scoring = ("balanced", "balanced_accuracy") if balanced else (None, "accuracy")
    regression = LogisticRegression(class_weight=weight, max_iter=1000)
    folds = min(FOLDS, int(counts[counts > 0].min()))
    if folds < 2:
        return make_pipeline(features, regression.set_params(C=STRENGTHS[1]))
    # The features of all rows are made once: none of them depends on a label.
    search = GridSearchCV(regression, {"C": STRENGTHS}, scoring=scoring, cv=StratifiedKFold(folds))
    return make_pipeline(features, search)


def _contestants(contest: Contest) -> list[np.ndarray]:
    task = contest.task
    known = [*task.train, *task.dev, *task.validation]
    if not task.labels or not task.has_gold or len({item.gold for item in known}) < 2:
        return []
    return [bag_of_words_predictions(task, known, task.test)]


BAG_OF_WORDS = Baseline(
    name=NAME,
    title="bag of words, no model",
    phrase="a bag of words",
    summary="logistic regression on words and letters, fitted on all rows but test, without a language model",
    contestants=_contestants,
    prompts=0,
)
