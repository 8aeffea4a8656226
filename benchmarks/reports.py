"""What the reports of a long run cost in all, and that the cost is linear in the run's generations.

A genetic search on the prompts of ``sms-spam`` runs for 125, 250 and 500 generations of four individuals, with the
real journal and checkpoints. Scores are synthetic (a hash of the genome), so the model answers nothing. Two observers
draw ``report.html`` from the run's directory:

- *growing*: :class:`evolm.report.ReportWriter`, which draws when the journal has grown by a quarter;
- *every generation*: a page after each generation, as before there was that observer.

    python -m benchmarks.reports
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.clocks import clocked
from benchmarks.setting import NO_BASELINES, setting, write_result
from evolm.campaign import Campaign, Observer, Phase, Progress, RunInfo, build
from evolm.config import FILE_NAME, load
from evolm.evaluation.evaluator import Charge, Evaluator
from evolm.founders.populations import find_population
from evolm.individual import Individual
from evolm.observers import VERDICT
from evolm.report import ReportWriter, page
from evolm.storage import RunLayout
from evolm.tasks import Item

GENERATIONS = (125, 250, 500)
SIZE = 4
POPULATION = "sms-spam"


class EveryGeneration(ReportWriter):
    """Draws the page after every generation."""

    def on_saved(self) -> None:
        """Draw the page."""
        self._draw()


OBSERVERS: dict[str, type[ReportWriter]] = {"growing": ReportWriter, "every generation": EveryGeneration}


class SearchEnded(Exception):
    """The main search is over; the verdict would need the model."""


class Ends(Observer):
    """Stops the search after so many generations, and ends the campaign before the verdict."""

    def __init__(self, generations: int) -> None:
        self.generations = generations

    def on_start(self, info: RunInfo) -> None:
        """Keep the means to stop the search."""
        self.stop = info.stop

    def on_generation(self, progress: Progress) -> None:
        """Stop after the last generation."""
        if progress.generation + 1 == self.generations:
            self.stop("long enough")

    def on_phase(self, phase: Phase) -> None:
        """Raise at the verdict."""
        if phase.name == VERDICT:
            raise SearchEnded


def synthetic(
    self: Evaluator, individuals: Sequence[Individual], items: Sequence[Item], **named: Any
) -> list[Charge]:
    """Give every individual a score in [0, 1] that follows from its genome."""
    for individual in individuals:
        score = int(individual.digest[:8], 16) / 16**8
        individual.items = len(items)
        individual.accept([score], score, np.full(len(items), score), {})
    return [Charge(len(items), 0)] * len(individuals)


def measure(observer: str, generations: int) -> dict[str, Any]:
    """Run one search; return the seconds of all drawings and of the whole run, and the number of drawings."""
    folder = find_population(POPULATION)
    tables = {
        "strategy": {"name": "genetic", "population_size": SIZE, "offspring": SIZE},
        "budget": {"evaluations": 2 * SIZE * generations},  # the search is stopped before
        "evaluation": {"n_jobs": 1},
        "baselines": NO_BASELINES,
    }
    with tempfile.TemporaryDirectory() as temporary, patch.object(Evaluator, "score_individuals", synthetic):
        layout = RunLayout(Path(temporary))
        parts = build(load(folder / FILE_NAME, tables), folder)
        campaign = Campaign(parts, layout, [OBSERVERS[observer](), Ends(generations)])
        began = time.perf_counter()
        with clocked((page, "write_report")) as clock, suppress(SearchEnded):
            campaign.open()
            campaign.run()
        total = time.perf_counter() - began
        campaign.close()
        journal = layout.journal.stat().st_size
    return {
        "generations": generations,
        "drawings": len(clock.laps),
        "report_seconds": round(clock.seconds, 2),
        "run_seconds": round(total, 2),
        "journal_bytes": journal,
    }


def main() -> None:
    """Measure all lengths with both observers, and write ``results/reports.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generations", type=int, nargs="+", default=GENERATIONS, help="lengths of the runs")
    parser.add_argument("--observer", choices=OBSERVERS, nargs="+", default=list(OBSERVERS), help="both by default")
    parser.add_argument("--dry", action="store_true", help="print, but write no result")
    options = parser.parse_args()
    rows = []
    for generations in options.generations:
        for observer in options.observer:
            rows.append({"observer": observer, **measure(observer, generations)})
            print(rows[-1], flush=True)
    if not options.dry:
        print(write_result("reports", {**setting("python -m benchmarks.reports"), "runs": rows}))


if __name__ == "__main__":
    main()
