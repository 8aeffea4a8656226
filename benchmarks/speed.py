"""The engine's speed, compared with other tools and with the processor's limits, and its growth with the work.

    python -m benchmarks.speed [--quick] [--dtype float32] [--part NAME] [--items N]

SmolLM2-135M-Instruct; prompts of 200 tokens and items of 25 unless a part says otherwise. The order of what is
compared alternates, figures are medians of at least 5 rounds, and ratios are taken round by round, since these
machines' speed drifts. Every part keeps its own command, commit, machine and versions, and can be measured alone:

- *one-token*, *two-labels*, *five-labels*: evolm against lm-evaluation-harness (``HFLM.loglikelihood``) and against
  plain passes of transformers, for two labels of one token, two of two and three tokens, five of two and three; with
  the largest difference of log-probabilities, in the dtype timed and in float32 (see :mod:`benchmarks.rivals`). 32,
  28 and 25 items instead of 240, for the harness is slow and ratios are per item anyway. evolm gets
  the same few, and would gain by more of them, since a prompt is passed once for all: ``--items 240``;
- *flops*, *memory*, *workers*, *states*: see :mod:`benchmarks.throughput`;
- *growth*: see :mod:`benchmarks.growth`; the plot is ``results/speed_growth.png``;
- *padding*, *campaign*: see :mod:`benchmarks.generations`.

``--quick`` measures everything in fewer rounds with fewer items, which proves only that it works: targets hold
for the full measurement.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from transformers.utils.logging import disable_progress_bar

from benchmarks import growth
from benchmarks.generations import campaign, padding
from benchmarks.rivals import BATCHES, ITEMS, QUICK_ITEMS, contest
from benchmarks.setting import COLD, MODEL, RESULTS, read_result, setting, write_result
from benchmarks.throughput import flops, memory, states, workers
from evolm.models import LanguageModel, prepare
from evolm.wording import markdown_table


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Attributes:
        quick: for a look only.
        items: of the rivals' parts; 0 = what suits each.
    """

    quick: bool
    items: int = 0

    @property
    def rounds(self) -> int:
        """Timed rounds."""
        return 1 if self.quick else 5


def _contest(kind: str, model: LanguageModel, effort: Effort) -> dict[str, Any]:
    items = effort.items or (QUICK_ITEMS if effort.quick else ITEMS)[kind]
    sizes = (8,) if effort.quick else BATCHES
    return contest(kind, model, effort.rounds, items, sizes)


def _campaign(model: LanguageModel, effort: Effort) -> dict[str, Any]:
    tables: dict[str, Any] = {"model": {"dtype": model.prepared.dtype}}
    if effort.quick:
        tables |= {"task": {"split": {"dev": 4}}, "strategy": {"population_size": 2, "offspring": 2}}
    return campaign(2 if effort.quick else 6, **tables)


PARTS: dict[str, Callable[[LanguageModel, Effort], dict[str, Any]]] = {
    # The first part, since it counts mapped weights, which only workers may have mapped.
    "memory": lambda model, effort: memory(model, *((4, 1) if effort.quick else (64, 6))),
    **{kind: partial(_contest, kind) for kind in ITEMS},
    "flops": lambda model, effort: flops(model, effort.rounds, 1 if effort.quick else 4),
    "workers": lambda model, effort: workers(model, effort.rounds, 1 if effort.quick else 4),
    "states": lambda model, effort: states(model, effort.rounds, 1 if effort.quick else 4),
    "growth": lambda model, effort: growth.growth(model, *((1, 1, 4) if effort.quick else (5,))),
    "padding": lambda model, effort: padding(("trec-questions",)) if effort.quick else padding(),
    "campaign": _campaign,
}


# -- for people ----------------------------------------------------------------------------------------------


def rivals_table(record: dict[str, Any]) -> str:
    """Return the README's table of the tools that evolm is compared with."""
    header = ("labels", "against", "evolm is faster by", "lowest", "largest difference, float32", "as timed")
    rows = []
    for kind in ITEMS:
        for name, row in record.get(kind, {}).get("measured", {}).get("ways", {}).items():
            if name != "evolm":
                exact, as_timed = row["largest_difference_nats_float32"], row["largest_difference_nats"]
                ratio, lowest = f"{row['ratio']:.1f} times", f"{row['lowest_ratio']:.1f}"
                differing = (f"{exact:.0e} nats", f"{as_timed:.2f} nats")
                rows.append((kind.replace("-", " "), name, ratio, lowest, *differing))
    return markdown_table(header, rows)


def shares_table(record: dict[str, Any]) -> str:
    """Return the README's table of all other parts, with their targets."""
    measured = {part: record[part]["measured"] for part in PARTS if part in record}
    rows: list[tuple[str, str, str]] = []
    if "flops" in measured:
        share = measured["flops"]["share_of_the_best_product"]
        rows.append(("useful operations a second over the best matrix product's", f"{share['median']:.2f}", "0.5"))
    if "workers" in measured:
        ways = measured["workers"]["ways"]
        for name, wanted in (("one worker of one thread", "1.6"), ("one process of two threads", "1.2")):
            rows.append((f"two workers of one thread over {name}", f"{ways[name]['ratio']:.2f}", wanted))
    for name, own in measured.get("states", {}).get("ways", {}).items():
        if name.startswith("states"):
            rows.append((f"time of {name} over that of log-probabilities", f"{own['ratio']:.2f}", "at most 1.05"))
    if "memory" in measured:
        held = measured["memory"]["weights_pss_of_two_over_one"]
        rows.append(("memory for weights, two workers over one", f"{held:.2f}", ""))
    for what, own in measured.get("growth", {}).get("series", {}).items():
        wanted = "at most 1.05" if what in growth.LIMITED else ""
        rows.append((f"exponent of time in {what}", f"{own['exponent']:.2f}", wanted))
    for population, own in measured.get("padding", {}).items():
        rows.append((f"padding, founders of {population} on dev", f"{own['1 worker']['padding']:.1%}", "under 10 %"))
    if "campaign" in measured:
        own = measured["campaign"]
        rows.append((f"padding, generations of {own['population']}", f"{own['padding']:.1%}", "under 10 %"))
        rows.append((f"not in the model, generations of {own['population']}", f"{own['not_model']:.1%}", "under 5 %"))
    return markdown_table(("what", "measured", "wanted"), rows)


def main() -> None:
    """Measure, write results/speed.json part by part, print the README's tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and items; writes another file")
    dtypes_help = "one that is named has a file of its own"
    parser.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16"], help=dtypes_help)
    parser.add_argument("--part", choices=list(PARTS), help="measure one part, keep the others' figures")
    parser.add_argument("--items", type=int, default=0, help="items of the parts against others")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)  # the harness logs its arguments at length
    disable_progress_bar()
    torch.set_num_threads(1)
    model = LanguageModel(prepare(MODEL, dtype=arguments.dtype), "off", COLD)
    effort = Effort(arguments.quick, arguments.items)
    dtypes = [] if arguments.dtype == "auto" else [arguments.dtype]
    name = "-".join(["speed", *dtypes, *(["quick"] if effort.quick else [])])
    given = [f"--dtype {dtype}" for dtype in dtypes] + ([f"--items {effort.items}"] if effort.items else [])
    record = {part: own for part, own in read_result(name).items() if part in PARTS and "measured" in own}
    for part in [arguments.part] if arguments.part else PARTS:
        began = time.perf_counter()
        record[part] = {
            **setting(" ".join([f"python -m benchmarks.speed --part {part}", *given])),
            "dtype": model.prepared.dtype,
            "measured": PARTS[part](model, effort),
        }
        write_result(name, record)
        print(f"{part}: measured in {time.perf_counter() - began:.0f} s", flush=True)
    if "growth" in record:
        growth.figure(record["growth"]["measured"]["series"]).savefig(RESULTS / f"{name}_growth.png", dpi=110)
    print(f"\n{rivals_table(record)}\n\n{shares_table(record)}")


if __name__ == "__main__":
    main()
