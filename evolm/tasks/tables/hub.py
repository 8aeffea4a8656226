"""Data sets of the hub: ``datasets:OWNER/NAME[/CONFIG][#SPLIT]``, read by the optional package ``datasets``.

A campaign file may give such a name, as it may name data of an installed package. It must name a data set of the hub:
``datasets`` would prefer a folder of that name in the working directory, which the campaign may not be allowed to
read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolm.data_access import DATASETS
from evolm.errors import ConfigError, DataError, PermissionNeeded
from evolm.tasks.tables.cells import arrow_cells
from evolm.wording import listed

_FORM = re.compile(r"(?P<owner>\w[\w.-]*)/(?P<name>\w[\w.-]*)(?:/(?P<config>\w[^/#]*))?(?:#(?P<split>\w[^/#]*))?")


@dataclass(frozen=True)
class DatasetName:
    """The parts of a source's name; an empty config or split means the data set's default, or its only one."""

    owner: str
    name: str
    config: str
    split: str

    @classmethod
    def parse(cls, source: str) -> DatasetName:
        """Read ``datasets:OWNER/NAME[/CONFIG][#SPLIT]``; any other text raises ConfigError."""
        match = _FORM.fullmatch(source.removeprefix(DATASETS))
        if match is None:
            raise ConfigError(f"{source!r}: expected datasets:OWNER/NAME, datasets:OWNER/NAME/CONFIG or these#SPLIT")
        return cls(**match.groupdict(default=""))

    @property
    def id(self) -> str:
        """The data set's name on the hub."""
        return f"{self.owner}/{self.name}"


def read_dataset(source: str, trusted: bool) -> dict[str, list[Any]]:
    """Return the columns of a data set of the hub; class labels are given as names, not as numbers.

    Args:
        source: ``datasets:OWNER/NAME[/CONFIG][#SPLIT]``; the split may be one of the package's slices,
            ``train[:1000]``.
        trusted: whether the user, not a campaign file, named the source; then it may be a local folder.

    Raises:
        ConfigError: for a malformed name, or one of several splits left open.
        PermissionNeeded: if a local file or folder has this name.
        DataError: if the package is missing or cannot read the data set.
    """
    asked = DatasetName.parse(source)
    if not trusted and Path(asked.id).exists():
        raise PermissionNeeded(
            f"{source!r}: expected a data set of the hub, found {asked.id!r} in the working directory; "
            "name it with --set, or start evolm elsewhere"
        )
    try:
        import datasets
    except ImportError:
        raise DataError(
            f"{source!r}: the package datasets is not installed; try: pip install 'evolm[datasets]'"
        ) from None
    try:
        found = datasets.load_dataset(asked.id, asked.config or None, split=asked.split or None)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise DataError(f"{source!r}: cannot be read: {' '.join(str(error).split())}") from None
    if isinstance(found, datasets.DatasetDict):
        if len(found) != 1:
            raise ConfigError(f"{source!r}: expected #SPLIT at the end, one of {listed(found)}, found none")
        found = next(iter(found.values()))
    table = found.with_format("arrow")[:]
    return {
        name: _plain(arrow_cells(repr(source), name, table.column(name)), feature)
        for name, feature in found.features.items()
    }


def _plain(values: list[Any], feature: Any) -> list[Any]:
    """Turn the numbers of a ``datasets.ClassLabel`` into its names; -1 means that there is no label."""
    names = getattr(feature, "names", None)
    if names is None:
        return values
    return [names[value] if value is not None and value >= 0 else None for value in values]
