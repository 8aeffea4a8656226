"""Requests in, answers out, in the order asked: tokenised, deduplicated, cached, planned, executed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from evolm.errors import Interrupted
from evolm.evaluation.executors import Executor, JoblibExecutor, SerialExecutor
from evolm.evaluation.plan import batch_target, batches, split_answers
from evolm.evaluation.worker import ModelSpec
from evolm.models import Answer, LanguageModel, LogLikelihood, TokenizedRequest
from evolm.storage.answers import AnswerStore, answer_key


@dataclass
class Usage:
    """What the engine was asked and what it did about it; counts since the run began.

    Attributes:
        requests: requests answered.
        cache_hits: of these, how many the cache or an equal request in the same call answered.
        tokens_charged: their tokens, before caching and sharing.
        tokens_forwarded: tokens that passed the linear layers.
        tokens_padded: the same with the padding of slabs.
    """

    requests: int = 0
    cache_hits: int = 0
    tokens_charged: int = 0
    tokens_forwarded: int = 0
    tokens_padded: int = 0

    def to_record(self) -> dict[str, int]:
        """Return plain JSON values."""
        return asdict(self)


class Engine:
    """Answers requests with one model.

    Args:
        model: tokenises; computes too when ``n_jobs`` is 1.
        answers: the cache.
        n_jobs: worker processes; 1 computes in this process.
        progress: called with the number of requests answered so far and in all, after each batch.
    """

    def __init__(
        self,
        model: LanguageModel,
        answers: AnswerStore,
        n_jobs: int = 1,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.model = model
        self.answers = answers
        self.usage = Usage()
        self.progress = progress or (lambda done, total: None)
        self.stop_requested = False
        spec = ModelSpec(model.prepared, "on" if model.chat else "off", model.profile.digest)
        self.executor: Executor = SerialExecutor(spec, model) if n_jobs == 1 else JoblibExecutor(spec, n_jobs)
        self._scope = hashlib.sha256(f"{model.prepared.fingerprint} {model.profile.digest}".encode()).digest()

    def tokenize(self, requests: Sequence[LogLikelihood]) -> list[TokenizedRequest]:
        """Return the tokens of every request; see :meth:`LanguageModel.tokenize` for errors."""
        return self.model.tokenize(requests)

    def answer(self, requests: Sequence[LogLikelihood]) -> list[Answer]:
        """Answer every request, in order.

        Raises:
            ModelError: if a request cannot be tokenised.
            Interrupted: if a stop was requested; every finished batch is in the cache.
        """
        return self.answer_tokenized(self.tokenize(requests))

    def answer_tokenized(self, requests: Sequence[TokenizedRequest]) -> list[Answer]:
        """Answer requests that are tokens already."""
        keys = [answer_key(self._scope, r.context, r.prefix_length, r.continuations) for r in requests]
        known = self.answers.get(list(dict.fromkeys(keys)))
        missing = {key: request for key, request in zip(keys, requests, strict=True) if key not in known}
        self.usage.requests += len(requests)
        self.usage.cache_hits += len(requests) - len(missing)
        self.usage.tokens_charged += sum(request.tokens for request in requests)
        self._compute(missing, known, len(requests))
        return [split_answers([r], known[k])[0] for r, k in zip(requests, keys, strict=True)]

    def _compute(self, missing: dict[bytes, TokenizedRequest], known: dict[bytes, np.ndarray], total: int) -> None:
        """Fill ``known`` with what is missing, batch by batch, storing each as it comes."""
        keys, requests = list(missing), list(missing.values())
        jobs = list(batches(requests, batch_target(requests, self.executor.n_jobs)))
        done = total - len(missing)
        self.progress(done, total)
        results = self.executor.run([[requests[i] for i in job.indices] for job in jobs])
        for job in jobs:
            self._stop_if_asked()
            result = next(results)
            answers = split_answers([requests[i] for i in job.indices], result.logprobs)
            fresh = {keys[i]: np.concatenate(a) for i, a in zip(job.indices, answers, strict=True)}
            self.answers.put(fresh)
            known.update(fresh)
            self.usage.tokens_forwarded += result.tokens
            self.usage.tokens_padded += result.slab_tokens
            done += len(fresh)
            self.progress(done, total)
        self._stop_if_asked()

    def _stop_if_asked(self) -> None:
        if self.stop_requested:
            raise Interrupted

    def close(self) -> None:
        """End the workers and close the cache."""
        self.executor.close()
        self.answers.close()
