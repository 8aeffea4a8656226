"""A user's file as bytes, and its ending, which decides how it is read."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path, PurePosixPath
from typing import Final

from evolm.data_access import missing_file
from evolm.errors import DataError
from evolm.storage.unpacked import most_bytes, too_large

GZIP: Final = ".gz"
_GZIP_START = b"\x1f\x8b"
_OTHER_FORMATS = {
    b"PK\x03\x04": "a ZIP archive or an Excel workbook; save the table as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook; save the table as CSV",
    b"PAR1": "a Parquet file; give it a name that ends in .parquet",
    b"%PDF": "a PDF document",
    _GZIP_START: "gzip data; give it a name that ends in .gz",
}


def ending_of(source: str) -> str:
    """Return a file's ending in lower case, that of its content if it is compressed: ``.csv`` of ``a.CSV.gz``."""
    path = PurePosixPath(source)
    return (PurePosixPath(path.stem) if path.suffix.lower() == GZIP else path).suffix.lower()


def stem_of(source: str) -> str:
    """Return a file's name without folder and endings: ``a`` of ``folder/a.csv.gz``."""
    path = PurePosixPath(source)
    return PurePosixPath(path.stem).stem if path.suffix.lower() == GZIP else path.stem


def file_bytes(source: str, path: Path) -> bytes:
    """Return the content of a file, decompressed if its name ends in ``.gz``.

    Raises:
        DataError: if it is missing, unreadable, damaged or empty; the message calls it ``source``.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise missing_file(source, path) from None
    except OSError as error:
        raise DataError(f"{source}: expected a readable file: {error.strerror}") from None
    if source.lower().endswith(GZIP):
        data = _decompressed(source, data)
    if not data.strip():
        raise DataError(f"{source}: expected rows, found an empty file")
    return data


def _decompressed(source: str, data: bytes) -> bytes:
    most = most_bytes(len(data))
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            found = stream.read(most + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{source}: expected gzip data: {error}") from None
    if len(found) > most:
        raise DataError(f"{source}: expected {too_large(len(data))}; unpack it, and name the unpacked file")
    return found


def refuse_other_formats(source: str, data: bytes) -> None:
    """Raise DataError if a text file begins like a file of another well-known format."""
    for start, what in _OTHER_FORMATS.items():
        if data.startswith(start):
            raise DataError(f"{source}: expected text, found {what}")
