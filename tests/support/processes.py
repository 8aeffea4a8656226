"""Real processes for tests, forked so that what is loaded need not be loaded again."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any

FORK = multiprocessing.get_context("fork")


def in_processes(target: Callable[..., None], *arguments: tuple[Any, ...]) -> list[int | None]:
    """Run a function in a process for each tuple of arguments, all at once; return their exit codes."""
    processes = [FORK.Process(target=target, args=given) for given in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]
