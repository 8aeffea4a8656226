"""JSON values with a few changes, for tests that read damaged files."""

from __future__ import annotations

import copy
from typing import Any

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
