"""JSON values and bytes with a few changes, for tests that read damaged and hostile files."""

from __future__ import annotations

import copy
import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-3, 2**70)
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["", "main", "spam", "individual", "generation", "verdict", "run"])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


def places_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value inside a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, inner in inside for place in ((*path, key), *places_in(inner, (*path, key)))]


@st.composite
def changed(draw: Any, value: Any, most: int = 2) -> Any:
    """Return a JSON value with one to ``most`` of its values replaced or removed."""
    result = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, most))):
        places = places_in(result)
        if not places:
            break
        *path, key = draw(st.sampled_from(places))
        parent = result
        for part in path:
            parent = parent[part]
        if draw(st.booleans()) and draw(st.booleans()):
            del parent[key]
        else:
            parent[key] = draw(VALUES)
    return result


def fuzz(examples: int) -> settings:
    """Return hypothesis' settings for a property of a reader: the same examples in every run, and no time limit.

    ``EVOLM_FUZZ_TIMES=10`` in the environment tries ten times as many examples.
    """
    return settings(
        max_examples=examples * int(os.environ.get("EVOLM_FUZZ_TIMES", "1")),
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


# What parsers trip over: signs of nesting, of markup and of tables, sizes of 32 and 64 bits.
TOKENS = (
    *(b"\0", b"\xff\xff\xff\xff", b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"\0\0\0\0\0\0\0\x80"),
    *(b"[" * 3000, b'{"a":' * 3000, b"9" * 5000, b"1e999", b"-1", b"NaN", b"null", b"[]", b"{}", b'""'),
    *(
        b"\n",
        b"\r",
        b'"',
        b",",
        b"\\ud800",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"../../etc/passwd",
        b"<script>",
        b"\x1b[2J",
    ),
)


@st.composite
def altered(draw: Any, content: bytes, most: int = 3) -> bytes:
    """Return bytes that are cut short, or in which up to ``most`` places are overwritten, removed or grown."""
    result = bytearray(content)
    for _ in range(draw(st.integers(1, most))):
        place = draw(st.integers(0, max(len(result) - 1, 0)))
        new = draw(st.sampled_from(TOKENS) | st.binary(min_size=1, max_size=8))
        how = draw(st.sampled_from(["overwrite", "insert", "remove", "cut", "repeat"]))
        if how == "cut":
            del result[place:]
        elif how == "remove":
            del result[place : place + draw(st.integers(1, 40))]
        elif how == "repeat":
            length = draw(st.integers(1, 200))
            result[place:place] = result[place : place + length] * draw(st.integers(1, 20))
        else:
            result[place : place + (len(new) if how == "overwrite" else 0)] = new
    return bytes(result)
