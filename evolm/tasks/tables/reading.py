"""Reading a table from wherever a user's rows are: a file, an installed package, or a data set of the hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evolm.config import ReadSection
from evolm.data_access import DATASETS, locate
from evolm.errors import DataError
from evolm.tasks.tables.cells import frame_of
from evolm.tasks.tables.delimited import read_csv, read_tsv
from evolm.tasks.tables.files import ending_of, file_bytes
from evolm.tasks.tables.how import How, Reader, Table
from evolm.tasks.tables.hub import read_dataset
from evolm.tasks.tables.jsonl import read_jsonl
from evolm.tasks.tables.lines import read_lines
from evolm.tasks.tables.parquet import read_parquet
from evolm.wording import listed

READERS: dict[str, Reader] = {
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".jsonl": read_jsonl,
    ".parquet": read_parquet,
}


def read_table(
    source: str, how: How = How(), *, root: Path, admitted: Sequence[Path] = (), trusted: bool = False
) -> Table:
    """Read a file, or a data set of the hub, as a table of text.

    Args:
        source: a file with one of the endings in ``READERS``, of lines of text if ``how.pattern`` is set, or a name
            that begins with ``datasets:``. A file may be compressed: ``rows.csv.gz``.
        how: see :class:`~evolm.tasks.tables.how.How`.
        root, admitted, trusted: as for :func:`evolm.data_access.locate` and
            :func:`evolm.tasks.tables.hub.read_dataset`.

    Raises:
        DataError: if the file is missing, empty, without rows or unreadable.
        ConfigError: if the pattern is wrong; ``locate`` and ``read_dataset`` raise further errors.
    """
    if source.startswith(DATASETS):
        columns = read_dataset(source, trusted)
        frame = frame_of(columns, max(map(len, columns.values()), default=0))
        table = Table(frame, how.unused("data sets", *ReadSection.model_fields))
    else:
        table = _read_file(source, locate(source, root, admitted, trusted), how)
    if not len(table.frame):
        raise DataError(f"{source}: expected rows, found none")
    return table


def _read_file(source: str, path: Path, how: How) -> Table:
    ending = ending_of(source)
    if ending not in READERS and not how.pattern:
        raise DataError(f"{source}: expected {listed(READERS)}, or task.pattern for lines of text, found {ending!r}")
    return READERS.get(ending, read_lines)(source, file_bytes(source, path), how)
