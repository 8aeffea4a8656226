"""A linear classifier on the words and letters of the rows, which asks the model nothing: a rival, not a readout.

TF-IDF of words, pairs of words and runs of two to five letters; logistic regression whose strength is chosen by
cross-validation. As a kind of readout it is fitted, saved and applied like the others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from threadpoolctl import threadpool_limits

from evolm.genomes.readout import Readout
from evolm.models import Request
from evolm.readouts.base import Fit, FittedReader
from evolm.readouts.ridge import normalised
from evolm.tasks import Item

STRENGTHS = (1.0, 10.0, 100.0)  # inverse strengths of the penalty
FOLDS = 5
FEATURES = 20_000  # most of words and pairs, and most of runs of letters


class BagOfWords(FittedReader):
    """Logistic regression on words and letters, without the model."""

    arrays: ClassVar[Mapping[str, str]] = {
        "words": "w",
        "letters": "l",
        "idf": "f",
        "weights": "kf",
        "intercepts": "k",
    }

    @classmethod
    def check_arrays(cls, arrays: Mapping[str, np.ndarray], genes: Readout, n_labels: int, width: int) -> None:
        """See the base class; the terms must be as many as their weights."""
        super().check_arrays(arrays, genes, n_labels, width)
        terms = [_decoded(arrays[name].tobytes()) for name in ("words", "letters")]
        if not all(isinstance(term, str) for each in terms for term in each):
            raise ValueError("terms that are no texts")
        if sum(len(set(each)) for each in terms) != len(arrays["idf"]):
            raise ValueError(f"{[len(each) for each in terms]} terms for {len(arrays['idf'])} weights")

    @property
    def most_rows(self) -> int:
        """No limit: rows cost no pass of the model."""
        return len(self.task.train) + len(self.task.dev) + len(self.task.validation)

    def requests(self, items: Sequence[Item]) -> Sequence[Request]:
        """Return nothing."""
        return []

    def fit(self, answers: Sequence[Any], rows: Sequence[Item]) -> Fit:
        """Return the terms as JSON in UTF-8, ``idf`` ``(f,)``, ``weights`` ``(k, f)`` and ``intercepts`` ``(k,)``."""
        gold, k = self.task.gold_indices(rows), len(self.task.labels)
        vectorizers = _vectorizers()
        with threadpool_limits(1, user_api="blas"):
            features = _features([each.fit([row.text for row in rows]) for each in vectorizers], rows)
            found = _regression(features, gold, self.task.row_weights(rows))
        weights = np.zeros((k, features.shape[1]), np.float32)
        intercepts = np.full(k, -np.inf, np.float32)  # labels that no row has
        signs = np.array([[-0.5], [0.5]]) if len(found.classes_) == 2 else np.ones((len(found.classes_), 1))
        weights[found.classes_], intercepts[found.classes_] = signs * found.coef_, signs[:, 0] * found.intercept_
        words, letters = (each.get_feature_names_out().tolist() for each in vectorizers)
        idf = np.concatenate([each.idf_ for each in vectorizers]).astype(np.float32)
        arrays = {"words": _encoded(words), "letters": _encoded(letters), "idf": idf}
        return Fit(self.genes, {**arrays, "weights": weights, "intercepts": intercepts})

    def read(self, fit: Fit, answers: Sequence[Any], items: Sequence[Item]) -> np.ndarray:
        """See the base class."""
        idf, weights, intercepts = (fit.arrays[name].astype(np.float64) for name in ("idf", "weights", "intercepts"))
        words, letters = (_decoded(fit.arrays[name].tobytes()) for name in ("words", "letters"))
        vectorizers = _vectorizers(words, letters)
        for vectorizer, own in zip(vectorizers, np.split(idf, [len(words)]), strict=True):
            vectorizer.idf_ = own
        return normalised(_features(vectorizers, items) @ weights.T + intercepts)


def _vectorizers(words: Sequence[str] | None = None, letters: Sequence[str] | None = None) -> list[Any]:
    from sklearn.feature_extraction.text import TfidfVectorizer  # takes a second, which other commands save

    common: dict[str, Any] = {"sublinear_tf": True, "max_features": FEATURES}
    return [
        TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\w+|[^\w\s]", vocabulary=words, **common),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), vocabulary=letters, **common),
    ]


def _features(vectorizers: Sequence[Any], items: Sequence[Item]) -> Any:
    """Return ``(n, f)`` sparse float64 features; those of words come first."""
    from scipy.sparse import hstack

    texts = [item.text for item in items]
    return hstack([vectorizer.transform(texts) for vectorizer in vectorizers]).tocsr()


def _regression(features: Any, gold: np.ndarray, weights: np.ndarray) -> Any:
    """Return logistic regression fitted with the strength that predicts left-out rows best."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    counts = np.bincount(gold)
    folds = min(FOLDS, int(counts[counts > 0].min()))
    weights = weights / weights.mean()

    def fitted(strength: float, rows: Any = slice(None)) -> Any:
        regression = LogisticRegression(C=strength, max_iter=1000)
        return regression.fit(features[rows], gold[rows], sample_weight=weights[rows])

    if folds < 2:
        return fitted(STRENGTHS[1])
    cuts = list(StratifiedKFold(folds).split(features, gold))
    right = {
        strength: sum(
            float(weights[out] @ (fitted(strength, kept).predict(features[out]) == gold[out])) for kept, out in cuts
        )
        for strength in STRENGTHS
    }
    return fitted(max(STRENGTHS, key=lambda strength: right[strength]))


def _encoded(terms: Sequence[str]) -> np.ndarray:
    return np.frombuffer(json.dumps(list(terms), ensure_ascii=False).encode(), np.uint8)


@lru_cache(maxsize=4)
def _decoded(terms: bytes) -> list[str]:
    found: list[str] = json.loads(terms)
    return found
