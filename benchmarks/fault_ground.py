"""Where trials of :mod:`benchmarks.faults` run: small campaigns, undisturbed runs, and what became of struck ones.

They use the parts that the tests use.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from evolm.testing.tiny_model import write_tiny_model
from tests.support.delta_campaigns import write_delta_campaign
from tests.support.interruptions import finish, unequal
from tests.support.kinds_of_campaigns import write_kind
from tests.support.small_disks import small_disk
from tests.support.staged_campaigns import TWO, staged
from tests.support.toy_campaign import ToyCampaign, write_campaign
from tests.support.warm_evolm import WarmProcess

SMALL: dict[str, Any] = {"budget__evaluations": 8, "baselines__random_search": False}
CAMPAIGNS: dict[str, Callable[[Path, Path], ToyCampaign]] = {
    "prompt": lambda folder, model: write_campaign(folder, model, strategy__population_size=3, **SMALL),
    "delta": lambda folder, model: write_delta_campaign(folder, model, "delta", **SMALL),
    "hybrid": lambda folder, model: write_delta_campaign(folder, model, "hybrid", **SMALL),
    "staged": lambda folder, model: staged(folder, model, TWO, **SMALL),
    "generation": lambda folder, model: write_kind(
        folder, model, "generation", budget__evaluations=8, strategy__population_size=3
    ),
    "short": lambda folder, model: write_campaign(
        folder, model, budget__evaluations=2, strategy__population_size=2, baselines__random_search=False,
        baselines__few_shot=False, baselines__prior_corrected=False,
    ),
    "many batches": lambda folder, model: write_campaign(
        folder, model, budget__evaluations=18, strategy__population_size=2, baselines__random_search=False,
    ),
}  # fmt: skip


@dataclass
class Outcome:
    """What became of a trial.

    Attributes:
        struck: what was struck, and where.
        tried: faults in it.
        survived: those after which the run went on to its end; or that were refused in one sentence.
        equal: those of them that left the bytes of an undisturbed run; or that changed no file.
        lost: a reason for each that was not survived or is not equal.
        campaign: its name, or ``""``.
        n_jobs: workers of the struck process.
    """

    struck: str
    tried: int = 1
    survived: int = 0
    equal: int = 0
    lost: list[str] = field(default_factory=list)
    campaign: str = ""
    n_jobs: int = 1

    def record(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)

    def add(self, survived: bool, equal: bool, reason: str) -> None:
        """Count a fault."""
        self.survived += survived
        self.equal += survived and equal
        if not (survived and equal):
            self.lost.append(f"{self.struck}: {reason}")


@dataclass(frozen=True)
class Whole:
    """An undisturbed run.

    Attributes:
        out: its directory.
        processor: processor seconds that it and its workers spent.
        calls: how often each function of ``warm_process.CALLS`` was called.
    """

    out: Path
    processor: float
    calls: dict[str, int]


class Ground:
    """Where trials run: the tiny model, campaigns, undisturbed runs, and the process that forks ``evolm``.

    A trial works on a disk in memory: waiting for a real one costs time, and a killed process loses nothing by it.

    Args:
        folder: holds all of it, and keeps it for later trials.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.work = folder, folder / "work"
        self._opened = ExitStack()
        self.model = self.once("model", write_tiny_model)
        shutil.rmtree(folder / "logs", ignore_errors=True)
        (folder / "logs").mkdir()

    def __enter__(self) -> Ground:
        self._opened.enter_context(small_disk(self.work, mebibytes=1024))
        self.evolm = WarmProcess(self.folder / "logs")
        self._opened.callback(self.evolm.close)
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.close()

    def once(self, name: str, build: Callable[[Path], object]) -> Path:
        """Return a folder that ``build`` fills if it is missing."""
        folder, whole = self.folder / name, self.folder / f"{name}.whole"  # runs know their data by its whole path
        if not whole.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            build(folder)
            whole.touch()
        return folder

    def campaign(self, name: str) -> ToyCampaign:
        """Write a campaign of ``CAMPAIGNS``."""
        campaign = CAMPAIGNS[name](self.folder / "campaigns" / name.replace(" ", "-"), self.model)
        (campaign.folder / "campaign.toml").write_text(campaign.config.to_toml(), encoding="utf-8")
        return campaign

    def whole(self, name: str, n_jobs: int = 1) -> Whole:
        """Return the undisturbed run of a campaign."""
        campaign, record = self.campaign(name), "told.json"

        def build(folder: Path) -> None:
            told = self.evolm("run", campaign.folder, "--out", folder / "run", "--n-jobs", n_jobs)
            if told["exit"]:
                raise SystemExit(f"{name}: expected an undisturbed run, found {told['log']}")
            kept = {key: told[key] for key in ("processor", "calls")}
            (folder / record).write_text(json.dumps(kept), encoding="utf-8")

        folder = self.once(f"whole-{name.replace(' ', '-')}-{n_jobs}", build)
        return Whole(folder / "run", **json.loads((folder / record).read_text(encoding="utf-8")))

    def trial(self, strike: Callable[[Ground, int, random.Random], Outcome], number: int, seed: str) -> Outcome:
        """Run a trial; what it worked on is kept if something was lost. Reasons name files without this folder."""
        for left in self.work.iterdir():
            shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
        outcome = strike(self, number, random.Random(seed))
        outcome.lost = [reason.replace(f"{self.folder}/", "") for reason in outcome.lost]
        if outcome.lost:
            shutil.copytree(self.work, self.folder / "lost" / seed, symlinks=True, dirs_exist_ok=True)
        return outcome

    def judge(self, outcome: Outcome, campaign: str, out: Path, *options: object) -> Outcome:
        """Go on with a struck run and compare it with the undisturbed one."""
        told = finish(self.evolm, self.campaign(campaign), out, *options)
        different = unequal(out, self.whole(campaign).out) if told["exit"] == 0 else []
        reason = f"exit {told['exit']}: {told['log'][-300:]}" if told["exit"] else f"{different} differ"
        outcome.add(told["exit"] == 0, not different, reason)
        return outcome
