"""How much of the processor's speed one pass uses, and how much a second worker adds.

- *flops*: useful floating-point operations a second (tokens of segments, visible keys, scored positions; no padding
  anywhere) over the best of several matrix products in the same dtype, measured in the same rounds;
- *memory*: one copy of the weights for all workers (Linux);
- *workers*: two workers of one thread beside one, and beside one process of two threads, on the same requests;
- *states*: hidden states of six layers in the upper half, and of one layer two thirds of the way up, beside the
  log-probabilities of two labels of one token behind the same contexts.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import psutil
import torch
import torch.nn.functional as F

from benchmarks.material import KINDS, Shape, requests_of, tokens_of
from benchmarks.setting import COLD
from evolm.evaluation.executors import Executor, JoblibExecutor, SerialExecutor
from evolm.evaluation.plan import batch_target, batches, plan
from evolm.evaluation.timing import compare, middle
from evolm.evaluation.worker import answer_batch
from evolm.genomes.readout_space import auto_layers
from evolm.models import LanguageModel, TokenizedRequest
from evolm.models.forward_plan import ForwardPlan, Segment, ancestry
from evolm.models.requests import TokenizedStates
from evolm.models.specs import ModelSpec

ITEMS = 28  # of each prompt, which then fills two slabs
SQUARES = (1024, 2048)  # matrix products beside those of the model's own shapes
AT_LEAST = 0.3  # seconds that a product is repeated for; the processor's bursts are shorter


def spec_of(model: LanguageModel) -> ModelSpec:
    """Return the model specification that the engine gives its workers."""
    return ModelSpec(model.prepared, "off", model.profile.text, model.passes)


@lru_cache
def pool(model: LanguageModel) -> JoblibExecutor:
    """Return two workers, started once in a process, which ends them."""
    return JoblibExecutor(spec_of(model), 2)


def useful_operations(model: LanguageModel, forward_plan: ForwardPlan) -> int:
    """Return the floating-point operations that the answers need, a multiplication and an addition being two.

    Norms, activations, rotary embeddings and the normaliser's logarithm are left out, as is usual.
    """
    config = model.config.get_text_config()
    weights = sum(site.inputs * site.outputs for site in model.structure.sites if site.kind == "linear")
    width = config.num_attention_heads * (getattr(config, "head_dim", None) or _head_width(config))
    # A token sees all tokens before its segment, itself, and the tokens of its segment that it follows.
    seen = sum(len(s.tokens) * s.start + _seen_inside(s) for s in forward_plan.segments)
    attention = 2 * seen * width * config.num_hidden_layers  # products with keys, and with values
    head = len(forward_plan.positions) * config.hidden_size * config.vocab_size
    return 2 * (weights * forward_plan.tokens + attention + head)


def _seen_inside(segment: Segment) -> int:
    return int(ancestry(segment.follows).sum()) if segment.follows else sum(range(len(segment.tokens) + 1))


def _head_width(config: Any) -> int:
    return int(config.hidden_size // config.num_attention_heads)


def products(model: LanguageModel) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Return matrix products by their shapes: those of the model's layers on one slab, and square ones."""
    dtype = getattr(torch, model.prepared.dtype)
    slab = model.profile.slab_tokens
    linear = {(site.inputs, site.outputs) for site in model.structure.sites if site.kind == "linear"}
    shapes = [(slab, *each) for each in sorted(linear)] + [(size, size, size) for size in SQUARES]
    return {
        f"{rows}x{inner}x{columns}": (torch.randn(rows, inner).to(dtype), torch.randn(columns, inner).to(dtype))
        for rows, inner, columns in shapes
    }


@torch.inference_mode()
def product_rates(pairs: dict[str, tuple[torch.Tensor, torch.Tensor]]) -> dict[str, float]:
    """Return operations a second of each product."""
    rates = {}
    for name, (left, weight) in pairs.items():
        F.linear(left, weight)
        count, began = 0, time.perf_counter()
        while (spent := time.perf_counter() - began) < AT_LEAST:
            F.linear(left, weight)
            count += 1
        rates[name] = 2 * left.shape[0] * left.shape[1] * weight.shape[0] * count / spent
    return rates


def flops(model: LanguageModel, rounds: int, population: int) -> dict[str, Any]:
    """Measure useful operations a second beside the best product's, round by round.

    The best product is the one with the highest median over all rounds, each timed before and after a pass: the
    highest of many single timings would be the machine's luckiest moment.
    """
    shape = Shape(ITEMS, population=population)
    requests = tokens_of(model, requests_of(model, shape), shape)
    forward_plan = plan(requests, model.profile.slab_tokens, model.profile.block_tokens)
    useful, pairs = useful_operations(model, forward_plan), products(model)
    answer_batch(spec_of(model), requests, model)
    rates = []
    by_shape: dict[str, list[float]] = {name: [] for name in pairs}
    for _ in range(rounds):
        before = product_rates(pairs)
        began = time.perf_counter()
        answer_batch(spec_of(model), requests, model)
        rates.append(useful / (time.perf_counter() - began))
        after = product_rates(pairs)
        for name in pairs:
            by_shape[name].append((before[name] + after[name]) / 2)
    best = max(pairs, key=lambda name: statistics.median(by_shape[name]))
    shares = [rate / product for rate, product in zip(rates, by_shape[best], strict=True)]
    return {
        "rounds": rounds,
        "tokens": forward_plan.tokens,
        "padding": round(1 - forward_plan.tokens / (len(forward_plan.slabs) * model.profile.slab_tokens), 4),
        "useful_gflop": round(useful / 1e9, 2),
        "useful_gflops_per_second": middle([rate / 1e9 for rate in rates], 1),
        "product_gflops_per_second": {name: round(statistics.median(own) / 1e9, 1) for name, own in by_shape.items()},
        "best_product": best,
        "share_of_the_best_product": middle(shares),
    }


def _run(executor: Executor, requests: list[TokenizedRequest]) -> None:
    """Answer requests in the batches that the engine would make for this executor."""
    cut = batches(requests, batch_target(requests, executor.n_jobs))
    for _ in executor.run([[requests[index] for index in batch.indices] for batch in cut]):
        pass


def workers(model: LanguageModel, rounds: int, population: int) -> dict[str, Any]:
    """Time one worker, two workers, and one process of two threads; ratios are to the two workers."""
    shape = Shape(ITEMS, population=population)
    requests = tokens_of(model, requests_of(model, shape), shape)
    threaded = LanguageModel(model.prepared, "off", COLD)
    threaded.profile = replace(threaded.profile, threads=2)
    executors: dict[str, Executor] = {
        "two workers of one thread": pool(model),
        "one worker of one thread": SerialExecutor(spec_of(model), model),
        "one process of two threads": SerialExecutor(spec_of(threaded), threaded),
    }
    ways = {name: lambda each=each: _run(each, requests) for name, each in executors.items()}
    return {"rounds": rounds, "requests": len(requests), "ways": compare(ways, rounds)[0]}


def states(model: LanguageModel, rounds: int, population: int) -> dict[str, Any]:
    """Time the reading of states; ratios are to the log-probabilities of the same items.

    A round's prompts are new to each way: what passes of another kind keep is of no use to it.
    """
    shape = Shape(ITEMS, KINDS["one-token"], population)
    scored = tokens_of(model, requests_of(model, shape), shape)
    sets = {"six layers": auto_layers(model.layers), "one layer": (round(model.layers * 2 / 3),)}
    asked = {
        f"states of {name}": [
            TokenizedStates(request.context, request.prefix_length, layers, ("last", "mean")) for request in scored
        ]
        for name, layers in sets.items()
    }
    spec = spec_of(model)
    ways: dict[str, Callable[[], Any]] = {
        name: lambda requests=requests: answer_batch(spec, requests, model)  # type: ignore[misc]
        for name, requests in {"log-probabilities": scored, **asked}.items()
    }
    for _ in range(4):  # the model tries once whether a pass may end early
        ways["states of one layer"]()
    return {"rounds": rounds, "requests": len(scored), "layers": sets, "ways": compare(ways, rounds)[0]}


def memory(model: LanguageModel, items: int, repeats: int) -> dict[str, Any]:
    """Measure the memory of one and of two workers that have worked (Linux: smaps; MB = 10^6 bytes).

    The weights' proportional set size shows whether two workers hold one copy, as long as no other process maps the
    model. Private memory is what a worker has written (``Private_Dirty``): pages of a mapped file that only one
    process happens to read are not its own. Two workers get work ``repeats`` times, so that both have had some.
    """
    shape = Shape(items)
    requests = tokens_of(model, requests_of(model, shape), shape)
    record: dict[str, Any] = {}
    pool(model).close()
    for count, given in ((1, [1]), (2, [4] * repeats)):  # a single batch loads the model in one of the two
        for batches_given in given:
            list(pool(model).run([requests] * batches_given))
        children = psutil.Process(os.getpid()).children(recursive=True)
        found = [_memory(child, model.prepared.folder) for child in children]
        record[f"{count} worker{'s' * (count > 1)}"] = [own for own in found if own["weights_pss_mb"] > 0]
    one = record["1 worker"][0]["weights_pss_mb"]
    both = sum(own["weights_pss_mb"] for own in record["2 workers"])
    record["weights_pss_of_two_over_one"] = round(both / one, 3)
    return record


def _memory(process: psutil.Process, folder: str) -> dict[str, float]:
    maps = process.memory_maps(grouped=True)
    files = [m for m in maps if m.path.startswith("/")]
    return {
        "file_pss_mb": round(sum(m.pss for m in files) / 1e6, 1),
        "weights_pss_mb": round(sum(m.pss for m in files if m.path.startswith(folder)) / 1e6, 1),
        "private_mb": round(sum(m.private_dirty for m in maps) / 1e6, 1),
    }
