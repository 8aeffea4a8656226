"""The driver of dialogues with the model.

A *dialogue* (:data:`evolm.models.Dialogue`) is a generator that yields requests, is sent their answers in the same
order, may ask again, and returns a result. Scorers and operators write dialogues; this module holds them, many side
by side, with one call of the engine per round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeAlias

from evolm.errors import DataError, EvolmError, Unanswerable
from evolm.models import Answer, Cost, Dialogue, ReadyRequest, Request, Result
from evolm.models.deltas import Delta

Round: TypeAlias = tuple[Sequence[Request], Sequence[Any]]  # requests, and their answers in the same order


class AnswersRequests(Protocol):
    """The part of :class:`evolm.evaluation.Engine` that a dialogue needs."""

    def tokenize(self, requests: Sequence[Request]) -> list[ReadyRequest]: ...

    def answer_tokenized(self, requests: Sequence[ReadyRequest]) -> list[Answer]: ...


@dataclass
class Outcome(Generic[Result]):
    """The end of one dialogue.

    Attributes:
        result: what the dialogue returned; None if it failed.
        error: why it failed: the model cannot be asked about an item, or the template fails on it.
        cost: of its requests and answers, before caching and sharing.
    """

    result: Result | None = None
    error: EvolmError | None = None
    cost: Cost = field(default_factory=Cost)

    @property
    def tokens(self) -> int:
        """Tokens charged."""
        return self.cost.tokens


def transcribed(dialogue: Dialogue[Result], rounds: list[Round]) -> Dialogue[Result]:
    """Hold a dialogue as it is, and append the requests and the answers of each of its rounds to ``rounds``."""
    answers = None
    while True:
        try:
            requests = dialogue.send(answers)
        except StopIteration as end:
            result: Result = end.value
            return result
        answers = yield requests
        rounds.append((requests, answers))


def hold(
    dialogues: Sequence[Dialogue[Result]], engine: AnswersRequests, deltas: Sequence[Delta | None] = ()
) -> list[Outcome[Result]]:
    """Hold dialogues side by side; each round of all of them is one call of the engine.

    A dialogue that fails is closed and does not disturb the others.

    Args:
        dialogues: not started yet.
        engine: answers requests.
        deltas: the model's change for each dialogue, in the order of ``dialogues``; empty = requests name their own.

    Returns:
        One outcome per dialogue, in order.

    Raises:
        Interrupted: if a stop was requested.
    """
    outcomes: list[Outcome[Result]] = [Outcome() for _ in dialogues]
    received: dict[int, list[Answer] | None] = dict.fromkeys(range(len(dialogues)))  # None starts a generator
    while received:
        asked: dict[int, list[ReadyRequest]] = {}
        for index, answers in received.items():
            try:
                asked[index] = _asked(dialogues[index], answers, engine, deltas[index] if deltas else None)
            except StopIteration as end:
                outcomes[index].result = end.value
            except (Unanswerable, DataError) as error:
                outcomes[index].error = error
                dialogues[index].close()
        received = _answered(asked, engine)
        for index, requests in asked.items():
            for request, answer in zip(requests, received[index] or (), strict=True):
                outcomes[index].cost += request.cost(answer)
    return outcomes


def first_requests(
    dialogues: Sequence[Dialogue[Any]], engine: AnswersRequests, deltas: Sequence[Delta | None] = ()
) -> list[ReadyRequest]:
    """Return what dialogues ask first, and close them; nothing for one that fails. Arguments as for :func:`hold`."""
    requests: list[ReadyRequest] = []
    for index, dialogue in enumerate(dialogues):
        with suppress(StopIteration, Unanswerable, DataError):
            requests += _asked(dialogue, None, engine, deltas[index] if deltas else None)
        dialogue.close()
    return requests


def _asked(
    dialogue: Dialogue[Any], answers: list[Answer] | None, engine: AnswersRequests, delta: Delta | None
) -> list[ReadyRequest]:
    """Send a dialogue its answers, None to start it; return what it asks next, under a change of the model."""
    tokens = engine.tokenize(dialogue.send(answers))
    return [request.under(delta) for request in tokens] if delta else tokens


def _answered(asked: Mapping[int, Sequence[ReadyRequest]], engine: AnswersRequests) -> dict[int, list[Answer] | None]:
    """Answer the requests of one round in one call: dialogue -> answers, in the order of its requests."""
    if not asked:
        return {}
    answers = iter(engine.answer_tokenized([request for requests in asked.values() for request in requests]))
    return {index: [next(answers) for _ in requests] for index, requests in asked.items()}


def joined(dialogues: Mapping[str, Dialogue[Result]], known: dict[Request, Answer]) -> Dialogue[dict[str, Result]]:
    """Return one dialogue that holds several about the same genome; equal requests are asked once.

    Args:
        dialogues: name -> dialogue, not started yet.
        known: answers from before, which are not asked for again; new answers are added.

    Returns:
        A dialogue with the result name -> result of each dialogue.
    """
    results: dict[str, Any] = {}
    received: dict[str, list[Answer] | None] = dict.fromkeys(dialogues)
    while received:
        asked: dict[str, Sequence[Request]] = {}
        for name, answers in received.items():
            try:
                asked[name] = dialogues[name].send(answers)
            except StopIteration as end:
                results[name] = end.value
        if asked:
            new = list(dict.fromkeys(r for requests in asked.values() for r in requests if r not in known))
            known.update(zip(new, (yield new), strict=True))
        received = {name: [known[request] for request in requests] for name, requests in asked.items()}
    return results
