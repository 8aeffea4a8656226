"""Writing a drafted campaign: a folder with campaign.toml and founders, beside the data or with a copy of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evolm.choices import Size
from evolm.config import FILE_NAME
from evolm.data_access import DATASETS, PACKAGE
from evolm.errors import ConfigError, DataError
from evolm.founders.files import founders_file
from evolm.scaffold.draft import Draft, draft
from evolm.scaffold.hints import Hints
from evolm.scaffold.toml_text import campaign_text, toml_value
from evolm.storage.files import write_new_files
from evolm.storage.layout import FOUNDERS
from evolm.tasks import READERS, ending_of, stem_of
from evolm.tasks.tables.hub import DatasetName
from evolm.wording import counted, listed, shell_word

UNSAID = ("founders", "task.kind", "task.data")  # keys that other sentences report


def write_campaign(
    source: str,
    out: Path | None,
    hints: Hints,
    model: str,
    changes: Mapping[str, Any],
    copy: bool = False,
    size: Size = "medium",
) -> tuple[Path, Draft]:
    """Write a folder that ``evolm run`` takes, and return it with the draft.

    A campaign may read its own folder and installed packages only. So the folder is that of the data; if the user
    names another one, the data must lie below it or is copied there.

    Args:
        source: a path, ``package:DIST/FILE`` or ``datasets:...``.
        out: the folder; None = the data's folder, or a new one for data of a package or the hub.
        hints: the user's options about the columns.
        model: name of the model; a path is relative to the working directory.
        changes: keys of campaign.toml that the user set.
        copy: copy the data into the folder.
        size: of the budget.

    Raises:
        ConfigError: if the data lies outside the folder, or a file would be overwritten.
        EvolmError: see :func:`evolm.scaffold.draft.draft`; also for errors of the disk.
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
    drafted = draft(source, data, hints, _model_name(model, folder), changes, size)
    why = {guess.key: guess.why for guess in drafted.guesses}
    contents = {name: original.read_bytes() for name, original in copies.items()}
    campaign = _head(data) + campaign_text(drafted.tables, why, drafted.examples)
    write_new_files(folder, {**contents, FOUNDERS: founders_file(drafted.founders), FILE_NAME: campaign})
    return folder, drafted


def _name(source: str) -> str:
    return DatasetName.parse(source).name if source.startswith(DATASETS) else stem_of(source)


def _check_ending(path: Path, changes: Mapping[str, Any]) -> None:
    ending = ending_of(path.name)
    if ending not in READERS and not changes.get("task", {}).get("pattern"):
        raise DataError(
            f"{path}: expected {listed(READERS)}, found {ending!r}; "
            "for lines of text --set 'task.pattern=(?P<text>.+)', with a named group for each column"
        )


def _below(path: Path, folder: Path) -> str:
    """Return a file's path relative to the campaign's folder."""
    try:
        return path.resolve().relative_to(folder.resolve()).as_posix()
    except ValueError:
        if path.is_symlink():
            raise ConfigError(
                f"{path}: expected a file in the campaign's folder {folder}, found a symbolic link to "
                f"{path.resolve()}, which a campaign may not follow; name that file instead, or "
                "copy it with --copy --out DIR"
            ) from None
        raise ConfigError(
            f"{path}: expected data in the campaign's folder {folder}, found it elsewhere; "
            "add --copy, or omit --out to write beside the data"
        ) from None


def _refuse_overwriting(folder: Path, names: Sequence[str]) -> None:
    for name in names:
        if (folder / name).exists():
            raise ConfigError(
                f"{folder / name}: expected a new file, found an existing one; "
                "remove it, or name another folder with --out DIR --copy"
            )


def _model_name(name: str, folder: Path) -> str:
    """Return a model's name for a campaign in ``folder``, from its name relative to the working directory."""
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
    """Return a sentence for every guess, and the next command."""
    guesses = [guess for guess in drafted.guesses if guess.key not in UNSAID]
    shown = sum("demonstrations" in record for record in drafted.founders)
    return [
        *drafted.said,
        *(f"{g.key} = {toml_value(g.value)}{f' ({g.why})' if g.why else ''}" for g in guesses),
        *drafted.outlook,
        f"Written: {folder / FILE_NAME} and {folder / FOUNDERS}, "
        f"{counted(len(drafted.founders), 'founder')}, {shown} of them with demonstrations.",
        f"Next: evolm run {shell_word(folder)} --dry-run",
    ]
