"""The code of a worker process: it loads the model once and answers batches.

Workers never write to the run, ignore Ctrl-C, SIGTERM and SIGHUP (the parent handles them) and end when their parent
is gone: plain loky workers live on for more than a minute after their parent was killed.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, lru_cache, partial
from typing import TypeAlias

import numpy as np
import psutil
import torch
from joblib.externals.loky import process_executor

from evolm.errors import ModelError
from evolm.evaluation.plan import plan, plan_generation, plan_states, split_answers
from evolm.evaluation.results import BatchResult, ModelMissing, OtherProfile
from evolm.models import (
    LanguageModel,
    ModelSpec,
    Tokenized,
    TokenizedGeneration,
    TokenizedGradient,
    TokenizedRequest,
    TokenizedStates,
)
from evolm.models.decoding import TextGenerator
from evolm.models.forward_plan import ForwardPlan
from evolm.models.hosts import on_this_host
from evolm.models.learning import GradientComputer
from evolm.models.profile import NumericProfile, differences
from evolm.signals import ENDING

PARENT_POLL_SECONDS = 0.5
LEAK = 300_000_000  # bytes of growth that loky takes for a memory leak; its default
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # parameters of glibc's mallopt
_LARGE_OBJECT = 2**25  # bytes: the largest object that glibc's heap holds
_FREE_HEAP = 2**29  # bytes: the most free heap that glibc keeps
_ONE_AT_A_TIME = threading.Lock()  # a model's caches and torch's number of threads belong to one batch
Asked: TypeAlias = Tokenized | TokenizedGradient


@lru_cache(maxsize=1)
def _model(spec: ModelSpec) -> LanguageModel:
    require_same_bits(spec)
    return LanguageModel(spec.prepared, spec.chat_template, spec.passes)


@lru_cache(maxsize=4)
def require_same_bits(spec: ModelSpec) -> OtherProfile | None:
    """Return this worker if its numeric profile is not the campaign's; None if they are equal.

    Raises:
        ModelError: if they differ and the campaign does not accept that.
    """
    device = torch.device(spec.prepared.device).type
    own = NumericProfile(spec.prepared.dtype, device, spec.passes.slab_tokens).text
    if own == spec.profile:
        return None
    if not spec.mixed_hosts:
        raise ModelError(
            f"worker on host {platform.node()!r}: expected the numeric profile of the campaign's host, with "
            f"{differences(spec.profile, own)}; its answers would have other last bits "
            "(evaluation.mixed_hosts = true accepts them)"
        )
    return OtherProfile(platform.node(), own)


@contextmanager
def canonical_threads(threads: int) -> Iterator[None]:
    """Compute with the profile's number of threads, and restore the process's own afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def answer_batch(spec: ModelSpec, requests: Sequence[Asked], model: LanguageModel | None = None) -> BatchResult:
    """Answer a batch of requests of one kind in this process, with ``model`` or the worker's own copy of it."""
    other = None if model else require_same_bits(spec)
    model = model or _model(spec)
    with canonical_threads(model.profile.threads):
        before = model.forward.work
        answers = _answers(model, requests)
        work = model.forward.work - before
        return BatchResult(answers, work.tokens, work.slab_tokens, other)


def _answers(model: LanguageModel, requests: Sequence[Asked]) -> list[np.ndarray]:
    if isinstance(requests[0], TokenizedGradient):
        return _gradients(model, [request for request in requests if isinstance(request, TokenizedGradient)])
    if isinstance(requests[0], TokenizedGeneration):
        return _generated(model, [request for request in requests if isinstance(request, TokenizedGeneration)])
    if isinstance(requests[0], TokenizedStates):
        return _states(model, [request for request in requests if isinstance(request, TokenizedStates)])
    return _scored(model, [request for request in requests if isinstance(request, TokenizedRequest)])


def _scored(model: LanguageModel, requests: Sequence[TokenizedRequest]) -> list[np.ndarray]:
    forward_plan = _planned(model, requests)
    return [np.concatenate(answer) for answer in split_answers(requests, model.forward.logprobs(forward_plan))]


def _states(model: LanguageModel, requests: Sequence[TokenizedStates]) -> list[np.ndarray]:
    forward_plan, chains = plan_states(requests, model.profile.slab_tokens, model.profile.block_tokens)
    return model.states.read(_with_shared_layers(model, forward_plan), chains, requests)


def _planned(model: LanguageModel, requests: Sequence[TokenizedRequest]) -> ForwardPlan:
    return _with_shared_layers(model, plan(requests, model.profile.slab_tokens, model.profile.block_tokens))


def _with_shared_layers(model: LanguageModel, forward_plan: ForwardPlan) -> ForwardPlan:
    # Only asked if deltas could share layers, since the answer takes forward passes.
    if forward_plan.depth and not model.forward.shares_layers_at(forward_plan.depth):
        return replace(forward_plan, depth=0)
    return forward_plan


def _generated(model: LanguageModel, requests: Sequence[TokenizedGeneration]) -> list[np.ndarray]:
    profile = model.profile
    forward_plan, ends = plan_generation(requests, profile.slab_tokens, profile.block_tokens)
    generator = TextGenerator(model.forward, profile.decode_rows, lambda tokens, d: model.decode(tokens, d).finished)
    return generator.generate(_with_shared_layers(model, forward_plan), ends, requests)


def _gradients(model: LanguageModel, requests: Sequence[TokenizedGradient]) -> list[np.ndarray]:
    return GradientComputer(model.forward, partial(_planned, model), model.structure).gradients(requests)


def answer_in_worker(spec: ModelSpec, requests: Sequence[Asked]) -> BatchResult:
    """Entry point of joblib's workers.

    Freed memory stays with the worker after a gradient: the next step needs as much, and getting the pages of a graph
    anew from the system takes time.
    """
    _reuse_memory()
    try:
        return answer_batch(spec, requests)
    finally:
        if not isinstance(requests[0], TokenizedGradient):
            _give_memory_back()


@lru_cache(maxsize=1)
def _on_this_host(spec: ModelSpec) -> ModelSpec:
    return replace(spec, prepared=on_this_host(spec.prepared))


def answer_on_cluster(spec: ModelSpec, requests: Sequence[Asked], place: str) -> BatchResult | ModelMissing:
    """Entry point of a cluster's workers, whose threads answer one batch at a time.

    Args:
        spec: the model's description.
        requests: of one kind.
        place: the cluster's address of this worker.

    Raises:
        ModelError: if this worker would compute other bits.
    """
    with _ONE_AT_A_TIME:
        require_same_bits(spec)
        try:
            here = _on_this_host(spec)
        except ModelError as error:
            return ModelMissing(platform.node(), place, str(error))
        return answer_in_worker(here, requests)


def _give_memory_back() -> None:
    """Return freed heap to the system: glibc keeps it otherwise, and it adds up over workers."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


@cache
def _reuse_memory() -> None:
    """Let glibc keep the memory of a tensor for the next one, as it does where nothing has configured it.

    Dask starts its workers with ``MALLOC_TRIM_THRESHOLD_``, which also ends glibc's own adaptation to large objects:
    every large tensor is then got anew from the system.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_MMAP_THRESHOLD, _LARGE_OBJECT)
        libc.mallopt(_TRIM_THRESHOLD, _FREE_HEAP)


def start_local_worker(parent: int, kept: int) -> None:
    """Initialise a worker process on this machine: ignore signals, end as soon as ``parent`` is gone.

    The parent may be gone already, since the worker's imports take seconds. Loky replaces a worker that has grown by
    300 MB, because it takes the growth for a memory leak; the limit is raised, so that the model's caches survive.

    Args:
        parent: process id.
        kept: bytes that the model's caches may take.
    """
    process_executor._MAX_MEMORY_LEAK_SIZE = LEAK + kept
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent and psutil.pid_exists(parent):
        time.sleep(PARENT_POLL_SECONDS)
    os._exit(1)
