"""From requests to answers, in the order asked: tokenised, deduplicated, cached, planned, executed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from cachetools import LRUCache

from evolm.errors import Interrupted
from evolm.evaluation.executors import make_executor
from evolm.evaluation.results import BatchResult, OtherProfile
from evolm.evaluation.stream import Batch, cut
from evolm.evaluation.usage import Usage
from evolm.models import (
    Answer,
    GradientRequest,
    GradientResult,
    Model,
    ReadyRequest,
    Request,
    TokenizedGradient,
    TokenizedRequest,
    TokenizedStates,
)
from evolm.models.learning import read_gradient
from evolm.storage.answers import AnswerStore

TOKENIZED = 4096  # requests whose tokens are kept, in the lists in which they were asked
LESSONS = 4  # most gradients of a batch: a signal waits for a batch, and more of them pad little less
STATE_BYTES = 256 * 2**20  # of hidden states that are kept in memory; they are too large for the store


class Engine:
    """Answers requests with one model.

    Args:
        model: tokenises requests, and computes answers if ``n_jobs`` is 1.
        answers: the cache.
        n_jobs: worker processes; 1 computes in this process.
        progress: called with the number of requests answered so far and in all, after each batch.
        mixed_hosts: whether workers with other numeric profiles answer, too; their answers are not taken for those
            of the model's own profile later.

    Attributes:
        others: workers that answered with a numeric profile that is not the model's, one for each host and profile.
        executor: answers batches; may be replaced before the first request.
    """

    def __init__(
        self,
        model: Model,
        answers: AnswerStore,
        n_jobs: int = 1,
        progress: Callable[[int, int], None] | None = None,
        mixed_hosts: bool = False,
    ) -> None:
        self.model = model
        self.answers = answers
        self.usage = Usage()
        self.progress = progress or (lambda done, total: None)
        self.stop_signal: int | None = None  # that asked to stop after the current batch
        self._leader = self  # has the cache of answers and the stop signal; see companion
        self._tokens: LRUCache[tuple[Request, ...], list[ReadyRequest]] = LRUCache(TOKENIZED, getsizeof=len)
        self._states: LRUCache[bytes, bytes] = LRUCache(STATE_BYTES, getsizeof=len)
        self.executor = make_executor(model, n_jobs, mixed_hosts)
        self.others: dict[OtherProfile, None] = {}
        scope = f"{model.prepared.fingerprint} {model.profile.digest}{' mixed hosts' if mixed_hosts else ''}"
        self._scope = hashlib.sha256(scope.encode()).digest()

    def companion(self, model: Model) -> Engine:
        """Return an engine for another model, which computes in this process and counts its own usage.

        It shares this engine's cache, progress and stops, and is closed with it.
        """
        other = Engine(model, self.answers, progress=lambda done, total: self.progress(done, total))
        other._leader = self
        return other

    def tokenize(self, requests: Sequence[Request]) -> list[ReadyRequest]:
        """Return the tokens of every request; see :meth:`Model.tokenize` for errors.

        Lists of requests recur, with other deltas or in later evaluations of a prompt, so their tokens are kept.
        """
        texts = tuple(replace(request, delta=None) if request.delta else request for request in requests)
        tokens = self._tokens.get(texts)
        if tokens is None:
            tokens = list(self.model.tokenize(texts))
            if len(tokens) <= TOKENIZED:
                self._tokens[texts] = tokens
        return [
            each.under(request.delta) if request.delta else each
            for each, request in zip(tokens, requests, strict=True)
        ]

    def answer(self, requests: Sequence[Request]) -> list[Any]:
        """Answer every request, in order.

        Raises:
            ModelError: if a request cannot be tokenised.
            Interrupted: if a stop was requested; every finished batch is in the cache.
        """
        return self.answer_tokenized(self.tokenize(requests))

    def answer_tokenized(self, requests: Sequence[ReadyRequest]) -> list[Answer]:
        """Answer tokenised requests, in order; see :meth:`answer`."""
        keys = [self._key(request) for request in requests]
        known = self._known(keys, requests)
        missing = {key: request for key, request in zip(keys, requests, strict=True) if key not in known}
        self.usage.requests += len(requests)
        self.usage.cache_hits += len(requests) - len(missing)
        self._compute(missing, known, len(requests))
        answers = [self.model.read(request, known[key]) for request, key in zip(requests, keys, strict=True)]
        for request, answer in zip(requests, answers, strict=True):
            self.usage.charge(request.cost(answer))
        return answers

    @property
    def looks_ahead(self) -> bool:
        """Whether :meth:`expect` does anything."""
        return self.executor.stream is not None

    def expect(self, requests: Sequence[ReadyRequest], share: float) -> None:
        """Let workers that would be idle begin with requests that will be asked later; see :class:`Stream`.

        Args:
            requests: tokenised.
            share: of all that is expected at a time.
        """
        stream = self.executor.stream
        if stream is None:
            return
        keys = [self._key(request) for request in requests]
        known = self._known(keys, requests)
        missing = {k: r for k, r in zip(keys, requests, strict=True) if k not in known and k not in stream}
        stream.expect(missing, share)

    def expect_nothing(self) -> None:
        """Forget what is only expected."""
        if self.executor.stream is not None:
            self.executor.stream.cancel()

    def learn(self, requests: Sequence[GradientRequest]) -> list[GradientResult]:
        """Return the value and the gradient of every request, in order; they are never cached.

        Raises:
            ModelError: if an example cannot be tokenised.
            Interrupted: if a stop was requested.
        """
        tokenized = []
        for request in requests:
            examples = tuple(r for r in self.tokenize(request.examples) if isinstance(r, TokenizedRequest))
            scales = request.scales(examples)
            tokenized.append(
                TokenizedGradient(examples, request.weights, scales, request.contrast, request.loss, request.margin)
            )
        self.usage.requests += len(tokenized)
        self.usage.tokens_charged += sum(each.tokens for each in tokenized)
        share = min(max(math.ceil(len(tokenized) / self.executor.n_jobs), 1), LESSONS)
        batches = [tokenized[begin : begin + share] for begin in range(0, len(tokenized), share)]
        answers: list[np.ndarray] = []
        for result in self.executor.run(batches):
            self._raise_if_stopped()
            self._count(result)
            answers += result.answers
        return [read_gradient(each, answer) for each, answer in zip(tokenized, answers, strict=True)]

    def _known(self, keys: Sequence[bytes], requests: Sequence[ReadyRequest]) -> dict[bytes, bytes]:
        """Return the answers that are stored, or kept in memory if they are states: key -> the array's bytes."""
        of_states = {key for key, request in zip(keys, requests, strict=True) if isinstance(request, TokenizedStates)}
        kept = {key: found for key in of_states if (found := self._states.get(key)) is not None}
        return kept | self._leader.answers.get([key for key in dict.fromkeys(keys) if key not in of_states])

    def _keep(self, fresh: dict[bytes, bytes], states: bool) -> None:
        if not states:
            self._leader.answers.put(fresh)
            return
        for key, answer in fresh.items():
            if len(answer) <= self._states.maxsize:
                self._states[key] = answer

    def _key(self, request: ReadyRequest) -> bytes:
        return request.key(self._scope + (request.delta.digest.encode() if request.delta else b""))

    def _compute(self, missing: dict[bytes, ReadyRequest], known: dict[bytes, bytes], total: int) -> None:
        """Compute the missing answers batch by batch; store each batch and add it to ``known``."""
        done = total - len(missing)
        self.progress(done, total)
        for batch, result in self._results(missing):
            fresh = {key: answer.tobytes() for key, answer in zip(batch, result.answers, strict=True)}
            self._keep(fresh, isinstance(next(iter(batch.values())), TokenizedStates))
            known.update(fresh)
            self._count(result)
            done += sum(key in missing for key in fresh)
            self.progress(done, total)
            self._raise_if_stopped()

    def _results(self, missing: dict[bytes, ReadyRequest]) -> Iterator[tuple[Batch, BatchResult]]:
        """Yield batches and their results until all that is missing is computed."""
        self._raise_if_stopped()
        stream = self.executor.stream
        if stream is not None:
            yield from stream.results(missing)
            return
        batches = cut(missing, self.executor.jobs(list(missing.values())))
        yield from zip(batches, self.executor.run([list(batch.values()) for batch in batches]), strict=True)

    def forget(self) -> None:
        """Forget all answers, states and tokens."""
        self._leader.answers.clear()
        self._tokens.clear()
        self._states.clear()

    def _count(self, result: BatchResult) -> None:
        self.usage.tokens_forwarded += result.tokens
        self.usage.tokens_padded += result.slab_tokens
        if result.other is not None:
            self.others[result.other] = None

    def _raise_if_stopped(self) -> None:
        if self._leader.stop_signal is not None:
            raise Interrupted(number=self._leader.stop_signal)

    def close(self) -> None:
        """End the workers and close the cache."""
        self.executor.close()
        self.answers.close()
