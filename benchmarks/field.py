"""A field of strategies: the same founding populations, budgets and seeds for all; each cell a resumable run.

Shared by all benchmarks of strategies: the cells below ``runs/``, the table, the figure, and tuning without the
test split. Intervals are over seeds and test items, both at once
(:func:`evolm.statistics.crossed_bootstrap`).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from benchmarks.groups import score_cells, scores_figure
from benchmarks.setting import RESULTS, setting, write_result
from evolm.campaign.build import Models
from evolm.experiments.comparison import Comparison, compare
from evolm.experiments.finished_runs import TestedRun, is_finished, read_run
from evolm.experiments.sweep import Sweep, plan_sweep, run_sweep
from evolm.founders.populations import find_population
from evolm.report import RunRecord
from evolm.report.svg import EVOLUTION, RANDOM
from evolm.wording import markdown_table

SEEDS = range(5)
FIRST_TUNING_SEED = 100
COLORS = {"random_search": RANDOM, "genetic": EVOLUTION, "memetic": EVOLUTION}


@dataclass(frozen=True)
class Field:
    """A comparison of variants on some founding populations.

    Attributes:
        name: of the files of results and of the folder of runs.
        command: module and options that measure it, if they differ from its name.
        variants: name -> tables; the others are compared with the first one.
        populations: founding population -> tables that replace those of its campaign file, for all variants.
        warm_up: variant that runs first, uncounted, if seconds are the budget: otherwise the first variant alone
            would spend the time that fills the model's caches. Empty = none.
        pairs: further pairs of variants whose difference is reported, first minus second.
        seeds: of the runs.
    """

    name: str
    variants: Mapping[str, Mapping[str, Any]]
    populations: Mapping[str, Mapping[str, Any]]
    warm_up: str = ""
    pairs: Sequence[tuple[str, str]] = ()
    command: str = ""
    seeds: Sequence[int] = SEEDS

    @property
    def first(self) -> str:
        """Name of the variant that the others are compared with."""
        return next(iter(self.variants))

    def sweep(self, population: str, seeds: Sequence[int], out: Path) -> Sweep:
        """Return the runs of one population."""
        folder = find_population(population)
        return plan_sweep(folder, out / population, self.variants, seeds, self.populations[population])

    def cells(self, population: str, out: Path) -> Comparison:
        """Run the cells of one population that are missing."""
        models: Models = {}
        sweep = self.sweep(population, self.seeds, out)
        if self.warm_up and not all(is_finished(cell.directory) for cell in sweep.cells):
            first = replace(self, variants={self.warm_up: self.variants[self.warm_up]})
            with TemporaryDirectory() as folder:
                run_sweep(first.sweep(population, [FIRST_TUNING_SEED], Path(folder)), models=models)
        return run_sweep(sweep, models=models)

    def measure(self, out: Path) -> None:
        """Run the missing cells, then write the table and the figure."""
        populations = {
            name: {**self.cells(name, out).to_record(), "pairs": self.met(name, out)} for name in self.populations
        }
        tables = {name: dict(tables) for name, tables in self.populations.items()}
        write_result(
            self.name,
            {
                "setting": setting(f"python -m benchmarks.{self.command or self.name}"),
                "tables": tables,
                "populations": populations,
            },
        )
        scores_figure(populations, COLORS).savefig(RESULTS / f"{self.name}.png", dpi=110)
        print(self.markdown(populations))
        for name, record in populations.items():
            for pair in record["pairs"]:
                gain, low, high = pair["difference"], pair["low"], pair["high"]
                print(f"{name}: {pair['first']} over {pair['second']} {gain:+.3f} [{low:+.3f}, {high:+.3f}]")

    def met(self, population: str, out: Path) -> list[dict[str, Any]]:
        """Return the differences of the further pairs."""
        found = []
        for pair in self.pairs:
            runs: dict[str, list[TestedRun]] = {name: [] for name in pair}
            for cell in self.sweep(population, self.seeds, out).cells:
                if cell.variant in runs:
                    runs[cell.variant].append(read_run(cell.directory))
            found += compare(runs, [pair]).to_record()["differences"]
        return found

    def markdown(self, populations: dict[str, Any]) -> str:
        """Return the table of the README: a row per population and variant."""
        rows = []
        for population, comparison in populations.items():
            over_first = {difference["first"]: difference for difference in comparison["differences"]}
            for group in comparison["groups"]:
                rows.append(
                    (
                        population,
                        f"`{group['name']}`",
                        *score_cells(group, over_first.get(group["name"])),
                        f"{group['baselines']['founder']:.3f}",
                    )
                )
        header = ("task", "strategy", "test", "95 % interval", f"over {self.first.replace('_', ' ')}", "best founder")
        return markdown_table(header, rows)

    def tune(self, count: int, out: Path) -> None:
        """Show how winners fare on dev, on unseen validation rows and on both; nothing of the test split."""
        seeds = range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + count)
        rows = []
        for population in self.populations:
            sweep = self.sweep(population, seeds, out)
            run_sweep(sweep)
            for cell in sweep.cells:
                final = RunRecord.read(cell.directory).last("validation") or {"finalists": []}
                for finalist in final["finalists"]:
                    if finalist["id"] == final["winner"]:
                        rows.append({"task": population, "strategy": cell.variant, "seed": cell.seed, **finalist})
        means = pd.DataFrame(rows).groupby(["task", "strategy"])[["dev", "validation", "pooled"]].mean().round(3)
        print(means.to_string())

    def main(self, description: str) -> None:
        """Parse the command line and measure."""
        parser = argparse.ArgumentParser(
            description=description, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        parser.add_argument(
            "--tune", type=int, default=0, metavar="SEEDS", help="number of tuning seeds; dev scores only"
        )
        parser.add_argument("--out", type=Path, default=None, help="where the runs lie")
        parser.add_argument(
            "--cells", choices=list(self.populations), help="run this population's cells only; nothing is written"
        )
        arguments = parser.parse_args()
        if arguments.cells:
            self.cells(arguments.cells, arguments.out or Path(f"runs/benchmarks/{self.name}"))
        elif arguments.tune:
            self.tune(arguments.tune, arguments.out or Path(f"runs/benchmarks/{self.name}-tuning"))
        else:
            self.measure(arguments.out or Path(f"runs/benchmarks/{self.name}"))
