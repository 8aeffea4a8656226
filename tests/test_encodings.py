"""Every text file and every process's text has an encoding by name.

ruff's PLW1514 sees calls whose object it can infer; this test also sees ``layout.result.read_text()`` and its like.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODES = {"r", "w", "a", "x", "r+", "w+", "a+", "x+", "rt", "wt", "at", "xt"}


def without_encoding(source: str) -> Iterator[ast.Call]:
    """Yield calls that read or write text in the locale's encoding."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and _is_text(node) and not {"encoding", None} & _keywords(node):
            yield node


def _keywords(call: ast.Call) -> set[str | None]:
    return {keyword.arg for keyword in call.keywords}  # None = **keywords


def _is_text(call: ast.Call) -> bool:
    function = call.func
    if isinstance(function, ast.Name):
        return function.id == "open" and len(call.args) < 4 and not _is_binary(call)
    if not isinstance(function, ast.Attribute):
        return False
    if function.attr == "read_text":
        return not call.args
    if function.attr == "write_text":
        return len(call.args) == 1
    if function.attr in ("run", "Popen", "check_output"):
        return bool({"text", "universal_newlines"} & _keywords(call))
    return function.attr == "open" and bool(MODES & _constants(call))


def _is_binary(call: ast.Call) -> bool:
    return any("b" in value for value in _constants(call) if len(value) <= 3)


def _constants(call: ast.Call) -> set[str]:
    values = [*call.args[:2], *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
    return {value.value for value in values if isinstance(value, ast.Constant) and isinstance(value.value, str)}


@pytest.mark.parametrize("room", ["evolm", "tests", "benchmarks"])
def test_every_text_file_is_opened_with_its_encoding(room: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{call.lineno}: {ast.unparse(call)[:80]}"
        for path in sorted((ROOT / room).rglob("*.py"))
        for call in without_encoding(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    "call",
    ["path.read_text()", "path.write_text(text)", "open(path)", "path.open('a')", "subprocess.run(it, text=True)"],
)
def test_a_call_without_an_encoding_is_found(call: str) -> None:
    assert len(list(without_encoding(call))) == 1
