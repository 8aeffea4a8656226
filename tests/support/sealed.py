"""Watches what a reader does besides reading: files that it opens elsewhere, programs, connections, pickles.

Python reports these to audit hooks (PEP 578), also from inside of libraries that are written in Python.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evolm.errors import EvolmError

NEVER = {
    "os.exec",
    "os.spawn",
    "os.system",
    "pickle.find_class",
    "pty.spawn",
    "socket.connect",
    "webbrowser.open",
}
STARTS = {"os.posix_spawn", "subprocess.Popen"}  # since Python 3.14 the second one may report both
OWN_PROGRAM = "parquet_child.py"  # which decodes Parquet
MORE_MEMORY = 2 * 2**30  # bytes
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_watching: list[tuple[Path, Path, list[str]]] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching:
        return
    folder, secret, seen = _watching[-1]
    if event in NEVER or (event in STARTS and OWN_PROGRAM not in str(arguments[1])):
        seen.append(f"{event} {arguments!r:.200}")
    elif event == "open" and isinstance(arguments[0], str | bytes):
        path, flags = Path(os.fsdecode(arguments[0])), arguments[2]
        place = Path(os.path.abspath(path))
        writes = isinstance(flags, int) and flags & WRITING and place != Path(os.devnull)
        if place.is_relative_to(secret) or (writes and not place.is_relative_to(folder)):
            seen.append(f"open {place}")


sys.addaudithook(_hook)


@contextmanager
def sealed(folder: Path, secret: Path) -> Iterator[None]:
    """Fail if code in the context opens a file below ``secret``, writes outside of ``folder``, or starts anything."""
    seen: list[str] = []
    _watching.append((folder, secret, seen))
    try:
        yield
    finally:
        _watching.pop()
    assert seen == []


@contextmanager
def little_memory(more: int = MORE_MEMORY) -> Iterator[None]:
    """Let this process map at most ``more`` bytes beyond those that it has; what needs more raises MemoryError."""
    mapped = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (mapped + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def works_or_refuses(action: Callable[[], object], folder: Path) -> str:
    """Run an action on hostile files: in little memory it does its work, or raises one sentence of evolm's errors.

    Args:
        action: reads files in the folder.
        folder: the only one in which it may write; its sibling ``secret`` may not be read.

    Returns:
        The sentence, or ``""``.
    """
    with sealed(folder, folder.parent / "secret"), little_memory():
        try:
            action()
        except EvolmError as error:
            said = str(error)
            assert said and "\n" not in said
            return said
    return ""
