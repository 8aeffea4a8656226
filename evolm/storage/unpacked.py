"""How much a compressed file may unpack to, and Parquet files that are read within that.

A few kilobytes of gzip or Parquet can stand for terabytes: what a file unpacks to is bounded by its own size.
Parquet is decoded by a library from sizes that the file declares, page by page; the decoding happens in a process of
its own, whose memory the operating system bounds.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pyarrow as pa

ALWAYS: Final = 256 * 2**20  # bytes that any file may unpack to
RATIO: Final = 64  # of a large file's unpacked size to its own
SECONDS: Final = 600.0  # for decoding a file of Parquet
CHILD: Final = Path(__file__).with_name("parquet_child.py")


class TooLarge(ValueError):
    """A file unpacks to more than it may."""


def most_bytes(size: int) -> int:
    """Return how many bytes a compressed file of ``size`` bytes may unpack to."""
    return max(ALWAYS, RATIO * size)


def too_large(size: int) -> TooLarge:
    """Return the error that a file of ``size`` bytes unpacks to more than it may."""
    return TooLarge(
        f"at most {most_bytes(size) // 2**20} MB in a file of {size / 2**20:.1f} MB, found more when it was unpacked"
    )


def parquet_table(data: bytes) -> pa.Table:
    """Return the table of a Parquet file.

    Args:
        data: the file's content.

    Raises:
        TooLarge: if it takes more memory than :func:`most_bytes` allows; each cell counts at least 16 bytes.
        ValueError: if it is damaged, or no Parquet file; the message has the library's reason.
    """
    import pyarrow as pa

    if not (data.startswith(b"PAR1") and data.endswith(b"PAR1")):
        raise ValueError("its first and last bytes are not PAR1")
    # A script, and no module of a package: the process needs nothing but pyarrow, and no path of this one.
    command = [sys.executable, "-P", str(CHILD), str(most_bytes(len(data)))]
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise ValueError(f"decoding it takes more than {SECONDS:g} seconds") from None
    if done.returncode == 0:
        return pa.ipc.open_stream(pa.py_buffer(done.stdout)).read_all()
    if done.returncode == 1 and done.stderr.startswith(b"evolm: "):
        raise ValueError(done.stderr.decode(errors="replace").removeprefix("evolm: ").strip())
    raise too_large(len(data))  # also if the library ended the process for want of memory


__all__ = ["TooLarge", "most_bytes", "parquet_table", "too_large"]
