"""Runs that were interrupted: how a user goes on with them, and what of them differs from an undisturbed run."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import psutil

from tests.support.toy_campaign import ToyCampaign, bytes_of, result_of, without_clock


def finish(
    evolm: Any, campaign: ToyCampaign, out: Path, *options: object, strike: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Go on, as a user would: resume, or begin again where the run had not begun."""
    if not (out / "campaign.toml").exists():
        shutil.rmtree(out, ignore_errors=True)
        return evolm("run", campaign.folder, "--out", out, *options, **(strike or {}))
    return evolm("resume", out, *options, **(strike or {}))


def unequal(out: Path, undisturbed: Path) -> list[str]:
    """Return the files of a finished run that differ from those of an undisturbed one, or should not be there."""
    found, expected = bytes_of(out), bytes_of(undisturbed)
    different = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    if without_clock(result_of(out)) != without_clock(result_of(undisturbed)):
        different.append("result.json")
    return different + [path.name for path in (out / "checkpoint").iterdir() if path.name.startswith(".")]


def gone(pids: list[int], seconds: float = 30) -> bool:
    """Wait until no process is left; zombies count as gone."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not any(map(lives, pids)):
            return True
        time.sleep(0.1)
    return False


def lives(pid: int) -> bool:
    """Return whether a process is there and no zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
