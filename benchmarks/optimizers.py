"""Which optimizer should call evolm? Its own strategies and seven libraries, on weights and on prompts.

    python -m benchmarks.optimizers                     runs the missing cells, then writes table and figure
    python -m benchmarks.optimizers --cells 'delta/*'   runs these only, SPACE/OPTIMIZER, and writes nothing
    python -m benchmarks.optimizers --seeds 3           the same with fewer seeds; more of them may follow
    python -m benchmarks.optimizers --part overhead     cost of a call outside the engine, with cached answers
    python -m benchmarks.optimizers --quick             a few rows, one seed; writes results/optimizers-quick.json

All optimizers have the same rows, evaluations and founders, seeds 0 to 4. As in a campaign the winner is
chosen among the best five on validation rows, and evaluated on test rows. ``benchmarks.hosts`` has the optimizers and
their settings, ``benchmarks.cells`` the cells: several processes with different ``--cells`` may run side by side.
Intervals are over seeds and test items, both at once (:func:`evolm.statistics.crossed_bootstrap`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from fnmatch import fnmatch
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from benchmarks import hosts
from benchmarks.cells import ASKING, Arena, Cell, cells_of, costs, run
from benchmarks.clocks import clocked
from benchmarks.groups import scores_figure
from benchmarks.hosts import HOSTS
from benchmarks.optimizers_table import markdown
from benchmarks.setting import RESULTS, read_result, setting, write_result
from evolm.evaluation.engine import Engine
from evolm.evaluation.evaluator import Evaluator
from evolm.experiments.comparison import compare
from evolm.experiments.finished_runs import read_run
from evolm.objective.objective import Objective
from evolm.report.svg import EVOLUTION, RANDOM

COMMAND = "python -m benchmarks.optimizers"
PACKAGES = ("deap", "scipy", "cma", "optuna", "nevergrad", "pymoo", "ribs")
SEEDS = range(5)
CALLS, VECTORS = 200, 20  # that overhead is measured by; so many vectors, asked for again and again
SUBSPACE = {"encoding": "subspace", "layers": "last:3", "target_modules": ["q_proj", "v_proj"], "rank": 1}
ARENAS = {
    "delta": Arena(
        "trec-memetic",
        {"delta": {**SUBSPACE, "dimension": 48}},
        {"dev": 96, "validation": 48, "test": 300},
        evaluations=64,
    ),
    "prompt": Arena(
        "trec-questions",
        {"prompt": {"demonstrations": [0, 2]}},
        {"dev": 48, "validation": 32, "test": 200},
        evaluations=25,
    ),
}
QUICK = {
    name: replace(arena, split={"dev": 8, "validation": 8, "test": 20}, evaluations=12)
    for name, arena in ARENAS.items()
}


def compared(cells: Sequence[Cell], space: str) -> dict[str, Any]:
    """Return the comparison of an arena's optimizers with the first of them, and their costs."""
    mine = {host: [cell for cell in cells if (cell.space, cell.host) == (space, host)] for host in HOSTS[space]}
    first, *others = mine
    groups = {host: [read_run(cell.directory) for cell in own] for host, own in mine.items()}
    record = compare(groups, [(other, first) for other in others]).to_record()
    return {**record, "costs": {host: costs(own) for host, own in mine.items()}}


def measure(arenas: Mapping[str, Arena], cells: Sequence[Cell], name: str, seeds: Sequence[int]) -> None:
    """Run the missing cells; write the numbers and the figure, print the table."""
    for cell in cells:
        run(cell, arenas[cell.space])
    comparisons = {space: compared(cells, space) for space in arenas}
    record = {
        **read_result(name),
        "setting": setting(COMMAND, *PACKAGES),
        "seeds": list(seeds),
        "arenas": {space: asdict(arena) for space, arena in arenas.items()},
        "spaces": comparisons,
    }
    write_result(name, record)
    colors = {host: EVOLUTION for own in HOSTS.values() for host in own if host.startswith("evolm ")}
    titles = {f"{space}: {arenas[space].population}": comparison for space, comparison in comparisons.items()}
    figure = scores_figure(titles, {**colors, "evolm random_search": RANDOM})
    figure.savefig(RESULTS / f"{name}.png", dpi=110)
    print(markdown(comparisons))
    for space, comparison in comparisons.items():
        for host, cost in comparison["costs"].items():
            if cost["evaluations"] < arenas[space].evaluations:
                print(f"{space}/{host} ended by itself, after {cost['evaluations']:.1f} evaluations on average")


def overhead(arena: Arena) -> dict[str, float]:
    """Return the milliseconds of single calls with cached answers, by part.

    - *call*: from a vector to an individual, budget and journal; the target is less than 2;
    - *scoring*: from dev rows to requests, from answers to scores (:class:`evolm.evaluation.evaluator.Evaluator`);
    - *engine*: tokens, keys of the cache and reading it; here it computes nothing.
    """
    with TemporaryDirectory() as folder:
        arguments = {**arena.arguments(), "budget": VECTORS + CALLS}
        with Objective(**arguments, out=folder) as objective:
            normal = np.random.default_rng(0).normal(size=(VECTORS, objective.dimension))
            points = objective.x0 + normal * hosts.steps(objective)
            objective.many(points)
            places = (
                ASKING,
                [(Evaluator, "score_individuals")],
                [(Engine, "tokenize")],
                [(Engine, "answer_tokenized")],
            )
            with ExitStack() as stack:
                clocks = [stack.enter_context(clocked(*place)) for place in places]
                for call in range(CALLS):
                    objective(points[call % VECTORS])
    whole, scoring, cutting, answering = (1000 * np.array(clock.laps) for clock in clocks)
    engine = cutting + answering
    parts = {"call": whole - scoring, "scoring": scoring - engine, "engine": engine}
    statistics = {"median": np.median, "mean": np.mean, "95_percent_below": lambda ms: np.quantile(ms, 0.95)}
    return {"calls": CALLS, "dev_rows": arena.split["dev"]} | {
        f"{part}_{name}_ms": round(float(of(milliseconds)), 3)
        for part, milliseconds in parts.items()
        for name, of in statistics.items()
    }


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--cells", nargs="+", default=[], metavar="SPACE/NAME", help="run these only; '*' stands for anything"
    )
    parser.add_argument("--seeds", type=int, default=len(SEEDS), metavar="N", help="of 0 to N - 1")
    parser.add_argument("--part", choices=["overhead"], help="measure this, keep the others' figures")
    parser.add_argument("--quick", action="store_true", help="a few rows, one seed")
    parser.add_argument("--out", type=Path, default=None, help="where the runs lie")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    name = "optimizers-quick" if arguments.quick else "optimizers"
    arenas, seeds = (QUICK, SEEDS[:1]) if arguments.quick else (ARENAS, range(arguments.seeds))
    cells = cells_of(arenas, seeds, arguments.out or Path("runs/benchmarks") / name)
    for pattern in arguments.cells:
        if not any(fnmatch(cell.name, pattern) for cell in cells):
            parser.error(f"--cells {pattern}: expected one of {', '.join(sorted({cell.name for cell in cells}))}")
    if arguments.part == "overhead":
        measured = overhead(arenas["delta"])
        write_result(name, {**read_result(name), "overhead": {**setting(f"{COMMAND} --part overhead"), **measured}})
        print(json.dumps(measured, indent=2))
    elif arguments.cells:
        for cell in cells:
            if any(fnmatch(cell.name, pattern) for pattern in arguments.cells):
                run(cell, arenas[cell.space])
    else:
        measure(arenas, cells, name, seeds)


if __name__ == "__main__":
    main()
