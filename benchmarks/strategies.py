"""Does evolution beat random search? The strategies at the same number of evaluations, on three tasks.

    python -m benchmarks.strategies            the table: seeds 0 to 4, run once on frozen code
    python -m benchmarks.strategies --tune 3   dev only: seeds 100 to 102, nothing of the test split is shown

Every cell is an ordinary run below ``runs/``; what is finished is kept, so the same command goes on after a stop.
Intervals are over seeds and test items, both at once (:func:`evolm.campaign.statistics.crossed_bootstrap`).
``results/strategies.json`` has the numbers, ``results/strategies.png`` the figure.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmarks.setting import RESULTS, setting, write_result
from evolm.campaign.sweep import Sweep, plan_sweep, run_sweep, strategy_variants
from evolm.populations import find_population
from evolm.report import RunRecord
from evolm.report.svg import EVOLUTION, INK, QUIET, RANDOM, wide_figure
from evolm.wording import markdown_table

POPULATIONS = ("sms-spam", "trec-questions", "commonsense-choice")
STRATEGIES = ("random_search", "genetic", "hill_climb")  # the first one is what the others are compared with
SEEDS = range(5)
FIRST_TUNING_SEED = 100
EVALUATIONS = 36
COLORS = {"genetic": EVOLUTION, "hill_climb": INK, "random_search": RANDOM}

# The same for all strategies: no baseline that costs evaluations, and splits that keep a cell to a minute or two.
SETTINGS: dict[str, Any] = {"budget": {"evaluations": EVALUATIONS}, "baselines": {"few_shot": False}}
SPLIT = {"dev": 48, "validation": 48, "test": 400}


def sweep_of(population: str, seeds: Sequence[int], out: Path) -> Sweep:
    """Return the runs of one population."""
    overrides = {**SETTINGS, "task": {"split": SPLIT}}
    return plan_sweep(find_population(population), out / population, strategy_variants(STRATEGIES), seeds, overrides)


def measure(out: Path) -> None:
    """Run what is missing, then write the table and the figure."""
    record: dict[str, Any] = {"setting": setting("python -m benchmarks.strategies"), "evaluations": EVALUATIONS}
    record["populations"] = {
        population: run_sweep(sweep_of(population, SEEDS, out)).to_record() for population in POPULATIONS
    }
    write_result("strategies", record)
    figure(record["populations"]).savefig(RESULTS / "strategies.png", dpi=110)
    print(markdown(record["populations"]))


def markdown(populations: dict[str, Any]) -> str:
    """Return the table of the README: a row per population and strategy."""
    rows = []
    for population, comparison in populations.items():
        over_first = {difference["first"]: difference for difference in comparison["differences"]}
        for group in comparison["groups"]:
            over = over_first.get(group["name"])
            rows.append(
                (
                    population,
                    f"`{group['name']}`",
                    f"{group['score']:.3f}",
                    f"{group['low']:.3f} to {group['high']:.3f}",
                    f"{over['difference']:+.3f} [{over['low']:+.3f}, {over['high']:+.3f}]" if over else "",
                    f"{group['baselines']['founder']:.3f}",
                )
            )
    header = ("task", "strategy", "test", "95 % interval", f"over {STRATEGIES[0].replace('_', ' ')}", "best founder")
    return markdown_table(header, rows)


def figure(populations: dict[str, Any]) -> Figure:
    """Return the figure: a panel per task, a row per strategy, its seeds as dots, its mean with the interval."""
    drawn, _ = wide_figure(1.2 + 0.3 * len(STRATEGIES) * len(populations))
    drawn.clear()
    panels = drawn.subplots(1, len(populations), sharey=True)
    for axes, (population, comparison) in zip(np.atleast_1d(panels), populations.items(), strict=True):
        for y, group in enumerate(reversed(comparison["groups"])):
            color = COLORS[group["name"]]
            scores = list(group["seeds"].values())
            axes.scatter(scores, [y] * len(scores), s=14, color=color, alpha=0.4, linewidths=0)
            axes.plot([group["low"], group["high"]], [y, y], color=color, linewidth=1.6)
            axes.plot(group["score"], y, "o", color=color, markersize=7)
        founder = float(np.mean([group["baselines"]["founder"] for group in comparison["groups"]]))
        axes.axvline(founder, color=QUIET, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_title(
            f"{population}\n{comparison['metric'].replace('_', ' ')}, {comparison['items']} test items",
            loc="left",
            fontsize=10,
        )
        axes.set_yticks(range(len(STRATEGIES)), [name.replace("_", " ") for name in reversed(STRATEGIES)])
        axes.set_ylim(-0.6, len(STRATEGIES) - 0.4)
    drawn.supxlabel("test score, mean of 5 seeds with its 95 % interval; dashed: best founder", fontsize=10)
    drawn.set_layout_engine("constrained")
    return drawn


def tune(count: int, out: Path) -> None:
    """Show how winners fare on dev, on unseen validation rows and on both; nothing of the test split."""
    seeds = range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + count)
    rows = []
    for population in POPULATIONS:
        sweep = sweep_of(population, seeds, out)
        run_sweep(sweep)
        for cell in sweep.cells:
            final = RunRecord.read(cell.directory).last("validation") or {"finalists": []}
            for finalist in final["finalists"]:
                if finalist["id"] == final["winner"]:
                    rows.append({"task": population, "strategy": cell.variant, "seed": cell.seed, **finalist})
    means = pd.DataFrame(rows).groupby(["task", "strategy"])[["dev", "validation", "pooled"]].mean().round(3)
    print(means.to_string())


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--tune", type=int, default=0, metavar="SEEDS", help="number of tuning seeds; dev scores only"
    )
    parser.add_argument("--out", type=Path, default=None, help="where the runs lie")
    arguments = parser.parse_args()
    if arguments.tune:
        tune(arguments.tune, arguments.out or Path("runs/benchmarks/strategies-tuning"))
    else:
        measure(arguments.out or Path("runs/benchmarks/strategies"))


if __name__ == "__main__":
    main()
