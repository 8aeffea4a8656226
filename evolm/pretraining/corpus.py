"""Documents to learn from: text files, folders of them, or a column of a table, each document once."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evolm.config import ReadSection, validate
from evolm.data_access import locate, missing_file
from evolm.errors import DataError, nearest
from evolm.tasks.tables import READERS, How, ending_of, read_table
from evolm.typed import text_of
from evolm.wording import counted, listed

HELD_OUT = 50  # one document of so many validates, and another one tests
TEXTS = (".txt", ".md", ".rst")


@dataclass(frozen=True)
class Corpus:
    """Documents, split and ordered by their content: adding some moves no other one to another split.

    A file may be sorted, by length for example; the order of hashes is one of chance.

    Attributes:
        train: to learn from.
        validation: choose when to stop.
        test: measured once, at the end.
        digest: of all documents, in order.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    digest: str = field(repr=False)


def read_corpus(sources: Sequence[str], column: str = "", read: dict[str, Any] | None = None) -> Corpus:
    """Read documents and split them.

    A file of text holds documents between blank lines, or one a line if it has none; a table, one a row.

    Args:
        sources: files, folders or ``package:DIST/FILE``.
        column: of tables; empty = ``text``, or the only one.
        read: how tables are read, as in ``[task.read]``.

    Raises:
        DataError: if a source is missing, empty or no text, or a split would be empty.
    """
    found = dict.fromkeys(text for source in sources for text in _documents(source, column, read or {}))
    hashes = {text: hashlib.sha256(text.encode()).digest() for text in found}
    documents = sorted(found, key=hashes.__getitem__)
    if not documents:
        raise DataError(f"{listed(sources)}: expected text, found none")
    places = [_place(hashes[text]) for text in documents]
    train, validation, test = (
        tuple(text for text, at in zip(documents, places, strict=True) if at == part) for part in range(3)
    )
    if not (train and validation and test):
        raise DataError(
            f"{listed(sources)}: expected enough different documents to hold some out (a few hundred), found "
            f"{counted(len(documents), 'document')}"
        )
    digest = hashlib.sha256("\0".join(documents).encode()).hexdigest()[:16]
    return Corpus(train, validation, test, digest)


def _place(digest: bytes) -> int:
    """Return 0 for a train document, 1 for validation, 2 for test."""
    number = int.from_bytes(digest[-8:], "big") % HELD_OUT
    return {0: 1, 1: 2}.get(number, 0)


def _documents(source: str, column: str, read: dict[str, Any]) -> Iterator[str]:
    path = locate(source, Path(), trusted=True)
    if not path.exists():
        raise missing_file(source, path)
    if path.is_dir():
        files = sorted(each for each in path.rglob("*") if each.suffix in TEXTS)
        if not files:
            raise DataError(f"{source}: expected a folder with {listed(TEXTS)} files, found none")
        for each in files:
            yield from _of_text(str(each), each)
    elif ending_of(source) in READERS:
        yield from _of_table(source, column, read)
    else:
        yield from _of_text(source, path)


def _of_table(source: str, column: str, read: dict[str, Any]) -> Iterator[str]:
    how = How(read=validate(ReadSection, read, "task.read"))
    frame = read_table(source, how, root=Path(), trusted=True).frame
    names = [str(name) for name in frame.columns]
    name = column or ("text" if "text" in names else names[0] if len(names) == 1 else "")
    if name not in names:
        found = f"{name!r}{nearest(name, names)}" if name else "none"
        raise DataError(f"{source}: expected --column to name one of {listed(names)}, found {found}")
    yield from _filled(str(cell) for cell in frame[name].dropna())


def _of_text(source: str, path: Path) -> Iterator[str]:
    try:
        text = text_of(path)
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise DataError(f"{source}: expected a text in UTF-8, found bytes that are no text")
    parts = re.split(r"\n\s*\n", text.strip())
    yield from _filled(parts if len(parts) > 1 else text.splitlines())


def _filled(texts: Iterable[str]) -> Iterator[str]:
    return (text.strip() for text in texts if text.strip())
