"""Similarity of a generated text to its target, in [0, 1]."""

from __future__ import annotations

import re
import string
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING

from evolm.tasks.items import canonical, normalised

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics.chrf import CHRF

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)


def exact_match(prediction: str, target: str) -> float:
    """Return 1.0 if the texts are equal but for case and white space, else 0.0."""
    return float(normalised(prediction) == normalised(target))


def chrf(prediction: str, target: str) -> float:
    """Return the sentence's chrF2: the F-score, recall counted double, of character n-grams up to six letters.

    Popović 2015 (https://aclanthology.org/W15-3049/), with the settings of sacrebleu (its signature
    ``nc:6|nw:0|space:no|eff:yes``): white space is ignored, case is not. Both texts are brought to one Unicode form.
    """
    return float(_sentence_chrf().sentence_score(canonical(prediction), [canonical(target)]).score) / 100


@cache
def _sentence_chrf() -> CHRF:
    from sacrebleu.metrics.chrf import CHRF  # takes a fifth of a second, so only this metric imports it

    return CHRF()


def token_f1(prediction: str, target: str) -> float:
    """Return the F1 of the texts' words, each counted as often as it occurs (Rajpurkar 2016).

    The words are those of SQuAD's evaluation (https://arxiv.org/abs/1606.05250): lower case, without ASCII
    punctuation and without the articles a, an, the. If one of the texts has no words left, the score is 1.0 if the
    other has none either, else 0.0, as in the evaluation of SQuAD 2.0.
    """
    ours, theirs = _squad_words(prediction), _squad_words(target)
    if not ours or not theirs:
        return float(ours == theirs)
    shared = (Counter(ours) & Counter(theirs)).total()
    return 2 * shared / (len(ours) + len(theirs))  # of precision shared / ours and recall shared / theirs


def _squad_words(text: str) -> list[str]:
    bare = canonical(text).lower().translate(PUNCTUATION)
    return ARTICLES.sub(" ", bare).split()


def rouge_l(prediction: str, target: str) -> float:
    """Return the ROUGE-L F1: from the longest common subsequence of the texts' words (Lin 2004).

    By the package ``rouge-score``, https://aclanthology.org/W04-1013/: words are runs of ASCII letters and digits in
    lower case, those of more than three letters are reduced to their stems by Porter's algorithm, so texts in other
    scripts have no words and score 0.
    """
    return float(_rouge_scorer().score(canonical(target), canonical(prediction))["rougeL"].fmeasure)


@cache
def _rouge_scorer() -> RougeScorer:
    from rouge_score.rouge_scorer import RougeScorer  # imports nltk, which takes two seconds

    return RougeScorer(["rougeL"], use_stemmer=True)
