"""The savings and the cost of racing: random search with races, with successive halving, and with neither.

    python -m benchmarks.racing                       the missing cells, then the table: seeds 0 to 4
    python -m benchmarks.racing --cells random_search one strategy's cells only; nothing is written
    python -m benchmarks.racing --tune 1              dev only: seeds 100 and up, nothing of the test split is shown

All spend the same number of evaluations on the same founders, rows and seeds. Every cell is an ordinary run of one
worker below ``runs/``; finished cells are kept, and a cell with other settings is refused. The cells of a strategy
and a task share their answers, so seconds say nothing here. ``results/racing.json`` has the numbers.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.field import FIRST_TUNING_SEED, SEEDS, Field
from benchmarks.setting import NO_BASELINES, setting, write_result
from evolm.experiments.finished_runs import BEST, read_run
from evolm.experiments.sweep import Cell, run_sweep
from evolm.report import RunRecord
from evolm.statistics import Estimate, SeedScores, crossed_bootstrap, draw_items, seed_scores
from evolm.wording import markdown_table, signed

OFF = "off"
MODES = (OFF, "race", "halving")
TASKS = ("trec-questions",)
# Racing saves most with many rows: as many as leave the test split enough to show a difference of 0.01.
COMMON: dict[str, Any] = {
    "founders": [],  # a few written from the labels: founders never race
    "budget": {"evaluations": 40},
    "baselines": NO_BASELINES,
    "task": {"split": {"dev": 128, "validation": 64, "test": 400}},
}
STRATEGIES: dict[str, dict[str, Any]] = {
    "random_search": {"name": "random_search"},
}
TARGET_SAVED, TARGET_LOW = 0.4, -0.01


def field(strategy: str) -> Field:
    """Return one strategy's cells."""
    variants = {
        mode: {"strategy": STRATEGIES[strategy], "evaluation": {"n_jobs": 1, "racing": mode}} for mode in MODES
    }
    return Field("racing", variants, dict.fromkeys(TASKS, COMMON))


def by_mode(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    """Return the cells of each mode, one a seed."""
    return {mode: [cell for cell in cells if cell.variant == mode] for mode in MODES}


def saved(cell: Cell) -> float:
    """Return the share of items that racing saved a finished run."""
    racing = (RunRecord.read(cell.directory).result or {})["racing"]
    return racing["share_saved"] if racing else 0.0


def test_scores(cells: Sequence[Cell], task: str) -> SeedScores:
    """Return the test scores of cells of one task, on that task's draws of items."""
    runs = [read_run(cell.directory) for cell in cells]
    draws = draw_items(len(runs[0].items), seed=TASKS.index(task))
    return seed_scores(runs[0].metric, runs[0].gold, [run.outcomes[BEST] for run in runs], draws)


def row(what: Mapping[str, str], scores: SeedScores, shares: Sequence[float], over: SeedScores) -> dict[str, Any]:
    """Return a row of the table.

    Args:
        what: strategy, task and mode.
        scores: of the cells.
        shares: of items saved, one a cell.
        over: the scores without racing.
    """
    difference: Estimate = crossed_bootstrap(scores - over)
    return {
        **what,
        "test": float(scores.scores.mean()),
        "saved": float(np.mean(shares)),
        "saved_by_cell": list(shares),
        "difference": difference.value,
        "low": difference.low,
        "high": difference.high,
        "same_best": float(np.mean(scores.scores == over.scores)),
    }


def collect(out: Path) -> list[dict[str, Any]]:
    """Run the missing cells; return a row per strategy, task and mode."""
    rows: list[dict[str, Any]] = []
    for strategy in STRATEGIES:
        one = field(strategy)
        for task in TASKS:
            one.cells(task, out / strategy)
            cells = by_mode(one.sweep(task, SEEDS, out / strategy).cells)
            scores = {mode: test_scores(cells[mode], task) for mode in MODES}
            for mode in MODES:
                what = {"strategy": strategy, "task": task, "racing": mode}
                rows.append(row(what, scores[mode], [saved(cell) for cell in cells[mode]], scores[OFF]))
    return rows


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of the README."""
    header = ("task", "strategy", "racing", "items saved", "test", "over off", "same test score")
    lines = [
        (
            each["task"],
            f"`{each['strategy']}`",
            each["racing"],
            f"{100 * each['saved']:.0f} %",
            f"{each['test']:.3f}",
            f"{signed(each['difference'])} [{signed(each['low'])}, {signed(each['high'])}]",
            f"{100 * each['same_best']:.0f} %",
        )
        for each in rows
        if each["racing"] != OFF
    ]
    return markdown_table(header, lines)


def measure(out: Path) -> None:
    """Run the missing cells, print the table and the modes that meet the target, and write the numbers."""
    rows = collect(out)
    record = {
        "setting": setting("python -m benchmarks.racing"),
        "tables": COMMON,
        "strategies": STRATEGIES,
        "target": {"saved": TARGET_SAVED, "low": TARGET_LOW},
        "rows": rows,
    }
    write_result("racing", record)
    print(markdown(rows))
    for each in rows:
        if each["racing"] != OFF:
            met = each["saved"] >= TARGET_SAVED and each["low"] > TARGET_LOW
            print(f"{each['task']}, {each['strategy']}, {each['racing']}: {'meets' if met else 'misses'} the target")


def tune(strategies: Sequence[str], count: int, out: Path) -> None:
    """Show the saved items, and the best one's scores on dev and validation; nothing of the test split."""
    seeds = range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + count)
    rows = []
    for strategy in strategies:
        for task in TASKS:
            sweep = field(strategy).sweep(task, seeds, out / strategy)
            run_sweep(sweep)
            for cell in sweep.cells:
                result = RunRecord.read(cell.directory).result or {}
                scores = {"dev": result["dev"]["best"], "validation": result["validation"]["best"]}
                what = {"strategy": strategy, "task": task, "racing": cell.variant, "seed": cell.seed}
                rows.append({**what, "saved": saved(cell), **scores})
    print(pd.DataFrame(rows).round(3).to_string(index=False))


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", choices=list(STRATEGIES), help="run this strategy's cells only")
    parser.add_argument(
        "--tune", type=int, default=0, metavar="SEEDS", help="number of tuning seeds; dev scores only"
    )
    parser.add_argument("--out", type=Path, default=None, help="where the runs lie")
    arguments = parser.parse_args()
    chosen = [arguments.cells] if arguments.cells else list(STRATEGIES)
    if arguments.tune:
        tune(chosen, arguments.tune, arguments.out or Path("runs/benchmarks/racing-tuning"))
    elif arguments.cells:
        for task in TASKS:
            field(arguments.cells).cells(task, (arguments.out or Path("runs/benchmarks/racing")) / arguments.cells)
    else:
        measure(arguments.out or Path("runs/benchmarks/racing"))


if __name__ == "__main__":
    main()
