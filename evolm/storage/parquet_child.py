"""Decodes a Parquet file from standard input to an Arrow stream on standard output, within bounded memory.

A script of :mod:`evolm.storage.unpacked`; it imports nothing of evolm. Its argument is the most bytes that the table
may have. Exit code 1, with the reason after ``evolm:``, means a damaged file; 2 a table that is too large.
"""

from __future__ import annotations

import os
import sys
from typing import Any

CELL = 16  # bytes that a cell counts at least: a column of one repeated value may have none
SLACK = 512 * 2**20  # bytes beside the table and its decoded pages


def cells_in(array: Any) -> int:
    """Return the number of an array's values, those inside of lists and structures included."""
    import pyarrow as pa

    inside = 0
    if pa.types.is_struct(array.type):
        inside = sum(cells_in(array.field(place)) for place in range(array.type.num_fields))
    elif pa.types.is_list(array.type) or pa.types.is_large_list(array.type) or pa.types.is_map(array.type):
        inside = cells_in(array.values)
    return len(array) + inside


def dense(kind: Any) -> Any:
    """Return a type whose values stand in its arrays themselves, where another has them in a dictionary."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        return dense(kind.value_type)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        inner = dense(kind.value_type)
        return kind if inner == kind.value_type else pa.list_(inner)
    return kind


def limit_memory(more: int) -> None:
    """Let this process map so many bytes beside those that it has; without effect on other systems than Linux."""
    if sys.platform != "linux":
        return
    import resource

    with open("/proc/self/statm", encoding="ascii") as stream:
        mapped = int(stream.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (mapped + more, mapped + more))


def main(most: int) -> int:
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"  # the other pools reserve a gigabyte of addresses in advance
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = sys.stdin.buffer.read()
    limit_memory(2 * most + SLACK)
    try:
        # A file, not a data set: the latter refuses names that occur twice.
        table = pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False)
        fields = [field.with_type(dense(field.type)) for field in table.schema]
        if [field.type for field in fields] != table.schema.types:
            table = table.cast(pa.schema(fields))
        cells = sum(cells_in(chunk) for column in table.columns for chunk in column.chunks)
        if table.nbytes + CELL * (cells + table.num_rows) > most:
            return 2
        with pa.ipc.new_stream(sys.stdout.buffer, table.schema) as writer:
            writer.write_table(table)
    except MemoryError:
        return 2
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        reason = (str(error).splitlines() or ["it cannot be read"])[0]
        sys.stderr.write(f"evolm: {reason}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
