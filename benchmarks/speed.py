"""How much faster sharing makes scoring, and what workers cost in memory.

    python -m benchmarks.speed [--quick] [--dtype float32] [--part sharing|memory]

One prompt of 200 tokens, 64 items of 25 tokens, labels of one token and of several; SmolLM2-135M-Instruct, one
thread. evolm's engine (cache off) against plain transformers in two forms that people write: one full pass per
item (labels of one token can share it), and one per item and label. Plain passes run in batches of 16 rows
without padding, with logits at scored positions only: as good as the plain way gets. The order alternates, figures
are medians, and ratios are taken round by round, since these machines' speed drifts.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil
import torch
from rich.console import Console
from rich.table import Table
from transformers import AutoModelForCausalLM

from benchmarks.plain import last_logprobs
from benchmarks.setting import MODEL, read_result, setting, write_result
from benchmarks.timing import compare
from evolm.evaluation.executors import JoblibExecutor
from evolm.evaluation.plan import split_answers
from evolm.evaluation.worker import ModelSpec, answer_batch
from evolm.models import LanguageModel, TokenizedRequest, prepare

PREFIX, ITEMS, ITEM_TOKENS = 200, 64, 25
PLAIN_ROWS = 16
LABELS = {"one token": ((19556,), (905,)), "two and three tokens": ((19556, 905), (26804, 19556, 905))}


def requests_of(
    labels: tuple[tuple[int, ...], ...], vocabulary: int, items: int = ITEMS, seed: int = 0
) -> list[TokenizedRequest]:
    """Return requests with one random prefix of 200 tokens and random items of 25."""
    rng = np.random.default_rng(seed)
    prefix = tuple(rng.integers(100, vocabulary, PREFIX).tolist())
    return [
        TokenizedRequest(prefix + tuple(rng.integers(100, vocabulary, ITEM_TOKENS).tolist()), PREFIX, labels)
        for _ in range(items)
    ]


class Plain:
    """The plain way: transformers' own forward pass over whole rows."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = AutoModelForCausalLM.from_pretrained(
            model.prepared.folder, dtype=getattr(torch, model.prepared.dtype)
        ).eval()

    @torch.inference_mode()
    def _last_logprobs(self, rows: list[tuple[int, ...]], keep: int) -> torch.Tensor:
        """Return ``(rows, keep, vocabulary)`` log-probabilities at the last ``keep`` positions of equal rows."""
        parts = []
        for begin in range(0, len(rows), PLAIN_ROWS):
            ids = torch.tensor(rows[begin : begin + PLAIN_ROWS])
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


def shared(model: LanguageModel, requests: list[TokenizedRequest]) -> np.ndarray:
    """evolm's way: sums of the labels' log-probabilities, ``(items, labels)``."""
    spec = ModelSpec(model.prepared, "off", model.profile.digest)
    answers = split_answers(requests, np.concatenate(answer_batch(spec, requests, model).answers))
    return np.array([[tokens.sum() for tokens in answer] for answer in answers])


def sharing(dtype: str, rounds: int, items: int = ITEMS) -> dict[str, Any]:
    """Measure shared against plain passes for each kind of labels, and their agreement."""
    torch.set_num_threads(1)
    model = LanguageModel(prepare(MODEL, dtype=dtype), "off")
    plain = Plain(model)
    record: dict[str, Any] = {"dtype": model.prepared.dtype, "rounds": rounds, "items": items}
    for kind, labels in LABELS.items():
        requests = requests_of(labels, len(model.tokenizer), items)
        ways: dict[str, Callable[[], np.ndarray]] = {"evolm": lambda r=requests: shared(model, r)}
        if kind == "one token":
            ways["plain, per item"] = lambda r=requests: plain.per_item(r)
        ways["plain, per item and label"] = lambda r=requests: plain.per_label(r)
        timings, answers = compare(ways, rounds)
        for name, answer in answers.items():
            timings[name]["largest_difference_nats"] = float(np.abs(answer - answers["evolm"]).max())
        record[kind] = timings
    return record


def worker_memory(dtype: str) -> dict[str, Any]:
    """Measure the memory of one and of two workers that have worked (Linux: smaps; MB = 10^6 bytes).

    The weights' proportional set size shows whether two workers hold one copy. Private memory is what a worker
    has written (``Private_Dirty``): pages of a mapped file that only one process happens to read are not its own.
    """
    prepared = prepare(MODEL, dtype=dtype)
    model = LanguageModel(prepared, "off")
    spec = ModelSpec(prepared, "off", model.profile.digest)
    requests = requests_of(LABELS["two and three tokens"], len(model.tokenizer))
    record: dict[str, Any] = {"dtype": prepared.dtype}
    for workers in (1, 2):
        executor = JoblibExecutor(spec, 2)  # the pool holds two; a single batch loads the model in one of them
        for _ in range(1 if workers == 1 else 6):
            list(executor.run([requests] * (1 if workers == 1 else 4)))
        found = [_memory(child, prepared.folder) for child in psutil.Process(os.getpid()).children(recursive=True)]
        found = [memory for memory in found if memory["weights_pss_mb"] > 0]
        record[f"{workers} worker{'s' * (workers > 1)}"] = found
        executor.close()
    one = record["1 worker"][0]["weights_pss_mb"]
    both = sum(memory["weights_pss_mb"] for memory in record["2 workers"])
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


def main() -> None:
    """Measure, print, write results/speed.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds; writes speed-quick.json")
    parser.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--part", choices=["sharing", "memory"], help="measure one part, keep the other's figures")
    arguments = parser.parse_args()
    rounds = 3 if arguments.quick else 5
    name = "speed-quick" if arguments.quick else "speed"
    record = read_result(name)
    if arguments.part != "sharing":
        record["memory"] = {**setting("python -m benchmarks.speed --part memory"), **worker_memory(arguments.dtype)}
    if arguments.part != "memory":
        measured = [sharing(arguments.dtype, rounds)]
        if measured[0]["dtype"] != "float32":  # where both ways can be compared digit by digit
            measured.append(sharing("float32", 1, items=16))
        shape = {"prefix": PREFIX, "items": ITEMS, "item_tokens": ITEM_TOKENS, "threads": 1}
        record["sharing"] = {**setting("python -m benchmarks.speed --part sharing"), **shape, "measured": measured}
    path = write_result(name, record)
    console = Console()
    for measured in record.get("sharing", {}).get("measured", []):
        table = Table(
            "labels", "way", "seconds", "ratio", "lowest", "largest difference (nats)", title=measured["dtype"]
        )
        for kind in LABELS:
            for name, row in measured[kind].items():
                table.add_row(
                    kind,
                    name,
                    f"{row['seconds']:.2f}",
                    f"{row['ratio']:.2f}",
                    f"{row['lowest_ratio']:.2f}",
                    f"{row['largest_difference_nats']:.1e}",
                )
        console.print(table)
    console.print(record.get("memory"))
    console.print(f"Written to {path.name}")


if __name__ == "__main__":
    main()
