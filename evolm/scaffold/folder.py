"""Where ``evolm init`` writes, and what: a campaign.toml and its founders beside the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from evolm.config import FILE_NAME
from evolm.data_access import PACKAGE
from evolm.errors import ConfigError, DataError
from evolm.founders.files import founders_file
from evolm.scaffold.draft import Draft, draft
from evolm.scaffold.hints import Hints
from evolm.scaffold.toml_text import campaign_text, toml_value
from evolm.storage import write_atomically
from evolm.storage.layout import FOUNDERS
from evolm.tasks import READERS
from evolm.tasks.hub import DATASETS, DatasetName
from evolm.wording import counted, listed

UNSAID = ("founders", "task.kind", "task.data")  # what other sentences say


def write_campaign(
    source: str, out: Path | None, wishes: Hints, model: str, changes: Mapping[str, Any], copy: bool = False
) -> tuple[Path, Draft]:
    """Look at the data, write a folder that ``evolm run`` takes, and return both.

    A campaign reads from its own folder and from what is installed. So the folder is that of the data unless the
    user names another one, and then the data lies below it or is copied there.

    Args:
        source: a path, ``package:DIST/FILE`` or ``datasets:...``.
        out: the folder; None = that of the data, or a new one for data that is no file of the user's.
        wishes: what the user said about the columns.
        model: name of the model; a path from here.
        changes: keys of campaign.toml that the user set.
        copy: copy the data into the folder.

    Raises:
        ConfigError: if the data lies outside the folder, or a file is there that would be overwritten.
        EvolmError: whatever :func:`evolm.scaffold.draft.draft` raises, or the disk refuses.
    """
    if copy and out is None:
        raise ConfigError("--copy: expected a folder to copy the data to, --out DIR, found none")
    if source.startswith((PACKAGE, DATASETS)):
        folder, data, copies = out or Path(_name(source)), source, {}
    else:
        path = Path(source).expanduser()
        _check_ending(path, changes)
        folder = path.parent if out is None else out.expanduser()
        data = path.name if copy else _below(path, folder)
        source, copies = str(path), {data: path} if copy else {}
    _refuse_overwriting(folder, [FILE_NAME, FOUNDERS, *copies])
    drafted = draft(source, data, wishes, _model_name(model, folder), changes)
    why = {guess.key: guess.why for guess in drafted.guesses}
    for name, original in copies.items():
        write_atomically(folder / name, original.read_bytes())
    write_atomically(folder / FOUNDERS, founders_file(drafted.founders))
    write_atomically(folder / FILE_NAME, _head(data) + campaign_text(drafted.tables, why, drafted.examples))
    return folder, drafted


def _name(source: str) -> str:
    return DatasetName.parse(source).name if source.startswith(DATASETS) else PurePosixPath(source).stem


def _check_ending(path: Path, changes: Mapping[str, Any]) -> None:
    ending = path.suffix.lower()
    if ending not in READERS and not changes.get("task", {}).get("pattern"):
        raise DataError(
            f"{path}: expected {listed(READERS)}, found {ending!r}; "
            "for lines of text --set 'task.pattern=(?P<text>.+)', with a named group for each column"
        )


def _below(path: Path, folder: Path) -> str:
    """Return how a campaign in ``folder`` names a file of its own."""
    try:
        return path.resolve().relative_to(folder.resolve()).as_posix()
    except ValueError:
        raise ConfigError(
            f"{path}: expected data in the campaign's folder {folder}, found it elsewhere; "
            "add --copy, or leave --out away to write beside the data"
        ) from None


def _refuse_overwriting(folder: Path, names: Sequence[str]) -> None:
    for name in names:
        if (folder / name).exists():
            raise ConfigError(
                f"{folder / name}: expected a new file, found an existing one; "
                "remove it, or name another folder with --out DIR --copy"
            )


def _model_name(name: str, folder: Path) -> str:
    """Return how a campaign in ``folder`` names a model that the user named from here."""
    path = Path(name).expanduser()
    if not path.exists():
        return name
    found = path.resolve()
    return found.relative_to(folder.resolve()).as_posix() if found.is_relative_to(folder.resolve()) else str(found)


def _head(data: str) -> str:
    return (
        f"# Written by `evolm init` for {toml_value(data)}. Change what you like; `evolm schema` knows all keys.\n"
        "# A line that begins with # and a key shows its default. First, in this folder: evolm run . --dry-run\n\n"
    )


def sentences(drafted: Draft, folder: Path) -> list[str]:
    """Return what to say about every guess, one sentence each, and how to go on."""
    guesses = [guess for guess in drafted.guesses if guess.key not in UNSAID]
    shown = sum("demonstrations" in record for record in drafted.founders)
    return [
        *drafted.said,
        *(f"{g.key} = {toml_value(g.value)}{f' ({g.why})' if g.why else ''}" for g in guesses),
        f"Written: {folder / FILE_NAME} and {folder / FOUNDERS}, "
        f"{counted(len(drafted.founders), 'founder')}, {shown} of them with demonstrations.",
        f"Next: evolm run {folder} --dry-run",
    ]
