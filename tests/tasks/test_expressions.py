"""Regular expressions of a campaign file: those of ``re``, within a limited time."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolm.errors import ConfigError
from evolm.tasks import expressions
from evolm.tasks.expressions import Expression


@given(
    st.lists(st.sampled_from(["a", "b+", "[^b]", "(?P<c>a|b)", r"\d", r"\b", " ", ".*?", "^", "$"]), max_size=5),
    st.text("ab 1"),
)
def test_they_find_what_those_of_python_find(parts: list[str], text: str) -> None:
    pattern = "".join(dict.fromkeys(parts))
    found = Expression("task.exclude", pattern)
    assert found.found_in(text) == bool(re.search(pattern, text))
    match = re.fullmatch(pattern, text)
    assert found.parts_of(text) == (match and match.groupdict())


@pytest.mark.parametrize("search", [Expression.found_in, Expression.parts_of])
def test_one_that_takes_too_long_is_refused(search: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expressions, "SECONDS", 0.05)
    with pytest.raises(
        ConfigError, match="task.exclude: expected an expression that needs at most 0.05 seconds .* 'aaaa"
    ):
        search(Expression("task.exclude", "(a|a)+$"), "a" * 60 + "b")
