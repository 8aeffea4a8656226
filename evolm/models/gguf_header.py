"""The header of a GGUF file, walked once within its bytes before a library reads it.

A header declares counts and lengths of 64 bits. The library takes them as they are: an array of 2**60 numbers in a
file of a hundred bytes would be read until memory ends. The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Final

MAGIC: Final = b"GGUF"
STRING, ARRAY = 8, 9
SIZES: Final = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # type of a value -> bytes
MOST_DIMENSIONS: Final = 4
SMALLEST_VALUE, SMALLEST_TENSOR = 8 + 4 + 1, 8 + 4 + 4 + 8  # bytes of an entry with an empty name


class _Header:
    def __init__(self, data: mmap.mmap) -> None:
        self._data, self._place, self._order = data, len(MAGIC), "<"

    def check(self) -> None:
        if self._number("I") & 0xFFFF == 0:  # a version in the other order of bytes
            self._order, self._place = ">", len(MAGIC)
            self._number("I")
        tensors, values = self._number("Q"), self._number("Q")
        if values * SMALLEST_VALUE + tensors * SMALLEST_TENSOR > len(self._data):
            raise ValueError(f"it declares {tensors} tensors and {values} values")
        for _ in range(values):
            self._skip_text()
            self._skip_value(self._number("I"))
        for _ in range(tensors):
            self._skip_text()
            dimensions = self._number("I")
            if dimensions > MOST_DIMENSIONS:
                raise ValueError(f"it declares a tensor of {dimensions} dimensions")
            self._skip(8 * dimensions + 4 + 8, "a tensor")

    def _skip(self, length: int, what: str) -> None:
        if length > len(self._data) - self._place:
            raise ValueError(f"it declares {what} of {length} bytes beyond its end")
        self._place += length

    def _number(self, form: str) -> int:
        start = self._place
        self._skip(struct.calcsize(form), "a number")
        return int(struct.unpack_from(self._order + form, self._data, start)[0])

    def _skip_text(self) -> None:
        self._skip(self._number("Q"), "a text")

    def _skip_value(self, kind: int) -> None:
        if kind == STRING:
            self._skip_text()
        elif kind == ARRAY:
            self._skip_array(self._number("I"), self._number("Q"))
        elif kind in SIZES:
            self._skip(SIZES[kind], "a value")
        else:
            raise ValueError(f"it has a value of the unknown type {kind}")

    def _skip_array(self, kind: int, length: int) -> None:
        if kind in SIZES:
            self._skip(length * SIZES[kind], "an array")
        elif kind == STRING:
            if length * 8 > len(self._data) - self._place:
                raise ValueError(f"it declares an array of {length} texts beyond its end")
            for _ in range(length):
                self._skip_text()
        else:
            raise ValueError(f"it has an array of the type {kind}")


def check_header(path: Path) -> None:
    """Raise unless everything that a GGUF file's header declares lies in the file.

    Raises:
        ValueError: naming what does not.
        OSError: if the file cannot be read.
    """
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        _Header(data).check()


__all__ = ["check_header"]
