"""Parquet files."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq

from evolm.config import ReadSection
from evolm.errors import DataError
from evolm.tasks.tables.cells import arrow_cells, frame_of_pairs
from evolm.tasks.tables.how import How, Table


def read_parquet(source: str, data: bytes, how: How) -> Table:
    """Read a Parquet file; bytes are text in UTF-8, as older programs write it, and a name may occur twice.

    Raises:
        DataError: if it is damaged or none.
    """
    try:
        # A file, not a data set: the latter refuses names that occur twice.
        table = pq.ParquetFile(io.BytesIO(data)).read()
    except (pa.ArrowException, OSError) as error:
        reason = (str(error).splitlines() or ["it cannot be read"])[0]
        raise DataError(f"{source}: expected a Parquet file: {reason}") from None
    columns = [arrow_cells(source, name, table.column(place)) for place, name in enumerate(table.column_names)]
    frame = frame_of_pairs(list(table.column_names), columns, table.num_rows)
    return Table(frame, how.unused(".parquet files", *ReadSection.model_fields))
