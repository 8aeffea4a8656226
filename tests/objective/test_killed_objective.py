"""A program whose optimizer starts over after SIGKILL ends with the journal of an undisturbed one, byte for byte."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evolm import Objective
from evolm.storage import Journal
from tests.support.processes import in_processes
from tests.support.tiers import slow

CALLS, BATCH = 5, 2


def walk(arguments: dict[str, Any], out: Path) -> None:
    """A random walk that goes on from the better of two steps."""
    with Objective(**{**arguments, "out": out}) as objective:
        rng = np.random.default_rng(3)
        best = objective.x0
        for _ in range(CALLS):
            steps = np.clip(best + rng.normal(size=(BATCH, objective.dimension)), *objective.bounds.T)
            best = steps[objective.many(steps).argmax()]
        objective.finish()


def struck(arguments: dict[str, Any], out: Path, at: int, torn: bool) -> None:
    """The same walk, killed before the so-manieth line of its journals, with half of it written if ``torn``."""
    append, lines = Journal.append, 0

    def counted(self: Journal, entry: dict[str, Any]) -> None:
        nonlocal lines
        lines += 1
        if lines == at:
            if torn:
                with self.path.open("ab") as stream:
                    stream.write(json.dumps(entry).encode()[:20])
            os.kill(os.getpid(), signal.SIGKILL)
        append(self, entry)

    Journal.append = counted  # type: ignore[method-assign]
    walk(arguments, out)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("space", ["delta", slow("prompt")])
def test_killed_and_started_again_it_has_the_journal_of_an_undisturbed_one(
    space: str, arguments: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    given = arguments(space, budget=CALLS * BATCH)
    assert in_processes(walk, (given, tmp_path / "undisturbed")) == [0]
    expected = (tmp_path / "undisturbed" / "journal.jsonl").read_bytes()
    lines = expected.count(b"\n")
    for at, torn in ((2, False), (5, True), (lines // 2, True), (lines - 1, False), (lines + 1, True)):
        out = tmp_path / f"killed-{at}"
        assert in_processes(struck, (given, out, at, torn)) == [-signal.SIGKILL]
        assert in_processes(walk, (given, out)) == [0]
        assert (out / "journal.jsonl").read_bytes() == expected
