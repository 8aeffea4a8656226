"""The faults of :mod:`benchmarks.faults`: a function and a row each."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.fault_ground import Ground, Outcome
from benchmarks.torn_files import (
    JOURNAL_TRIALS,
    WAL,
    answers_torn,
    checkpoint_half_written,
    checkpoint_torn,
    journal_torn,
)
from evolm.storage.layout import ANSWERS
from tests.support.bad_inputs import bad_inputs, build_base, copy_base, expect_refusal
from tests.support.interruptions import unequal
from tests.support.small_disks import small_disk
from tests.support.toy_campaign import quick
from tests.support.warm_evolm import KILLED

STRUCK = ("prompt", "delta", "hybrid", "staged", "generation")
ENDED = {"SIGKILL": (KILLED,), "SIGTERM": (143, -15)}  # -15: before the command line was there to handle it
DRAWS = 20  # of a moment, if the process was faster
REFUSED = 2


def signalled(signal: str) -> Callable[[Ground, int, random.Random], Outcome]:
    """Return the trial of a signal at a random moment; every third round of campaigns has two workers."""

    def strike(ground: Ground, number: int, rng: random.Random) -> Outcome:
        name, n_jobs = STRUCK[number % len(STRUCK)], 2 if number // len(STRUCK) % 3 == 2 else 1
        whole, campaign, out = ground.whole(name, n_jobs), ground.campaign(name), ground.work / "run"
        for _ in range(DRAWS):
            spent = rng.random() * whole.processor
            shutil.rmtree(out, ignore_errors=True)
            options = ("--out", out, "--n-jobs", n_jobs)
            told = ground.evolm("run", campaign.folder, *options, spent=spent, signal=signal)
            if told["exit"]:  # else it was faster
                break
        struck = f"{name}, {n_jobs} workers, {spent:.2f} of {whole.processor:.2f} processor seconds"
        outcome = Outcome(struck, campaign=name, n_jobs=n_jobs)
        if told["exit"] not in ENDED[signal]:
            outcome.add(False, False, f"exit {told['exit']}: {told['log'][-300:]}")
            return outcome
        return ground.judge(outcome, name, out, "--n-jobs", rng.choice((1, n_jobs)))

    return strike


def workers_killed(ground: Ground, number: int, rng: random.Random) -> Outcome:
    """Twenty workers die by SIGKILL in one campaign, each with a batch answered and not handed over."""
    kills, name, out = 20, "many batches", ground.work / "run"
    arguments = ("run", ground.campaign(name).folder, "--out", out, "--n-jobs", 2)
    told = ground.evolm(*arguments, worker_kills=kills)
    different = unequal(out, ground.whole(name).out) if told["exit"] == 0 else []
    killed = told["workers_killed"]
    reason = f"{killed} killed, exit {told['exit']}, {different} differ: {told['log'][-300:]}"
    outcome = Outcome(f"{name}, 2 workers", kills, campaign=name, n_jobs=2)
    for number_of_kill in range(kills):
        outcome.add(number_of_kill < killed and told["exit"] == 0, not different, reason)
    return outcome


def disk_full(ground: Ground, number: int, rng: random.Random) -> Outcome:
    """A real file system is filled at a random call of a function that writes; later there is room again."""
    name, call = STRUCK[number % len(STRUCK)], ("append", "put", "fsync", "replace")[number % 4]
    at = rng.randint(1, ground.whole(name).calls[call])
    outcome = Outcome(f"{name}, {call} number {at}", campaign=name)
    with small_disk(ground.work / "disk") as disk:
        filler, out = disk / "filler", disk / "run"
        arguments = ("run", ground.campaign(name).folder, "--out", out)
        told = ground.evolm(*arguments, call=call, at=at, filler=str(filler))
        filler.unlink()
        sentences = [line for line in told["log"].splitlines() if line.startswith("error: ")]
        if told["exit"] and (told["exit"] != REFUSED or len(sentences) != 1 or "Traceback" in told["log"]):
            outcome.add(False, False, f"exit {told['exit']}: {told['log'][-600:]}")
            return outcome
        return ground.judge(outcome, name, out)


def bad_input(ground: Ground, number: int, rng: random.Random) -> Outcome:
    """A wrong input is refused in one sentence with exit code 2, and changes no file."""

    def build(folder: Path) -> None:
        with quick():
            build_base(folder, ground.model)

    bad, before = bad_inputs()[number], Path.cwd()
    copy_base(ground.once("bad-inputs", build), ground.work)
    outcome = Outcome(bad.command)
    os.chdir(ground.work)
    try:
        with quick():
            expect_refusal(bad, ground.work)
        outcome.add(True, True, "")
    except Exception as error:  # any error that reaches a user is what is counted
        outcome.add(False, False, f"{type(error).__name__}: {str(error)[:300]}")
    finally:
        os.chdir(before)
    return outcome


class Fault(NamedTuple):
    """A row of the table.

    Attributes:
        title: what strikes, in words.
        count: of trials.
        strike: runs one, given its number and its source of random numbers.
    """

    title: str
    count: int
    strike: Callable[[Ground, int, random.Random], Outcome]


FAULTS = {
    "SIGKILL": Fault("SIGKILL at a random moment", 100, signalled("SIGKILL")),
    "worker killed": Fault("SIGKILL of a worker, all in one campaign", 1, workers_killed),
    "SIGTERM": Fault("SIGTERM at a random moment", 20, signalled("SIGTERM")),
    "disk full": Fault("disk full, until there is room again", 10, disk_full),
    "torn journal": Fault("journal cut off at each byte of its last record", JOURNAL_TRIALS, journal_torn),
    "torn checkpoint": Fault("checkpoint cut off at each byte: refused, and deleted", 1, checkpoint_torn),
    "half a checkpoint": Fault("checkpoint half written, of each length", 1, checkpoint_half_written),
    "torn log of answers": Fault("log of answers cut off at each byte of its last frame", 1, answers_torn(WAL)),
    "torn answers": Fault("answers cut off at each byte of their last page", 1, answers_torn(ANSWERS)),
    "bad input": Fault("bad input: refused in one sentence, no file changed", len(bad_inputs()), bad_input),
}
