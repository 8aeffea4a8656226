"""Real processes for tests, forked so that what is loaded need not be loaded again."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from typing import Any

FORK = multiprocessing.get_context("fork")
PAUSE = 0.05


def in_processes(
    target: Callable[..., None], *arguments: tuple[Any, ...], meanwhile: Callable[[], object] | None = None
) -> list[int | None]:
    """Run a function in a process for each tuple of arguments, all at once; return their exit codes.

    Args:
        target: the function.
        arguments: of each process.
        meanwhile: called again and again while the processes run, in this thread: a process that is forked while
            another thread holds a lock waits for that lock for ever.
    """
    processes = [FORK.Process(target=target, args=given) for given in arguments]
    for process in processes:
        process.start()
    while meanwhile and any(process.is_alive() for process in processes):
        meanwhile()
        time.sleep(PAUSE)
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]
