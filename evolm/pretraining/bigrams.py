"""What a model from scratch must beat: bigrams with interpolated Kneser-Ney smoothing.

Kneser & Ney 1995, https://doi.org/10.1109/ICASSP.1995.479394, in the interpolated form of Chen & Goodman 1999,
https://doi.org/10.1006/csla.1999.0128, section 2.7:
P(w | v) = max(c(v w) - D, 0) / c(v) + D N1+(v .) / c(v) P(w), P(w) = N1+(. w) / N1+(. .), discount
D = n1 / (n1 + 2 n2) (eq. 15 there). P(w) is mixed with the uniform distribution, so that no token has probability 0.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

UNIFORM = 1e-2  # share of the uniform distribution in P(w)


class Bigrams:
    """A bigram model.

    Args:
        tokens: ``(n,)`` whole numbers below ``vocabulary``.
        vocabulary: number of different tokens.
    """

    def __init__(self, tokens: np.ndarray, vocabulary: int) -> None:
        pairs = sparse.coo_matrix(
            (np.ones(len(tokens) - 1), (tokens[:-1], tokens[1:])), shape=(vocabulary, vocabulary)
        ).tocsr()  # c(v w); equal places are summed
        pairs.sum_duplicates()
        n1, n2 = int((pairs.data == 1).sum()), int((pairs.data == 2).sum())
        self.discount = n1 / (n1 + 2 * n2) if n1 else 0.5
        self.pairs = pairs
        self.counts = np.asarray(pairs.sum(axis=1)).ravel()  # c(v)
        self.followers = np.diff(pairs.indptr)  # N1+(v .)
        preceding = np.bincount(pairs.indices, minlength=vocabulary)  # N1+(. w)
        self.unigrams = (1 - UNIFORM) * preceding / preceding.sum() + UNIFORM / vocabulary

    def logprobs(self, tokens: np.ndarray) -> np.ndarray:
        """Return ``(n - 1,)`` log-probabilities (nats) of every token behind the one before it."""
        v, w = tokens[:-1], tokens[1:]
        seen, count = np.asarray(self.pairs[v, w]).ravel(), self.counts[v]
        known = np.maximum(count, 1)
        left = np.where(count > 0, self.discount * self.followers[v] / known, 1.0)
        return np.log(np.maximum(seen - self.discount, 0) / known + left * self.unigrams[w])
