"""The encoding of a text file: as the user says, else recognised from its bytes.

Only what leaves little doubt is recognised: a byte order mark, valid UTF-8, UTF-16 with many NUL bytes, and cp1252 if
its letters stand where Western languages have them. Any other file is refused with the key that names its encoding.
"""

from __future__ import annotations

import codecs
import re
from typing import Final

from evolm.errors import DataError
from evolm.tasks.tables.files import refuse_other_formats
from evolm.tasks.tables.how import How

UTF_8: Final = "utf-8"
GUESSED: Final = "cp1252"
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAMPLE = 4096  # bytes that are searched for NUL
# Between two letters, Western text has letters, apostrophes, dashes and dots; no signs, and no capital after a small
# letter, as decoding another code page gives. The letters þ, ð and ý, which Icelandic needs, are refused too:
# more often they stand for the ş, ğ and ı of Turkish.
_STRANGE = re.compile(
    r"(?<=[^\W\d_])[\x80-\xa6\xa8-\xac\xae-\xb3\xb6\xb8\xb9\xbc-\xbf\xd7\xf7\u20ac\u201a\u201e\u2020\u2021\u02c6\u2030"
    r"\u2039\u203a\u02dc\u2122](?=[^\W\d_])"
    r"|[\xd0\xdd\xde\xf0\xfd\xfe]"
    r"|(?<=[a-z\xdf-\xf6\xf8-\xff])[\xc0-\xd6\xd8-\xde\u0160\u017d\u0152\u0178](?=[a-z]|\b)"
)
_RUN = re.compile(r"[^\W\d_\x00-\x7f]{4,}")  # letters beyond ASCII; Estonian has words like "jäääär"
_FEWEST_IN_RUN = 3  # different letters that make such a run foreign
_MOST_FOREIGN = 0.6  # share of letters beyond ASCII in a Western text


def decoded(source: str, data: bytes, how: How) -> tuple[str, str]:
    """Return a file's text and the name of its encoding.

    Args:
        source: its name in messages.
        data: its content.
        how: how it is to be read; a mark or valid UTF-8 overrules an encoding that is not firm.

    Raises:
        DataError: if the bytes do not fit the encoding, or none is recognised.
    """
    refuse_other_formats(source, data)
    marked = next((name for mark, name in _MARKS if data.startswith(mark)), "")
    if how.read.encoding and ("encoding" in how.firm or not (marked or _is_utf8(data))):
        wanted = codecs.lookup(how.read.encoding).name
        return _text(source, data, "utf-8-sig" if wanted == UTF_8 else wanted), wanted
    if marked or _is_utf8(data):
        name = marked or _unmarked_utf16(data) or UTF_8
        return _text(source, data, name), UTF_8 if name == "utf-8-sig" else name
    if name := _unmarked_utf16(data):
        return _text(source, data, name), name
    return _western(source, data), GUESSED


def described(encoding: str, how: How) -> str:
    """Return the words on a file's encoding for a note: its name, and whether it is a guess."""
    guessed = encoding == GUESSED and not how.read.encoding
    return f"encoding {encoding}{' (a guess: the file is not UTF-8)' if guessed else ''}"


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode(UTF_8)
    except UnicodeDecodeError:
        return False
    return True


def _text(source: str, data: bytes, encoding: str) -> str:
    try:
        text = data.decode(encoding)
        text.encode(UTF_8)
    except UnicodeDecodeError as error:
        where = f"byte 0x{data[error.start]:02x} in line {_line(data, error.start)}"
        raise DataError(f"{source}: expected {encoding}, found {where}; {_advice()}") from None
    except (UnicodeError, LookupError, ValueError) as error:
        raise DataError(f"{source}: expected {encoding}: {error}; {_advice()}") from None
    return text


def _line(data: bytes, place: int) -> int:
    return data.count(b"\n", 0, place) + 1


def _advice() -> str:
    return "save the file as UTF-8, or name its encoding: --set task.read.encoding=cp1251 (or gb18030, shift_jis ...)"


def _unmarked_utf16(data: bytes) -> str:
    """Return the name of UTF-16 without a mark if every second byte is mostly NUL, else ``""``."""
    even, odd = data[:_SAMPLE:2], data[1:_SAMPLE:2]
    if len(data) % 2 or not odd:
        return ""
    first, second = even.count(0) / len(even), odd.count(0) / len(odd)
    if second > 0.5 and first < 0.1:
        return "utf-16-le"
    return "utf-16-be" if first > 0.5 and second < 0.1 else ""


def _western(source: str, data: bytes) -> str:
    """Return text in cp1252.

    Raises:
        DataError: if a byte has no character there, or the text does not look like a Western language.
    """
    try:
        text = data.decode(GUESSED)
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text or _STRANGE.search(text) or _is_foreign(text):
        start = _first_error(data)
        raise DataError(
            f"{source}: expected UTF-8, found byte 0x{data[start]:02x} in line {_line(data, start)}; {_advice()}"
        )
    return text


def _is_foreign(text: str) -> bool:
    """Return whether letters beyond ASCII are too many, or form words of their own."""
    beyond = sum(letter > "\x7f" and letter.isalpha() for letter in text)
    letters = sum(map(str.isalpha, text))
    return beyond > _MOST_FOREIGN * letters or any(len(set(run)) >= _FEWEST_IN_RUN for run in _RUN.findall(text))


def _first_error(data: bytes) -> int:
    try:
        data.decode(UTF_8)
    except UnicodeDecodeError as error:
        return error.start
    return 0
