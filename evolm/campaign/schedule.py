"""The time that a job scheduler leaves a campaign: an end before which the verdict is reached, and a grace period."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from evolm.campaign.build import Components
from evolm.campaign.pass_estimate import PassEstimate
from evolm.errors import ConfigError
from evolm.observers import Observer, Progress, RunInfo
from evolm.searches import MAIN

SLURM_END: Final = "SLURM_JOB_END_TIME"  # seconds since 1970; set by Slurm 22.05 and later
MARGIN: Final = 1.25  # on the estimated time of what comes after the search


@dataclass(frozen=True)
class Schedule:
    """When a process must end, and how long it may take after a signal.

    Attributes:
        until: seconds since 1970 by which the verdict should be reached; None = no limit.
        grace: seconds from the first signal to the second one, which then comes by itself; None = as long as the
            current batch takes.
    """

    until: float | None = None
    grace: float | None = None

    @classmethod
    def of(cls, minutes: float | None, grace: float | None, environment: Mapping[str, str] = os.environ) -> Schedule:
        """Return the schedule of a command.

        Args:
            minutes: from now to the end; 0 = no limit; None = the end of the Slurm job, if it is known.
            grace: see :class:`Schedule`.
            environment: the process's variables.

        Raises:
            ConfigError: if a number is negative or no number, or Slurm's variable is none.
        """
        for option, value in (("--time-limit", minutes), ("--grace", grace)):
            if value is not None and not 0 <= value < math.inf:
                raise ConfigError(f"{option}: expected a number of at least 0, found {value:g}")
        if minutes is not None:
            return cls(time.time() + 60 * minutes if minutes else None, grace)
        end = environment.get(SLURM_END, "")
        if end and not end.isdecimal():
            raise ConfigError(f"{SLURM_END}: expected seconds since 1970, found {end!r}")
        return cls(float(end) if end else None, grace)


class Deadline(Observer):
    """Ends the main search while there is time for baselines, finals and the test split.

    After each generation, the seconds per item that the run took so far give the time of what follows, and of one
    more generation with the baselines' share of it.

    Args:
        parts: the campaign's objects.
        until: seconds since 1970 by which the verdict should be reached.
    """

    def __init__(self, parts: Components, until: float) -> None:
        self._until = until
        searched = len(parts.stages)
        phases = [items for _, _, items in PassEstimate(parts, prefix=0.0, per_item=1.0).phases()]
        rivals = phases[searched : searched + len(parts.searching_baselines)]
        self._search = sum(phases[:searched])
        self._rivals = sum(rivals)
        self._rest = sum(phases) - self._search - self._rivals
        self._dev, self._count = len(parts.task.dev), len(parts.searching_baselines)
        self._spent = 0.0

    def on_start(self, info: RunInfo) -> None:
        self._stop, self._spent = info.stop, info.seconds

    def on_generation(self, progress: Progress) -> None:
        if progress.search != MAIN:
            return
        took, self._spent = progress.seconds - self._spent, progress.seconds
        # Without a limit on evaluations, each rival takes as long as the main search.
        share = 1 + (self._rivals / self._search if self._search else self._count)
        second_per_item = progress.seconds / (progress.evaluations * self._dev)
        after = (share - 1) * progress.seconds + self._rest * second_per_item
        if time.time() + MARGIN * (after + took * share) > self._until:
            self._stop(f"the verdict is to be reached by {datetime.fromtimestamp(self._until):%Y-%m-%d %H:%M}")


__all__ = ["SLURM_END", "Deadline", "Schedule"]
