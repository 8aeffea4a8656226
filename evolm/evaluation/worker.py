"""What runs inside a worker process: a model that loads once, and batches that it answers.

Workers never write to the run, ignore Ctrl-C (the parent decides what it means) and end when their parent is
gone: plain loky workers live on for more than a minute after their parent was killed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import psutil
import torch

from evolm.errors import ModelError
from evolm.evaluation.plan import plan
from evolm.models import LanguageModel, PreparedModel, TokenizedRequest

PARENT_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class ModelSpec:
    """What a worker needs to rebuild a model: names, no weights.

    Attributes:
        prepared: where the model lies.
        chat_template: ``"on"`` or ``"off"``.
        profile: digest of the numeric profile that the worker must arrive at by itself.
    """

    prepared: PreparedModel
    chat_template: str
    profile: str


@dataclass(frozen=True)
class BatchResult:
    """A batch's answers and what they took.

    Attributes:
        logprobs: ``(n_targets,)`` float32 in the order of the requests' continuations' tokens.
        tokens: tokens that passed the linear layers, padding excluded.
        slab_tokens: the same, padding included.
    """

    logprobs: np.ndarray
    tokens: int
    slab_tokens: int


@lru_cache(maxsize=1)
def _model(spec: ModelSpec) -> LanguageModel:
    model = LanguageModel(spec.prepared, spec.chat_template)
    if model.profile.digest != spec.profile:
        raise ModelError(
            f"a worker computes with numeric profile {model.profile.digest} ({model.profile.cpu}), expected "
            f"{spec.profile}: workers need the coordinator's processor type and library versions"
        )
    return model


@contextmanager
def canonical_threads(threads: int) -> Iterator[None]:
    """Compute with the profile's number of threads, and give the process back its own afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def answer_batch(
    spec: ModelSpec, requests: Sequence[TokenizedRequest], model: LanguageModel | None = None
) -> BatchResult:
    """Answer a batch in this process, with ``model`` or the worker's own copy of it."""
    model = model or _model(spec)
    profile = model.profile
    with canonical_threads(profile.threads):
        forward_plan = plan(requests, profile.slab_tokens, profile.block_tokens)
        logprobs = model.forward.logprobs(forward_plan)
    return BatchResult(logprobs, forward_plan.tokens, len(forward_plan.slabs) * profile.slab_tokens)


def answer_in_worker(spec: ModelSpec, requests: Sequence[TokenizedRequest]) -> BatchResult:
    """Entry point of joblib's workers."""
    try:
        return answer_batch(spec, requests)
    finally:
        _give_memory_back()


def _give_memory_back() -> None:
    """Return freed heap to the system (glibc keeps it otherwise): what batches leave behind adds up per worker."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def start_local_worker(parent: int) -> None:
    """Initialise a worker process on this machine: ignore Ctrl-C, end as soon as ``parent`` is gone.

    The parent may be gone already: a worker takes seconds to import what it needs.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent and psutil.pid_exists(parent):
        time.sleep(PARENT_POLL_SECONDS)
    os._exit(1)
