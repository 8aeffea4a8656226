"""Permissions that hold for the superuser, too."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VERSION = 0x20080522  # of the kernel's capability sets: two words each
OVERRIDES = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Words(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable")]


@contextmanager
def ordinary_permissions() -> Iterator[None]:
    """Let permissions of files hold for this thread, as they do for every user but the superuser (Linux)."""
    if os.geteuid():
        yield
        return
    library = ctypes.CDLL(None, use_errno=True)
    header, words = _Header(VERSION, 0), (_Words * 2)()

    def call(name: str) -> None:
        if getattr(library, name)(ctypes.byref(header), words):
            raise OSError(ctypes.get_errno(), name)

    call("capget")
    before = words[0].effective
    words[0].effective &= ~OVERRIDES
    call("capset")
    try:
        yield
    finally:
        words[0].effective = before
        call("capset")


@contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    """Take the permission to write from a folder and all that is in it."""
    places = [folder, *folder.rglob("*")]
    modes = {path: path.stat().st_mode for path in places}
    for path in places:
        path.chmod(modes[path] & ~0o222)
    try:
        with ordinary_permissions():
            yield folder
    finally:
        for path in places:
            if path.exists():
                path.chmod(modes[path])
