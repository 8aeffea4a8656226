"""Each prompt operator does what its first line says; the common contract is in tests/contracts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from evolm.genomes import Demonstration, Prompt, PromptSpace
from evolm.operators import prompt as operators
from evolm.operators.prompt import PHRASES, SENTENCES, pieces

Space = Callable[..., PromptSpace]
TEXT = "Read it. Think hard. Say spam if it sells, and ham if not."


def draws(function: Callable, space: PromptSpace, *genomes: Prompt, n: int = 60) -> list[Prompt]:
    rng = np.random.default_rng(0)
    return [child for _ in range(n) if (child := function(rng, space, *genomes)) is not None]


def shown(space: PromptSpace, begin: int, end: int) -> tuple[Demonstration, ...]:
    return tuple(Demonstration.from_item(item) for item in space.train[begin:end])


def all_pieces(text: str) -> list[str]:
    return pieces(text, PHRASES)


def test_pieces_are_sentences_or_phrases_and_lose_no_word() -> None:
    assert pieces(TEXT, SENTENCES) == ["Read it.", "Think hard.", "Say spam if it sells, and ham if not."]
    assert pieces(TEXT, PHRASES) == ["Read it.", "Think hard.", "Say spam", "if it sells,", "and ham", "if not."]
    assert " ".join(pieces(TEXT, PHRASES)) == TEXT
    assert pieces("", PHRASES) == pieces(" \n ", SENTENCES) == []


def test_delete_removes_exactly_one_piece(toy_space: Space) -> None:
    children = draws(operators.instruction_delete, toy_space(), Prompt(TEXT))
    possible = set()
    for parts in (pieces(TEXT, SENTENCES), pieces(TEXT, PHRASES)):
        possible |= {" ".join(parts[:i] + parts[i + 1 :]) for i in range(len(parts))}
    assert {child.instruction for child in children} == possible


def test_swap_keeps_the_words_and_changes_their_order(toy_space: Space) -> None:
    for child in draws(operators.instruction_swap, toy_space(), Prompt(TEXT)):
        assert Counter(child.instruction.split()) == Counter(TEXT.split())
        assert child.instruction != TEXT


def test_duplicate_repeats_one_piece(toy_space: Space) -> None:
    either = [*pieces(TEXT, SENTENCES), *pieces(TEXT, PHRASES)]
    for child in draws(operators.instruction_duplicate, toy_space(), Prompt(TEXT)):
        extra = Counter(child.instruction.split()) - Counter(TEXT.split())
        assert extra in [Counter(piece.split()) for piece in either]


@pytest.mark.parametrize("name", ["instruction_delete", "instruction_swap", "instruction_duplicate"])
def test_a_fixed_or_empty_instruction_is_left_alone(name: str, toy_space: Space) -> None:
    function = getattr(operators, name)
    assert draws(function, toy_space(instruction=False), Prompt(TEXT)) == []
    assert draws(function, toy_space(), Prompt("")) == []


def test_instruction_crossover_joins_a_beginning_and_an_end(toy_space: Space) -> None:
    other = "Be brief. Answer one word."
    children = draws(operators.instruction_crossover, toy_space(), Prompt(TEXT), Prompt(other))
    expected = set()
    for pattern in (SENTENCES, PHRASES):
        ours, theirs = pieces(TEXT, pattern), pieces(other, pattern)
        expected |= {" ".join(ours[:i] + theirs[j:]) for i in range(len(ours) + 1) for j in range(len(theirs) + 1)}
    assert {child.instruction for child in children} <= expected
    assert len(children) > 10
    assert draws(operators.instruction_crossover, toy_space(), Prompt(TEXT), Prompt(TEXT)) == []


def test_add_inserts_one_train_item(toy_space: Space) -> None:
    space = toy_space()
    parent = Prompt(TEXT, shown(space, 0, 2))
    for child in draws(operators.demonstrations_add, space, parent):
        new = [demo for demo in child.demonstrations if demo not in parent.demonstrations]
        assert len(new) == 1
        assert new[0].item in {item.digest for item in space.train}
        assert [demo for demo in child.demonstrations if demo in parent.demonstrations] == list(parent.demonstrations)
    assert draws(operators.demonstrations_add, space, Prompt("", shown(space, 0, 4))) == []


def test_drop_removes_one_demonstration_and_stops_at_the_fewest(toy_space: Space) -> None:
    space = toy_space(demonstrations=(2, 4))
    parent = Prompt("", shown(space, 0, 3))
    children = {child.demonstrations for child in draws(operators.demonstrations_drop, space, parent)}
    d = parent.demonstrations
    assert children == {(d[1], d[2]), (d[0], d[2]), (d[0], d[1])}
    assert draws(operators.demonstrations_drop, space, Prompt("", shown(space, 0, 2))) == []


def test_replace_changes_one_place(toy_space: Space) -> None:
    space = toy_space()
    parent = Prompt("", shown(space, 0, 3))
    for child in draws(operators.demonstrations_replace, space, parent):
        pairs = zip(parent.demonstrations, child.demonstrations, strict=True)
        assert sum(ours != theirs for ours, theirs in pairs) == 1
    assert draws(operators.demonstrations_replace, space, Prompt("")) == []


def test_shuffle_keeps_the_demonstrations(toy_space: Space) -> None:
    space = toy_space()
    parent = Prompt("", shown(space, 0, 3))
    children = {child.demonstrations for child in draws(operators.demonstrations_shuffle, space, parent)}
    assert len(children) == 6
    assert {frozenset(c) for c in children} == {frozenset(parent.demonstrations)}


@pytest.mark.parametrize("name", ["demonstrations_one_point", "demonstrations_two_point"])
def test_demonstration_crossovers_take_from_both_parents_only(name: str, toy_space: Space) -> None:
    space = toy_space()
    first, second = Prompt("a", shown(space, 0, 3)), Prompt("b", shown(space, 2, 6))
    children = draws(getattr(operators, name), space, first, second)
    both = {demo.item for demo in first.demonstrations + second.demonstrations}
    mixed = 0
    for child in children:
        items = {demo.item for demo in child.demonstrations}
        assert items <= both
        assert len(items) == len(child.demonstrations) <= 4
        assert child.instruction == "a"
        mixed += bool(items - {d.item for d in first.demonstrations}) and bool(
            items & {d.item for d in first.demonstrations[:2]}
        )
    assert mixed > 5


def test_uniform_crossover_takes_each_part_whole_from_either(toy_space: Space) -> None:
    space = toy_space()
    first = Prompt("a", shown(space, 0, 2), (("ham", "fine"),))
    second = Prompt("b", shown(space, 2, 4), (("spam", "junk"),))
    children = draws(operators.uniform_crossover, space, first, second, n=200)
    assert {child.instruction for child in children} == {"a", "b"}
    assert {child.demonstrations for child in children} == {first.demonstrations, second.demonstrations}
    words = {(child.word("ham"), child.word("spam")) for child in children}
    assert words == {("fine", "spam"), ("ham", "junk"), ("fine", "junk"), ("ham", "spam")}


def test_verbalizer_replace_takes_another_allowed_word(toy_space: Space) -> None:
    space = toy_space()
    parent = Prompt("", (), (("ham", "fine"),))
    words = {(c.word("ham"), c.word("spam")) for c in draws(operators.verbalizer_replace, space, parent)}
    assert words == {("ham", "spam"), ("normal", "spam"), ("fine", "junk")}
    assert draws(operators.verbalizer_replace, replace(space, verbalizers={}), parent) == []
