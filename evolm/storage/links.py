"""Folders of unknown origin: nothing in them may lead out of them.

What a run's directory names is read into its report and exports, and written when the run is continued. A symbolic
link in it to a file elsewhere would publish or overwrite that file.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from evolm.errors import RunError


def refuse_ways_out(folder: Path) -> None:
    """Refuse a folder with a symbolic link that leads out of it, or with anything that is no file and no folder.

    Args:
        folder: reached by links or not; links that stay inside of it may be there.

    Raises:
        RunError: naming the first of them.
    """
    inside = Path(os.path.realpath(folder))
    for where, folders, files in os.walk(folder):  # links to folders are listed, and not entered
        for name in sorted((*folders, *files)):
            path = Path(where, name)
            target = Path(os.path.realpath(path))
            if path.is_symlink() and not target.is_relative_to(inside):
                raise RunError(
                    f"{path}: expected a file of this folder, found a symbolic link to {target}, which is outside; "
                    "put a copy in its place"
                )
            if not _is_plain(path):
                raise RunError(f"{path}: expected a file or a folder, found a pipe, socket or device")


def _is_plain(path: Path) -> bool:
    """Return whether a path is a file, a folder, or a link that leads nowhere yet."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return True
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


__all__ = ["refuse_ways_out"]
