"""What a reader of tables is asked, and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pandas as pd

from evolm.config import ReadSection


@dataclass(frozen=True)
class How:
    """How a file is to be read.

    Attributes:
        read: the table ``[task.read]``.
        wanted: columns that the file must have; the separator and the header are recognised by them.
        firm: the keys of ``read`` that are about this file. The campaign's own are not about new rows for a saved
            prompt: what that file itself shows beyond doubt overrules its encoding, separator and header, and that is
            said.
        new: whether the rows are to be answered: one that cannot be used stays as a row of missing cells.
        pattern: the value of ``task.pattern``.
    """

    read: ReadSection = field(default_factory=ReadSection)
    wanted: tuple[str, ...] = ()
    firm: frozenset[str] = frozenset(ReadSection.model_fields)
    new: bool = False
    pattern: str = ""

    def unused(self, what: str, *keys: str) -> list[str]:
        """Return a sentence about the pattern and keys of ``[task.read]`` that do not apply to ``what``."""
        given = [f"read.{key}" for key in keys if key in self.firm & self.read.model_fields_set]
        given += ["pattern"] if self.pattern else []
        names = ", ".join(f"`{name}`" for name in given)
        return [f"{names} not used: {what} are read as tables"] if given else []


@dataclass(frozen=True)
class Table:
    """The rows of a file.

    Attributes:
        frame: the rows in the file's order; ``str`` columns, ``object`` if a column has nested values.
        notes: sentences about how the file was read, and about lines that were left out.
        read: keys of ``[task.read]`` with which the file is read like this again; empty if nothing is unusual.
    """

    frame: pd.DataFrame
    notes: list[str] = field(default_factory=list)
    read: Mapping[str, Any] = field(default_factory=dict)


Reader: TypeAlias = Callable[[str, bytes, How], Table]
