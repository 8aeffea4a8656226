"""The answers to rows: computed by a saved prompt, and in the form in which a client gets them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evolm.errors import DataError, RequestError
from evolm.evaluation.dialogue import Round
from evolm.export.predictor import Predictions, Predictor
from evolm.models import Cost
from evolm.tasks import Item
from evolm.tasks.kinds import KINDS
from evolm.wording import numbered

NOTHING = Cost()


@dataclass(frozen=True)
class RowAnswer:
    """The answer to one row.

    Attributes:
        record: what ``/predict`` returns.
        finished: whether a text ended before the campaign's ``max_new_tokens``; true of labels and options.
        cost: of a text's requests; zero of labels and options.
    """

    record: dict[str, Any]
    finished: bool = True
    cost: Cost = NOTHING


def refusal(reasons: dict[int, str]) -> RequestError:
    """Return the error of a request with rows that cannot be answered.

    Args:
        reasons: place of a row, counted from 0 -> why.
    """
    places: dict[str, list[int]] = {}
    for place, reason in reasons.items():
        places.setdefault(reason, []).append(place + 1)
    found = "; ".join(f"{reason} in {numbered('row', rows)}" for reason, rows in places.items())
    return RequestError(f"rows: expected rows that the model can be asked about, found {found}", 422)


def answer_together(predictor: Predictor, requests: Sequence[Sequence[Item]]) -> list[list[RowAnswer] | RequestError]:
    """Answer the rows of several requests in the same passes; return answers or an error for each, in order.

    A request is answered as a whole, or refused because of any of its rows; others are not affected.

    Raises:
        EvolmError: if the model, its server or its workers fail.
    """
    try:
        return _answered(predictor, requests)
    except DataError as error:  # of one row, such as a template that fails on it
        if len(requests) == 1:
            return [RequestError(str(error), 422)]
        return [outcome for request in requests for outcome in answer_together(predictor, [request])]


def _answered(predictor: Predictor, requests: Sequence[Sequence[Item]]) -> list[list[RowAnswer] | RequestError]:
    refused = predictor.refusals([item for request in requests for item in request])
    found: list[list[RowAnswer] | RequestError] = []
    start = 0
    for request in requests:
        reasons = {place - start: why for place, why in refused.items() if start <= place < start + len(request)}
        found.append(refusal(reasons) if reasons else [])
        start += len(request)
    whole = [place for place, outcome in enumerate(found) if not isinstance(outcome, RequestError)]
    if whole:
        rounds: list[Round] = []
        predictions = predictor.answered([item for place in whole for item in requests[place]], rounds)
        answers = iter(_row_answers(predictor, predictions, rounds))
        for place in whole:
            found[place] = _or_failure([next(answers) for _ in requests[place]])
    return found


def _or_failure(answers: list[RowAnswer | str]) -> list[RowAnswer] | RequestError:
    """Return the answers of one request, or the error of those that the model failed on."""
    failed = {place: answer for place, answer in enumerate(answers) if isinstance(answer, str)}
    return refusal(failed) if failed else [answer for answer in answers if isinstance(answer, RowAnswer)]


def _row_answers(predictor: Predictor, predictions: Predictions, rounds: Sequence[Round]) -> list[RowAnswer | str]:
    """Return the answer to each row, or why the model failed on it."""
    evaluation, task = predictions.evaluation, predictions.task
    if evaluation.label_logprobs is None or evaluation.outcomes is None:
        return _texts(predictor, evaluation.texts, rounds)
    key = "option" if KINDS[task.kind].options else "label"
    found: list[RowAnswer | str] = []
    for place, item in enumerate(task.test):
        if place in evaluation.failures:
            found.append(evaluation.failures[place])
            continue
        options = task.options_of(item)
        probabilities = np.exp(evaluation.label_logprobs[place])[: len(options)].tolist()
        chosen = options[int(evaluation.outcomes[place])]
        found.append(RowAnswer({key: chosen, "probabilities": dict(zip(options, probabilities, strict=True))}))
    return found


def _texts(predictor: Predictor, texts: Sequence[str], rounds: Sequence[Round]) -> list[RowAnswer | str]:
    """Return the texts; the rounds of their dialogue have one request for each row."""
    costs = [NOTHING] * len(texts)
    for requests, answers in rounds:
        ready = predictor.engine.tokenize(requests)
        each = [request.cost(answer) for request, answer in zip(ready, answers, strict=True)]
        costs = [before + cost for before, cost in zip(costs, each, strict=True)]
    _, last = rounds[-1]
    return [
        RowAnswer({"text": text}, answer.finished, cost)
        for text, answer, cost in zip(texts, last, costs, strict=True)
    ]
