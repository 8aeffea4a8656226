"""Standard output and error that are not UTF-8: a character they lack is written in ASCII, and nothing fails.

evolm's own typography has an equivalent, such as ``-`` for a minus sign. Any other character becomes its escape, such
as ``\\u6b63``, so that two labels that cannot be shown still differ.
"""

from __future__ import annotations

import codecs
import io
import sys

HANDLER = "evolm.ascii"  # of the codecs module
EQUIVALENTS = {
    **dict(zip("▁▂▃▄▅▆▇█", "12345678", strict=True)),  # a sparkline
    **dict.fromkeys("\N{MINUS SIGN}–·", "-"),
    **dict.fromkeys("“”«»", '"'),
    **dict.fromkeys("‘’", "'"),
    "\N{NO-BREAK SPACE}": " ",
    "…": "...",
    "×": "x",
    "²": "^2",
    "∞": "inf",
    "•": "*",
    "⟵": "<-",
}


def in_ascii(text: str) -> str:
    """Return ``text`` with every character outside ASCII as its equivalent, or as its escape in Python."""
    return "".join(EQUIVALENTS.get(each, each) for each in text).encode("ascii", "backslashreplace").decode("ascii")


def _handle(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return in_ascii(error.object[error.start : error.end]), error.end


def accept_every_character() -> None:
    """Let this process's standard output and error take every character, whatever their encoding is.

    UTF-8 streams, too: a file's name may hold bytes that are no UTF-8, which Python keeps as lone surrogates.
    """
    codecs.register_error(HANDLER, _handle)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=HANDLER)
