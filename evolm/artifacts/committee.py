"""``committee.json``: the members of a committee, each a prompt's folder beside it, and their weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

from pydantic import Field

from evolm.artifacts.prompt_files import FILES, PROMPT_FILE
from evolm.artifacts.prompt_record import to_json
from evolm.config import Section, validate
from evolm.errors import RunError
from evolm.storage.damage import read_record
from evolm.storage.files import disk_errors, write_atomically
from evolm.storage.layout import MEMBERS

COMMITTEE_FILE = "committee.json"
SCHEMA: Final = 1

Files = Mapping[str, str | bytes]  # name below a folder -> content


class SavedMember(Section):
    """One member: its folder below that of the file, and its weight."""

    folder: str = Field(pattern=rf"^{MEMBERS}/[1-9][0-9]*$")
    weight: int = Field(ge=1)


class CommitteeRecord(Section):
    """The content of ``committee.json``."""

    schema_version: Literal[1] = Field(alias="schema")
    members: tuple[SavedMember, ...] = Field(min_length=2)


def committee_folder(weights: Sequence[int], folders: Sequence[Files]) -> dict[str, str | bytes]:
    """Return the files of a committee's folder: name -> content, ``committee.json`` last.

    Args:
        weights: of each member.
        folders: the files of each member's folder (:func:`evolm.artifacts.prompt_folder`).
    """
    members = [
        SavedMember(folder=f"{MEMBERS}/{number}", weight=weight) for number, weight in enumerate(weights, start=1)
    ]
    record = CommitteeRecord(schema_version=SCHEMA, members=tuple(members))
    files = {
        f"{member.folder}/{name}": content
        for member, folder in zip(members, folders, strict=True)
        for name, content in folder.items()
    }
    return {**files, COMMITTEE_FILE: to_json(record.model_dump(mode="json", by_alias=True))}


def read_members(path: Path) -> list[tuple[Path, int]]:
    """Return the ``prompt.json`` and the weight of each of the prompts that a saved file names.

    Args:
        path: a ``committee.json``, or a ``prompt.json``, which is its own only member.

    Raises:
        RunError: if a committee is damaged, of another schema, or a member is missing.
        ConfigError: if a key is missing, unknown or of a wrong type.
    """
    if path.name != COMMITTEE_FILE:
        return [(path, 1)]
    found = read_record(path, "a committee saved by evolm")
    if found.get("schema") != SCHEMA:
        raise RunError(
            f"{path}: expected a committee saved by evolm with schema {SCHEMA}, found schema {found.get('schema')!r}"
        )
    record = validate(CommitteeRecord, found, str(path))
    members = [(path.parent / member.folder / PROMPT_FILE, member.weight) for member in record.members]
    for number, (prompt, _) in enumerate(members, start=1):
        if not prompt.is_file():
            raise RunError(f"{prompt}: expected member {number} of {len(members)} of a committee, found none")
    return members


def prompts_below(folder: Path) -> list[Path]:
    """Return every ``prompt.json`` in a folder and below, those of committees' members included."""
    return sorted(folder.rglob(PROMPT_FILE))


def replace_prompts(folder: Path, files: Files) -> None:
    """Write the folder of a prompt or committee, then remove the files of the one that was there before.

    A committee's file is written after its members and removed before them, so that it always has them.

    Args:
        folder: made if missing; files that evolm does not write are left alone.
        files: name below it -> content.

    Raises:
        RunError: if the disk refuses.
    """
    for name, content in files.items():
        write_atomically(folder / name, content)
    known = {COMMITTEE_FILE, *FILES}
    with disk_errors(folder):
        before = [path for path in sorted(folder.rglob("*")) if path.name in known and path.is_file()]
        for path in sorted(before, key=lambda path: path.name != COMMITTEE_FILE):
            if path.relative_to(folder).as_posix() not in files:
                path.unlink()
        for path in [*(folder / MEMBERS).glob("*"), folder / MEMBERS, folder]:
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
