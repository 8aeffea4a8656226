"""evolm beside what a person would use instead: the same model, rows and splits, with the real packages.

    python -m benchmarks.quality --minutes 10                    runs the missing cells, writes the table
    python -m benchmarks.quality --items 3000                    the same at equal numbers of answers of the model
    python -m benchmarks.quality --items 3000 --cells 'sms-spam/*'   these cells only, TASK/PEER; writes nothing
    python -m benchmarks.quality --items 3000 --table            a table of what is finished; runs nothing
    python -m benchmarks.quality --items 300 --small             fewer rows

The packages of ``pip install -c constraints.txt -e '.[peers]'`` are needed. A cell is one peer, one task and one
seed, in a process of its own, which is stopped after 12 minutes (``--stop-after``). Finished cells are kept; a
stopped cell of evolm is resumed, that of a package begins again. With both limits, the first one that is reached ends
a search. ``--minutes`` compares only if nothing else runs on the machine. ``benchmarks.peers`` has the peers.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from benchmarks.groups import scores_figure
from benchmarks.peers import EVOLM, FREE, PEERS, Peer
from benchmarks.peers.contract import Meter, Setting
from benchmarks.quality_cells import CellRecord, failed, finished, read_cell, write_cell
from benchmarks.quality_table import compared, markdown
from benchmarks.setting import RESULTS, read_result, setting, with_earlier, write_result
from evolm.report.svg import EVOLUTION

NAME = "quality"
COMMAND = "python -m benchmarks.quality"
SEEDS = 5
STOPPED_AFTER = 12  # minutes
CLOSED = {"train": 200, "dev": 96, "validation": 120, "test": 400}
OPEN = {"train": 200, "dev": 32, "validation": 48, "test": 150}
SMALL = {"train": 100, "dev": 32, "validation": 32, "test": 200}
TASKS = {
    "sms-spam": CLOSED,
    "trec-questions": CLOSED,
    "privacy-questions": CLOSED,
    "commonsense-choice": CLOSED,
    "physical-choice": CLOSED,
    "past-tense": OPEN,
    "function-docs": OPEN,
}


@dataclass(frozen=True)
class Limits:
    """The budget of every peer.

    Attributes:
        items: answers of the model in a search; infinite = not limited.
        minutes: of a search; infinite = not limited.
        small: whether all tasks have the splits ``SMALL``.
    """

    items: float = float("inf")
    minutes: float = float("inf")
    small: bool = False

    @property
    def name(self) -> str:
        """The name of its folder and of its part of the result."""
        parts = [f"{value:g} {unit}" for unit, value in self.record().items() if value]
        return ", ".join(parts + ["small splits"] * self.small)

    def record(self) -> dict[str, float | None]:
        """Return JSON values; None = not limited."""
        limits = {"items": self.items, "minutes": self.minutes}
        return {name: None if value == float("inf") else value for name, value in limits.items()}

    def tables(self, population: str) -> dict[str, Any]:
        """Return the tables that replace those of a founding population."""
        return {"task": {"split": SMALL if self.small else TASKS[population]}}

    def options(self) -> list[str]:
        """Return the options of the command line."""
        given = [(f"--{name}", f"{value:g}") for name, value in self.record().items() if value]
        return [text for pair in given for text in pair] + ["--small"] * self.small


@dataclass(frozen=True)
class Cell:
    """One peer with one seed on one task."""

    population: str
    peer: Peer
    seed: int
    directory: Path

    @property
    def name(self) -> str:
        """The name of this cell and of its other seeds for ``--cells``."""
        return f"{self.population}/{self.peer.name}"


def cells_of(populations: Sequence[str], seeds: Sequence[int], out: Path) -> Iterator[Cell]:
    """Yield all cells, seed by seed, then task by task."""
    for seed in seeds:
        for population in populations:
            for peer in PEERS.values():
                yield Cell(population, peer, seed, out / population / peer.name.replace(" ", "-") / f"seed-{seed}")


def run(cell: Cell, limits: Limits, tables: dict[str, Any] | None = None) -> CellRecord:
    """Run a cell in this process, and write its record.

    Args:
        cell: what is run.
        limits: its budget.
        tables: replace those of the limits.
    """
    torch.set_num_threads(1)
    meter = Meter(limits.items, limits.minutes)
    given = Setting(cell.population, limits.tables(cell.population) if tables is None else tables, cell.seed, meter,
                    cell.directory)  # fmt: skip
    cell.directory.mkdir(parents=True, exist_ok=True)
    if given.form not in cell.peer.forms:
        return write_cell(cell.directory, failed(cell.peer.limit))
    return write_cell(cell.directory, finished(given, cell.peer, setting(COMMAND, *cell.peer.packages)))


def run_apart(cell: Cell, limits: Limits, out: Path, stop_after: float = STOPPED_AFTER) -> None:
    """Run a cell in a process of its own; what stops it is recorded."""
    command = [sys.executable, "-m", "benchmarks.quality", *limits.options(), "--out", str(out)]
    command += ["--only", cell.name, str(cell.seed)]
    print(f"{cell.name}, seed {cell.seed}", flush=True)
    cell.directory.mkdir(parents=True, exist_ok=True)
    with (cell.directory / "output.txt").open("w", encoding="utf-8") as output:
        try:
            done = subprocess.run(
                command, stdout=output, stderr=subprocess.STDOUT, timeout=60 * stop_after, check=False
            )
        except subprocess.TimeoutExpired:
            write_cell(cell.directory, failed(f"not finished within {stop_after:g} minutes"))
            return
    if done.returncode:
        lines = (cell.directory / "output.txt").read_text(encoding="utf-8").strip().splitlines()
        write_cell(cell.directory, failed(lines[-1] if lines else f"exit code {done.returncode}"))


def write_table(limits: Limits, cells: Sequence[Cell], command: str) -> None:
    """Write the part of the result that belongs to these limits, and print its table.

    Populations without a finished cell stay as the result has them.
    """
    records = [(cell, record) for cell in cells if (record := read_cell(cell.directory))]
    populations = {}
    for population in TASKS:
        own = [(cell.peer.name, cell.seed, record) for cell, record in records if cell.population == population]
        if any(not record.failure for _, _, record in own):
            populations[population] = compared(own, EVOLM)
    if not populations:
        raise SystemExit(f"{limits.name}: expected at least one finished cell, found none")
    measured, earlier = setting(command), read_result(NAME)
    populations = with_earlier(populations, earlier.get(limits.name, {}), measured)
    part = {**measured, "limits": limits.record(), "small": limits.small, "populations": populations}
    write_result(NAME, {**earlier, limits.name: part})
    figure(populations).savefig(RESULTS / f"{NAME}.png", dpi=110)
    print(markdown({limits.name: part}))


def figure(populations: Mapping[str, Any]) -> Figure:
    """Return a panel per task; the dashed line is the best founder's score, if a run of evolm is finished."""
    panels = {}
    for name, record in populations.items():
        scores = {group["name"]: group["score"] for group in record["groups"]}
        baselines = {"founder": scores.get(FREE[0], float("nan"))}
        panels[name] = {**record, "groups": [{**group, "baselines": baselines} for group in record["groups"]]}
    return scores_figure(panels, {EVOLM: EVOLUTION})


def require_packages() -> None:
    """Raise SystemExit if a peer's package is missing."""
    needed = sorted({package for peer in PEERS.values() for package in peer.packages})
    missing = [package for package in needed if not _installed(package)]
    if missing:
        raise SystemExit(
            f"missing: {', '.join(missing)}; pip install -c constraints.txt -e '.[peers]', or choose by --cells"
        )


def _installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def chosen(cells: Sequence[Cell], patterns: Sequence[str]) -> list[Cell]:
    """Return the cells that one of the patterns names.

    Raises:
        ValueError: if a pattern names none.
    """
    for pattern in patterns:
        if not any(fnmatch(cell.name, pattern) for cell in cells):
            known = ", ".join(dict.fromkeys(cell.name for cell in cells))
            raise ValueError(f"--cells {pattern}: expected one of {known}")
    return [cell for cell in cells if not patterns or any(fnmatch(cell.name, each) for each in patterns)]


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=float, default=float("inf"), metavar="N", help="answers of a search")
    parser.add_argument("--minutes", type=float, default=float("inf"), metavar="M", help="of a search")
    parser.add_argument("--small", action="store_true", help="fewer rows in every split")
    parser.add_argument("--seeds", type=int, default=SEEDS, metavar="N", help="of 0 to N - 1")
    parser.add_argument("--cells", nargs="+", default=[], metavar="TASK/PEER", help="these only; '*' = anything")
    parser.add_argument("--table", action="store_true", help="of what is finished; runs nothing")
    parser.add_argument("--retry", action="store_true", help="run cells again that failed")
    parser.add_argument("--stop-after", type=float, default=STOPPED_AFTER, metavar="M", help="minutes of a cell")
    parser.add_argument("--out", type=Path, default=None, help="where the cells lie")
    parser.add_argument("--only", nargs=2, help=argparse.SUPPRESS)  # a cell and its seed, in this process
    given = parser.parse_args()
    limits = Limits(given.items, given.minutes, given.small)
    if not limits.name or limits.name == "small splits":
        parser.error("expected --items, --minutes or both, found neither")
    out = given.out or Path("runs/benchmarks/quality") / limits.name.replace(", ", "_").replace(" ", "-")
    seeds = [int(given.only[1])] if given.only else range(given.seeds)
    cells = list(cells_of(list(TASKS), seeds, out))
    if given.only:
        (cell,) = (each for each in cells if each.name == given.only[0])
        run(cell, limits)
        return
    try:
        wanted = chosen(cells, given.cells)
    except ValueError as error:
        parser.error(str(error))
    if not given.table:
        if not given.cells:
            require_packages()
        for cell in wanted:
            known = read_cell(cell.directory)
            if known is None or (given.retry and known.failure):
                run_apart(cell, limits, out, given.stop_after)
    if not given.cells:
        write_table(limits, cells, " ".join([COMMAND, *limits.options(), *["--table"] * given.table]))


if __name__ == "__main__":
    main()
