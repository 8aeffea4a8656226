"""The cost of batches in which every row may carry its own change of the weights, and the savings of sharing.

    python -m benchmarks.delta_speed [--quick] [--dtype float32] [--part mixed|individuals|trunk|memory]

SmolLM2-135M-Instruct, one thread, one prompt of 60 tokens, items of 20, one scored position; ratios round by round in
alternating order, medians. evolm's engine runs without its cache of answers.

- *mixed*: 16 deltas of rank 1 in one batch, over the same number of prompts without any (the same tokens, nothing
  shared between prompts in either);
- *individuals*: individuals scored a second by one batch of 4 deltas, against three ways of doing it one by one:
  merge the delta into the weights, pass, restore; PEFT's ``set_adapter``; perturb and restore *all* weights by a seed
  (the way of ES-at-Scale, Qiu 2025, https://arxiv.org/abs/2509.24372). These pass plain batches of 16 rows;
- *trunk*: one delta after another on the same items with cached states of the lower layers, over the same without;
- *memory*: peak of a process that scores 64 deltas, over one that scores the same rows without.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import psutil
import torch
from transformers import AutoModelForCausalLM

from benchmarks.plain import last_logprobs
from benchmarks.setting import MODEL, read_result, setting, write_result
from evolm.evaluation.timing import compare
from evolm.evaluation.worker import answer_batch
from evolm.genomes import DeltaSettings, DeltaSpace
from evolm.models import LanguageModel, PassSettings, TokenizedRequest, prepare
from evolm.models.deltas import Delta, LowRank
from evolm.models.specs import ModelSpec
from evolm.wording import markdown_table

PREFIX, ITEM, POPULATION, PLAIN_ROWS = 60, 20, 16, 16
ALONE = 4  # individuals that are also scored one by one
LABELS = ((19556,), (905,))
MODULES = {"q and v": ("q_proj", "v_proj"), "all linear": ("all-linear",)}
ITEMS = (2, 8, 32)
SIGMA = 0.02
MERGING = "merge, pass, restore"
RIVALS = {
    MERGING: "individuals a second over merge, pass, restore",
    "PEFT set_adapter": "the same over PEFT's `set_adapter`",
    "perturb all weights": "the same over perturbing and restoring all weights",
}
MIXED_WANTED = {"q and v": "0.93", "all linear": "0.85"}
MERGING_WANTED = {
    "all": {"2 items": "2.5", "8 items": "1.3", "32 items": "0.95"},
    "last:3": dict.fromkeys(("2 items", "8 items", "32 items"), "3"),
}

Ways = dict[str, Callable[[], Any]]


def rows(model: LanguageModel, items: int, prompts: int = 1, seed: int = 0) -> list[list[TokenizedRequest]]:
    """Return, for each of some random prompts, requests about the same random items."""
    rng = np.random.default_rng(seed)
    size = len(model.tokenizer)
    questions = [tuple(rng.integers(100, size, ITEM).tolist()) for _ in range(items)]
    prefixes = [tuple(rng.integers(100, size, PREFIX).tolist()) for _ in range(prompts)]
    return [[TokenizedRequest(prefix + item, PREFIX, LABELS) for item in questions] for prefix in prefixes]


def population(model: LanguageModel, layers: str, modules: tuple[str, ...], count: int = POPULATION) -> list[Delta]:
    """Return random deltas of rank 1."""
    space = DeltaSpace.of(model, DeltaSettings(layers, modules, 1, "subspace", 48, SIGMA))
    rng = np.random.default_rng(0)
    return [delta for _ in range(count) if (delta := space.delta(space.random(rng))) is not None]


def carried(requests: list[TokenizedRequest], delta: Delta) -> list[TokenizedRequest]:
    return [replace(request, delta=delta) for request in requests]


def answered(model: LanguageModel, requests: list[TokenizedRequest]) -> None:
    model.forward.prefixes.forget()  # in a campaign prompts are new, here they are the same in every round
    answer_batch(ModelSpec(model.prepared, "off", model.profile.text), requests, model)


# -- a batch in which every prompt carries a delta -----------------------------------------------------------


def mixed(model: LanguageModel, rounds: int) -> dict[str, Any]:
    """Return, per set of modules, the time of a batch without deltas over one with; targets are 0.93 and 0.85."""
    prompts = rows(model, 4, POPULATION)
    plain = [request for own in prompts for request in own]
    record = {}
    for name, modules in MODULES.items():
        deltas = population(model, "all", modules)
        loaded = [r for own, delta in zip(prompts, deltas, strict=True) for r in carried(own, delta)]
        ways: Ways = {
            "mixed": lambda loaded=loaded: answered(model, loaded),  # type: ignore[misc]
            "plain": lambda: answered(model, plain),
        }
        record[name] = compare(ways, 3 * rounds)[0]  # the ratio is near 1, and machines drift
    return record


# -- individuals a second ------------------------------------------------------------------------------------


class OneByOne:
    """Ways to score a population by a model whose weights hold one individual at a time.

    Args:
        model: the model.
        deltas: the population.
    """

    def __init__(self, model: LanguageModel, deltas: list[Delta]) -> None:
        self.model = self._load(model)
        self.deltas = deltas
        self.weights = {name: self.model.get_submodule(name).weight for name in deltas[0].changes}
        self.adapted = self._with_adapters(model)

    @staticmethod
    def _load(model: LanguageModel) -> Any:
        dtype = getattr(torch, model.prepared.dtype)
        return AutoModelForCausalLM.from_pretrained(model.prepared.folder, dtype=dtype).eval().requires_grad_(False)

    def _with_adapters(self, model: LanguageModel) -> Any:
        from peft import LoraConfig, get_peft_model

        names = [name.removeprefix("model.") for name in self.deltas[0].changes]
        config = LoraConfig(r=1, lora_alpha=1, target_modules=names)
        adapted = get_peft_model(self._load(model), config, adapter_name="0")
        for index in range(1, len(self.deltas)):
            adapted.add_adapter(str(index), config)
        modules = dict(adapted.named_modules())
        for index, delta in enumerate(self.deltas):
            for name, change in delta.changes.items():
                layer = modules[f"base_model.model.{name}"]
                assert isinstance(change, LowRank)
                layer.lora_A[str(index)].weight.data.copy_(torch.from_numpy(change.down))
                layer.lora_B[str(index)].weight.data.copy_(torch.from_numpy(change.up))
        return adapted.eval()

    @staticmethod
    @torch.inference_mode()
    def _pass(model: Any, requests: list[TokenizedRequest]) -> None:
        for begin in range(0, len(requests), PLAIN_ROWS):
            ids = torch.tensor([request.context for request in requests[begin : begin + PLAIN_ROWS]])
            last_logprobs(model, ids)

    def merge(self, requests: list[TokenizedRequest]) -> None:
        """Merge, pass, restore."""
        for delta in self.deltas:
            kept = {name: weight.data for name, weight in self.weights.items()}
            for name, change in delta.changes.items():
                assert isinstance(change, LowRank)
                product = torch.from_numpy(change.up @ change.down)
                self.weights[name].data = (kept[name].float() + product).to(kept[name].dtype)
            self._pass(self.model, requests)
            for name, data in kept.items():
                self.weights[name].data = data

    def adapters(self, requests: list[TokenizedRequest]) -> None:
        """PEFT's adapters, one after the other."""
        for index in range(len(self.deltas)):
            self.adapted.set_adapter(str(index))
            self._pass(self.adapted.get_base_model(), requests)

    def perturb(self, requests: list[TokenizedRequest], count: int) -> None:
        """Add seeded noise to all weights, pass, take it away again; for ``count`` individuals."""
        for seed in range(count):
            for sign in (1.0, -1.0):
                generator = torch.Generator().manual_seed(seed)
                for weight in self.model.parameters():
                    noise = torch.randn(weight.shape, generator=generator)
                    weight.data.add_(noise.to(weight.dtype), alpha=sign * SIGMA)
                if sign > 0:
                    self._pass(self.model, requests)


def individuals(model: LanguageModel, rounds: int) -> dict[str, Any]:
    """Return, for each number of items, how many times faster a batch of deltas is than one by one."""
    record: dict[str, Any] = {}
    for layers in ("all", "last:3"):
        deltas = population(model, layers, MODULES["q and v"], ALONE)
        alone = OneByOne(model, deltas)
        for items in ITEMS:
            (requests,) = rows(model, items)
            loaded = [request for delta in deltas for request in carried(requests, delta)]
            ways: Ways = {
                "evolm": lambda loaded=loaded: answered(model, loaded),  # type: ignore[misc]
                "merge, pass, restore": lambda requests=requests, alone=alone: alone.merge(requests),  # type: ignore[misc]
                "PEFT set_adapter": lambda requests=requests, alone=alone: alone.adapters(requests),  # type: ignore[misc]
            }
            found = compare(ways, rounds if items < 32 else min(rounds, 3))[0]
            if layers == "all" and items == ITEMS[0]:
                began = time.perf_counter()
                alone.perturb(requests, 1)
                one = time.perf_counter() - began
                found["perturb all weights"] = {
                    "seconds": round(one * ALONE, 4),
                    "ratio": round(one * ALONE / found["evolm"]["seconds"], 3),
                }
            record[f"{layers}, {items} items"] = found
    return record


# -- shared states -------------------------------------------------------------------------------------------


def trunk(model: LanguageModel, rounds: int) -> dict[str, Any]:
    """Return how much faster a delta in the last k layers is scored with shared states: warm, and the first time."""
    (requests,) = rows(model, 96)
    record = {}
    for k in (3, 8):
        deltas = iter(population(model, f"last:{k}", MODULES["q and v"], 4 * rounds + 8))
        apart = LanguageModel(model.prepared, "off", PassSettings(trunk_bytes=0))
        model.forward.shared.forget()
        began = time.perf_counter()
        answered(model, carried(requests, next(deltas)))
        cold = time.perf_counter() - began
        ways: Ways = {
            "warm": lambda deltas=deltas: answered(model, carried(requests, next(deltas))),  # type: ignore[misc]
            "not shared": lambda deltas=deltas, apart=apart: answered(apart, carried(requests, next(deltas))),  # type: ignore[misc]
        }
        found = compare(ways, rounds)[0]
        warm, unshared = found["warm"]["seconds"], found["not shared"]["seconds"]
        layers = model.structure.layers
        record[f"last {k} of {layers}"] = {
            **found,
            "cold_seconds": round(cold, 4),
            "wanted_ratio": round(0.7 * layers / k, 2),
            "pays_after_individuals": round((cold - warm) / (unshared - warm), 2),
        }
    return record


# -- memory --------------------------------------------------------------------------------------------------


def _peak(dtype: str, count: int, results: Any) -> None:
    """Score 64 rows, each with a delta or none; report the process's peak of memory in MB (10^6 bytes)."""
    torch.set_num_threads(1)
    model = LanguageModel(prepare(MODEL, dtype=dtype), "off")
    deltas = population(model, "all", MODULES["q and v"], count)
    prompts = rows(model, 2, 64)
    loaded = [r for own, delta in zip(prompts, deltas, strict=True) for r in carried(own, delta)] if deltas else []
    answered(model, loaded or [request for own in prompts for request in own])
    memory = psutil.Process().memory_info()
    results.put(float(getattr(memory, "peak_wset", 0) or _high_water()) / 1e6)


def _high_water() -> float:
    """Peak resident bytes of this process (Linux)."""
    with open("/proc/self/status", encoding="utf-8") as status:
        line = next(line for line in status if line.startswith("VmHWM"))
    return float(line.split()[1]) * 1024


def memory(dtype: str) -> dict[str, float]:
    """Return peaks in MB with 64 deltas in one batch and without, and their ratio; the target is at most 1.3."""
    context = multiprocessing.get_context("spawn")
    peaks = {}
    for name, count in (("plain", 0), ("64 deltas", 64)):
        results = context.Queue()
        process = context.Process(target=_peak, args=(dtype, count, results))
        process.start()
        peaks[name] = round(float(results.get()), 1)
        process.join()
    return {**peaks, "ratio": round(peaks["64 deltas"] / peaks["plain"], 3)}


PARTS: dict[str, Callable[[LanguageModel, int], dict[str, Any]]] = {
    "mixed": mixed,
    "individuals": individuals,
    "trunk": trunk,
    "memory": lambda model, rounds: memory(model.prepared.dtype),
}


def costs_table(measured: dict[str, Any]) -> str:
    """Return the README's table of measured values and targets."""
    rows: list[tuple[str, str, str]] = []
    for modules, ways in measured.get("mixed", {}).items():
        what = f"a batch of {POPULATION} deltas of rank 1 ({modules}): plain time over mixed time"
        rows.append((what, f"{ways['plain']['ratio']:.2f}", MIXED_WANTED[modules]))
    for rival, what in RIVALS.items():
        for case, ways in measured.get("individuals", {}).items():
            if rival in ways:
                layers, items = case.split(", ")
                wanted = MERGING_WANTED[layers][items] if rival == MERGING else ""
                rows.append((f"{what}, layers {layers}, {items}", f"{ways[rival]['ratio']:.2f}", wanted))
    for case, own in measured.get("trunk", {}).items():
        ratio = f"{own['not shared']['ratio']:.2f}"
        rows.append((f"lower layers at hand, delta in the {case} layers", ratio, f"{own['wanted_ratio']:.2f}"))
    if "memory" in measured:
        rows.append(("peak memory with 64 deltas over none", f"{measured['memory']['ratio']:.2f}", "at most 1.3"))
    return markdown_table(("what", "measured", "wanted"), rows)


def main() -> None:
    """Measure, print, write results/delta_speed.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds; writes delta_speed-quick.json")
    parser.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--part", choices=list(PARTS), help="measure one part, keep the others' figures")
    arguments = parser.parse_args()
    rounds = 2 if arguments.quick else 5
    name = "delta_speed-quick" if arguments.quick else "delta_speed"
    torch.set_num_threads(1)
    model = LanguageModel(prepare(MODEL, dtype=arguments.dtype), "off")
    record = read_result(name)
    for part in [arguments.part] if arguments.part else PARTS:
        command = f"python -m benchmarks.delta_speed --part {part}"
        record[part] = {
            **setting(command),
            "dtype": model.prepared.dtype,
            "rounds": rounds,
            "measured": PARTS[part](model, rounds),
        }
        write_result(name, record)
    print(costs_table({part: record[part]["measured"] for part in PARTS if part in record}))


if __name__ == "__main__":
    main()
