"""Every message of evolm's errors says what it is about, what was expected, and what was found or what to type."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from evolm import errors

ROOT = Path(__file__).parents[1]
FAMILY = {
    name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.EvolmError)
}
ABSTRACT = {"EvolmError"}  # raised itself only where no kind fits
VALUE = "\0"  # stands for what is filled in

# What a user types or sets instead.
TO_TYPE = re.compile(
    r"--[a-z]|'evolm |pip install|EVOLM_|shared=True|\bObjective\b"
    r"|\b(task|space|template|model|budget|strategy|scorers|evaluation|fitness)\.[a-z_]+|\[(space|strategy)"
)
# A cause that the operating system, a library or another message gives follows the thing and what was tried.
CAUSE = re.compile(rf"^[^:]+: .*(cannot be|cannot write|expected|fails)[^:]*: .*{VALUE}|record is damaged: {VALUE}")
EXPECTED = re.compile(rf"expected .*(found|{VALUE})|(found|{VALUE}).* expected ")

# Messages that are read inside another sentence, or whose two numbers say what was expected and found.
ELSEWHERE = {
    "export/transfer.py",  # the reason why an exported adapter has no score
    "models/language_model.py: a prompt of",  # … tokens is … longer than the context of … (… tokens)
}


class Message(NamedTuple):
    """The message of one place that raises.

    Attributes:
        place: file, below evolm/.
        line: in the file.
        kind: name of the class.
        text: with ``VALUE`` for what is filled in.
    """

    place: str
    line: int
    kind: str
    text: str


def messages() -> Iterator[Message]:
    """Yield the message of every error of evolm's family that is made with one."""
    for path in sorted((ROOT / "evolm").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in FAMILY
                and node.args
            ):
                place = path.relative_to(ROOT / "evolm").as_posix()
                yield Message(place, node.lineno, node.func.id, _text(node.args[0]))


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(VALUE if isinstance(part, ast.FormattedValue) else _text(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    if isinstance(node, ast.IfExp):
        return _text(node.body)
    return VALUE


def forwards(message: Message) -> bool:
    """Return whether a message only says where another one belongs, like ``founder 3: ...``."""
    head, colon, tail = message.text.rpartition(": ")
    only_names = bool(colon) and not tail.strip(f"{VALUE} ") and " is " not in head
    return only_names or not re.search("[a-z]", message.text)


def is_known(message: Message) -> bool:
    return any(f"{message.place}: {message.text}".startswith(known) for known in ELSEWHERE)


MESSAGES = list(messages())


def shown(found: list[Message]) -> list[str]:
    return [f"{each.place}:{each.line}: {each.text.replace(VALUE, '…')}" for each in found]


def test_every_class_of_the_family_has_a_message_that_is_read_here() -> None:
    assert {message.kind for message in MESSAGES} >= FAMILY - ABSTRACT
    assert len(MESSAGES) > 300


def test_every_message_is_one_sentence_without_a_period() -> None:
    several = re.compile(r"[.!?] [A-Z]")
    assert shown([each for each in MESSAGES if several.search(each.text) or each.text.endswith((".", "!"))]) == []


def test_every_message_names_a_thing_first() -> None:
    unnamed = [each for each in MESSAGES if each.text.startswith(("Error", "error", "invalid", "Invalid", "cannot"))]
    assert shown(unnamed) == []


def test_every_message_says_what_was_expected_and_what_was_found_or_what_to_type() -> None:
    silent = [
        message
        for message in MESSAGES
        if not forwards(message) and not is_known(message)
        if not any(rule.search(message.text) for rule in (EXPECTED, CAUSE, TO_TYPE))
    ]
    assert shown(silent) == []
