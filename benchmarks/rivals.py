"""Other ways to score labels: lm-evaluation-harness, and plain passes of transformers.

Both pass whole rows, prefix and item, again for every item, and all but the first way for every label too. All ways
get the same tokens in the same dtype on one thread, in batches of the size that suits the harness best. Rows of a
batch are equally long, so neither rival ever pads; plain passes read logits at scored positions only, and get
tokens where evolm and the harness start from text.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from benchmarks.material import KINDS, Shape, requests_of, tokens_of
from benchmarks.plain import last_logprobs
from benchmarks.setting import COLD, MODEL
from evolm.evaluation.engine import Engine
from evolm.evaluation.timing import compare
from evolm.models import LanguageModel, LogLikelihood, PreparedModel, TokenizedRequest, prepare
from evolm.storage import AnswerStore

# As many as leave evolm's last slab nearly full, as it is with many items; --items 240 takes far longer.
ITEMS = {"one-token": 32, "two-labels": 28, "five-labels": 25}
QUICK_ITEMS = {"one-token": 2, "two-labels": 1, "five-labels": 1}
BATCHES = (1, 2, 4, 8, 16)  # rows, tried for the harness
PROBED = 16  # rows that each size is tried with
FLOAT32_ROWS = 12  # that the agreement in float32 is measured on

Ways = dict[str, Callable[[], np.ndarray]]


def shared(model: LanguageModel, requests: list[LogLikelihood]) -> np.ndarray:
    """evolm's way, from text, with an empty cache: sums of the labels' log-probabilities, ``(items, labels)``."""
    store = AnswerStore(":memory:")
    answers = Engine(model, store).answer(requests)
    store.close()
    return np.array([[tokens.sum() for tokens in answer] for answer in answers])


class Plain:
    """The plain way: transformers' own forward pass over whole rows.

    Args:
        prepared: the model.
    """

    batch = 1  # rows of a pass

    def __init__(self, prepared: PreparedModel) -> None:
        dtype = getattr(torch, prepared.dtype)
        self.model = AutoModelForCausalLM.from_pretrained(prepared.folder, dtype=dtype).eval()

    @torch.inference_mode()
    def _last_logprobs(self, rows: list[tuple[int, ...]], keep: int) -> torch.Tensor:
        """Return ``(rows, keep, vocabulary)`` log-probabilities at the last ``keep`` positions of equal rows."""
        parts = []
        for begin in range(0, len(rows), self.batch):
            ids = torch.tensor(rows[begin : begin + self.batch])
            parts.append(last_logprobs(self.model, ids, keep))
        return torch.cat(parts)

    def per_item(self, requests: list[TokenizedRequest]) -> np.ndarray:
        """One pass per item: only labels of one token can be read from it. ``(items, labels)``."""
        logprobs = self._last_logprobs([r.context for r in requests], 1)[:, 0]
        return logprobs[:, [label[0] for label in requests[0].continuations]].numpy()

    def per_label(self, requests: list[TokenizedRequest]) -> np.ndarray:
        """One pass per item and label: sums of the label's log-probabilities. ``(items, labels)``."""
        columns = []
        for label in requests[0].continuations:
            logprobs = self._last_logprobs([r.context + label[:-1] for r in requests], len(label))
            columns.append(logprobs[:, range(len(label)), label].sum(-1))
        return torch.stack(columns, 1).numpy()


class Harness:
    """lm-evaluation-harness' own model class, as its command line makes it.

    Args:
        prepared: the model.

    Raises:
        SystemExit: if it is not installed.
    """

    def __init__(self, prepared: PreparedModel) -> None:
        try:
            from lm_eval.models.huggingface import HFLM
        except ImportError:
            raise SystemExit("lm-eval is missing: pip install -c constraints.txt -e '.[bench]'") from None
        self.model = HFLM(
            pretrained=prepared.folder, backend="causal", dtype=prepared.dtype, device="cpu", batch_size=1
        )

    def check(self, requests: list[LogLikelihood], tokenized: list[TokenizedRequest]) -> None:
        """Check that all ways receive the same tokens.

        Raises:
            ValueError: if the harness cuts a request into other tokens.
        """
        for request, tokens in zip(requests, tokenized, strict=True):
            for text, own in zip(request.continuations, tokens.continuations, strict=True):
                found = self.model._encode_pair(request.prefix + request.item, text)
                if tuple(map(tuple, found)) != (tokens.context, own):
                    raise ValueError(f"lm-eval encodes {text!r} as {found[1]}, evolm as {list(own)}")

    def __call__(self, requests: list[LogLikelihood]) -> np.ndarray:
        """``HFLM.loglikelihood`` of new instances, none of which it has seen: ``(items, labels)``."""
        from lm_eval.api.instance import Instance

        pairs = [(request.prefix + request.item, text) for request in requests for text in request.continuations]
        instances = [
            Instance(request_type="loglikelihood", doc={}, arguments=pair, idx=index)
            for index, pair in enumerate(pairs)
        ]
        found = self.model.loglikelihood(instances, disable_tqdm=True)
        return np.array([logprob for logprob, _ in found]).reshape(len(requests), -1)

    def probe(self, requests: list[LogLikelihood], sizes: tuple[int, ...]) -> dict[str, float]:
        """Time some batch sizes and keep the fastest; return seconds a label of each. A single one is just kept."""
        if len(sizes) == 1:
            self.model.batch_size_per_gpu = sizes[0]
            return {}
        labels = len(requests) * len(requests[0].continuations)
        self(requests[:1])
        seconds = {}
        for size in sizes:
            self.model.batch_size_per_gpu = size
            began = time.perf_counter()
            self(requests)
            seconds[str(size)] = round((time.perf_counter() - began) / labels, 4)
        self.model.batch_size_per_gpu = int(min(seconds, key=lambda size: seconds[size]))
        return seconds


@lru_cache
def rivals(prepared: PreparedModel) -> tuple[Harness, Plain]:
    """Return both, each loaded once in a process."""
    return Harness(prepared), Plain(prepared)


class Contest:
    """All ways of asking the same, side by side.

    Args:
        model: evolm's, from the folder that the others load.
        kind: of labels, a key of :data:`KINDS`.
        items: how many.
        sizes: batch sizes that the harness may choose from.
    """

    def __init__(self, model: LanguageModel, kind: str, items: int, sizes: tuple[int, ...]) -> None:
        shape = Shape(items, KINDS[kind])
        self.requests = requests_of(model, shape)
        self.tokenized = tokens_of(model, self.requests, shape)
        self.model = model
        self.harness, self.plain = rivals(model.prepared)
        self.harness.check(self.requests, self.tokenized)
        self.one_token = set(shape.labels) == {1}
        # The harness passes labels of one token together, so its rows are items there, and labels' rows elsewhere.
        rows_per_item = 1 if self.one_token else len(shape.labels)
        probed = self.requests[: max(PROBED // rows_per_item, 1)]
        self.batch_seconds = self.harness.probe(probed, sizes)
        self.plain.batch = self.batch = int(self.harness.model.batch_size_per_gpu)

    def ways(self, count: int | None = None) -> Ways:
        """Return the ways, evolm's first, to ask the first ``count`` requests."""
        requests, tokenized = self.requests[:count], self.tokenized[:count]
        ways: Ways = {
            "evolm": lambda: shared(self.model, requests),
            "lm-eval": lambda: self.harness(requests),
        }
        if self.one_token:
            ways["plain, per item"] = lambda: self.plain.per_item(tokenized)
        elif len(requests[0].continuations) == 2:  # with more labels, the same takes longer
            ways["plain, per item and label"] = lambda: self.plain.per_label(tokenized)
        return ways


@lru_cache
def float32_model() -> LanguageModel:
    """Return evolm's model in float32, where all ways should agree."""
    return LanguageModel(prepare(MODEL, dtype="float32"), "off", COLD)


def differences(answers: dict[str, np.ndarray]) -> dict[str, float]:
    """Return each way's largest difference (nats) to evolm's sums of log-probabilities."""
    return {name: float(np.abs(answer - answers["evolm"]).max()) for name, answer in answers.items()}


def contest(kind: str, model: LanguageModel, rounds: int, items: int, sizes: tuple[int, ...]) -> dict[str, Any]:
    """Time all ways on one kind of labels; seconds, ratios to evolm's and differences in both dtypes."""
    few = min(max(FLOAT32_ROWS // len(KINDS[kind]), 1), items)
    exact = Contest(float32_model(), kind, few, (4,))
    in_float32 = differences({name: way() for name, way in exact.ways().items()})
    sides = Contest(model, kind, items, sizes)
    for way in sides.ways(1).values():  # warm-up
        way()
    timings, answers = compare(sides.ways(), rounds, warm_up=False)
    differing = differences(answers)
    for name, row in timings.items():
        row["largest_difference_nats"] = differing[name]
        row["largest_difference_nats_float32"] = in_float32[name]
    return {
        "lm_eval": version("lm_eval"),
        "rounds": rounds,
        "labels": list(KINDS[kind]),
        "items": items,
        "float32_items": few,
        "batch": sides.batch,
        "lm_eval_seconds_a_label_by_batch": sides.batch_seconds,
        "ways": timings,
    }
