"""Parquet files."""

from __future__ import annotations

from evolm.config import ReadSection
from evolm.errors import DataError
from evolm.storage.unpacked import TooLarge, parquet_table
from evolm.tasks.tables.cells import arrow_cells, frame_of_pairs
from evolm.tasks.tables.how import How, Table


def read_parquet(source: str, data: bytes, how: How) -> Table:
    """Read a Parquet file; bytes are text in UTF-8, as older programs write it, and a name may occur twice.

    Raises:
        DataError: if it is damaged or none.
    """
    try:
        table = parquet_table(data)
    except TooLarge as error:
        raise DataError(f"{source}: expected {error}; save it as CSV") from None
    except ValueError as error:
        raise DataError(f"{source}: expected a Parquet file: {error}") from None
    columns = [arrow_cells(source, name, table.column(place)) for place, name in enumerate(table.column_names)]
    frame = frame_of_pairs(list(table.column_names), columns, table.num_rows)
    return Table(frame, how.unused(".parquet files", *ReadSection.model_fields))
