"""A field of strategies: the same founding populations, budgets and seeds for all; each cell a resumable run.

Shared by all benchmarks of strategies: the cells below ``runs/``, the table, the figure, and tuning without the
test split. Intervals are over seeds and test items, both at once
(:func:`evolm.statistics.crossed_bootstrap`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.groups import score_cells, scores_figure
from benchmarks.setting import RESULTS, read_result, setting, with_earlier, write_result
from evolm.campaign.build import Models
from evolm.errors import RunError
from evolm.experiments.comparison import Comparison, compare
from evolm.experiments.finished_runs import TestedRun, is_finished, read_run
from evolm.experiments.sweep import Sweep, plan_sweep, run_sweep
from evolm.founders.populations import find_population
from evolm.report import RunRecord
from evolm.report.svg import EVOLUTION, RANDOM
from evolm.storage import RunLayout
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
        variants: name -> tables; the others are compared with the first one, which every population has.
        populations: founding population -> tables that replace those of its campaign file, for all variants.
        warm_up: variant that runs first, uncounted, if seconds are the budget: otherwise the first variant alone
            would spend the time that fills the model's caches. Empty = none.
        pairs: further pairs of variants whose difference is reported, first minus second.
        seeds: of the runs.
        own: founding population -> its variants, if these are not ``variants``.
    """

    name: str
    variants: Mapping[str, Mapping[str, Any]]
    populations: Mapping[str, Mapping[str, Any]]
    warm_up: str = ""
    pairs: Sequence[tuple[str, str]] = ()
    command: str = ""
    seeds: Sequence[int] = SEEDS
    own: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)

    def variants_of(self, population: str) -> Mapping[str, Mapping[str, Any]]:
        """Return the variants of one population."""
        return self.own.get(population, self.variants)

    @property
    def first(self) -> str:
        """Name of the variant that the others are compared with."""
        return next(iter(self.variants))

    def sweep(self, population: str, seeds: Sequence[int], out: Path) -> Sweep:
        """Return the runs of one population."""
        folder = find_population(population)
        return plan_sweep(folder, out / population, self.variants_of(population), seeds, self.populations[population])

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
        for name in self.populations:
            self.cells(name, out)
        self.write(out, self.command or self.name)

    def write(self, out: Path, command: str) -> None:
        """Write the table and the figure of the cells that are finished, and print the table.

        Populations without a finished cell stay as the result has them.

        Raises:
            RunError: if no population has two finished variants.
        """
        populations = self.finished(out)
        if not populations:
            raise RunError(f"{out}: expected two or more finished variants of a population, found none")
        measured, earlier = setting(f"python -m benchmarks.{command}"), read_result(self.name)
        tables = {name: dict(self.populations[name]) for name in populations}
        populations = with_earlier(populations, earlier, measured)
        record = {
            "setting": measured,
            "tables": {**earlier.get("tables", {}), **tables},
            "populations": populations,
        }
        write_result(self.name, record)
        scores_figure(populations, COLORS).savefig(RESULTS / f"{self.name}.png", dpi=110, bbox_inches="tight")
        print(self.markdown(populations))
        for name, comparison in populations.items():
            for pair in comparison["pairs"]:
                gain, low, high = pair["difference"], pair["low"], pair["high"]
                print(f"{name}: {pair['first']} over {pair['second']} {gain:+.3f} [{low:+.3f}, {high:+.3f}]")

    def met(self, population: str, out: Path) -> list[dict[str, Any]]:
        """Return the differences of the further pairs that the population has runs of."""
        runs = self.tested(population, out)
        known = [pair for pair in self.pairs if set(pair) <= set(runs)]
        return [
            record
            for pair in known
            for record in compare({name: runs[name] for name in pair}, [pair]).to_record()["differences"]
        ]

    def tested(self, population: str, out: Path) -> dict[str, list[TestedRun]]:
        """Return the finished runs of each variant of a population."""
        runs: dict[str, list[TestedRun]] = {}
        for cell in self.sweep(population, self.seeds, out).cells:
            if is_finished(cell.directory):
                runs.setdefault(cell.variant, []).append(read_run(cell.directory))
        return runs

    def finished(self, out: Path) -> dict[str, Any]:
        """Return the comparisons of all populations with two or more variants that are finished.

        A comparison is over the seeds that all of its variants have finished. Its groups have ``few_shot``, if that
        is a baseline of their runs, and ``spent``, the means of evaluations and tokens.
        """
        populations = {}
        for name in self.populations:
            runs = self.tested(name, out)
            if self.first not in runs or len(runs) < 2:
                continue
            pairs = [(variant, self.first) for variant in runs if variant != self.first]
            record = compare(runs, pairs).to_record()
            for group in record["groups"]:
                _add_spent(group)
            populations[name] = {**record, "pairs": self.met(name, out)}
        return populations

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
            "--finished", action="store_true", help="write the table of the cells that are finished; none is run"
        )
        parser.add_argument(
            "--cells", choices=list(self.populations), help="run this population's cells only; nothing is written"
        )
        parser.add_argument(
            "--seeds",
            type=int,
            default=len(self.seeds),
            metavar="COUNT",
            help=f"seeds 0 to COUNT - 1; {len(self.seeds)}",
        )
        arguments = parser.parse_args()
        chosen = replace(self, seeds=range(arguments.seeds))
        out = arguments.out or Path(f"runs/benchmarks/{self.name}")
        if arguments.finished:
            chosen.write(out, f"{self.command or self.name} --finished")
        elif arguments.cells:
            chosen.cells(arguments.cells, out)
        elif arguments.tune:
            chosen.tune(arguments.tune, arguments.out or Path(f"runs/benchmarks/{self.name}-tuning"))
        else:
            chosen.measure(out)


def _add_spent(group: dict[str, Any]) -> None:
    """Replace the folders of a group's runs, which are this machine's, by what their results say."""
    results = [json.loads(RunLayout(Path(run)).result.read_text(encoding="utf-8")) for run in group.pop("runs")]
    group["spent"] = {
        key: float(np.mean([result["budget"][key] for result in results])) for key in ("evaluations", "tokens")
    }
    draws = [result["test"]["few_shot"] for result in results]
    if None not in draws:
        group["baselines"]["few_shot"] = float(np.mean(draws))
