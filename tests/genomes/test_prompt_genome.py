"""Prompt genomes: records, digests, and the space they lie in."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from evolm.errors import DataError, GenomeError
from evolm.genomes import Demonstration, PromptGenome, PromptSpace, diversity, from_record
from evolm.tasks import Item, Task

Space = Callable[..., PromptSpace]
A = Demonstration("a" * 16, (("text", "win"),), "spam")
B = Demonstration("b" * 16, (("text", "hello"),), "ham")
FULL = PromptGenome("Spam?", (A, B), (("ham", "fine"),))


def test_a_genome_survives_its_record() -> None:
    again = from_record(json.loads(json.dumps(FULL.to_record())))
    assert again == FULL
    assert again.digest == FULL.digest
    assert hash(again) == hash(FULL)


def test_the_digest_never_changes_from_version_to_version() -> None:
    """Journals, caches and founders of older runs name genomes by it."""
    assert PromptGenome("Spam?").digest == "d795d1dd078dba06"
    assert FULL.digest == "1c824aa077c04b0f"


def test_whatever_the_model_sees_is_in_the_digest() -> None:
    others = [
        FULL,
        replace(FULL, instruction="Ham?"),
        replace(FULL, demonstrations=(B, A)),
        replace(FULL, demonstrations=(A,)),
        replace(FULL, demonstrations=(replace(A, label="ham"), B)),
        replace(FULL, verbalizers=()),
        replace(FULL, verbalizers=(("spam", "fine"),)),
        replace(FULL, template="other"),
    ]
    assert len({genome.digest for genome in others}) == len(others) == len(set(others))


@pytest.mark.parametrize(
    "record",
    [{"kind": "prompt"}, {**FULL.to_record(), "demonstrations": [1]}, {**FULL.to_record(), "verbalizers": 3}],
)
def test_a_damaged_record_is_refused(record: dict) -> None:
    with pytest.raises(GenomeError, match="record is damaged"):
        from_record(record)


def test_an_unknown_kind_names_the_nearest() -> None:
    with pytest.raises(GenomeError, match="'promt' is unknown; did you mean 'prompt'"):
        from_record({"kind": "promt"})


def test_a_prefix_is_instruction_then_demonstrations_each_with_its_separator(toy_task: Task) -> None:
    assert FULL.prefix(toy_task.template) == "Spam?\n\nText: win\nLabel: spam\n\nText: hello\nLabel: fine\n\n"
    assert PromptGenome("").prefix(toy_task.template) == ""
    assert FULL.answers(toy_task.template, ("ham", "spam")) == (" fine", " spam")


def test_a_demonstration_needs_a_gold_label() -> None:
    with pytest.raises(DataError, match="needs a gold label"):
        Demonstration.from_item(Item.of("classification", {"text": "x"}, None))


def test_diversity_is_0_for_copies_and_1_for_strangers() -> None:
    assert diversity([FULL, FULL]) == diversity([FULL]) == diversity([]) == 0
    assert diversity([PromptGenome("one two"), PromptGenome("three")]) == 1
    assert diversity([PromptGenome("one two"), PromptGenome("one three")]) == pytest.approx(2 / 3)


# -- space ---------------------------------------------------------------------------------------------------


def shown(space: PromptSpace, count: int) -> tuple[Demonstration, ...]:
    return tuple(Demonstration.from_item(item) for item in space.train[:count])


def test_reasons_for_being_outside(toy_space: Space) -> None:
    space = toy_space(demonstrations=(1, 2), max_tokens=30)
    one = shown(space, 1)
    assert space.outside(PromptGenome("Spam?", one)) == ""
    assert space.outside(PromptGenome("Spam?")) == "0 demonstrations, expected 1 to 2"
    assert space.outside(PromptGenome("Spam?", shown(space, 3))) == "3 demonstrations, expected 1 to 2"
    assert "verbalizer 'bad' for 'ham', expected one of" in space.outside(PromptGenome("", one, (("ham", "bad"),)))
    assert "for 'egg', expected one of []" in space.outside(PromptGenome("", one, (("egg", "fine"),)))
    tokens = space.outside(PromptGenome("word " * 40, one))
    assert "expected at most 30 (space.prompt.max_tokens)" in tokens
    assert int(tokens.split()[0]) > 30


def test_two_labels_never_share_a_word(toy_space: Space) -> None:
    space = toy_space(verbalizers={"ham": ("ham", "x"), "spam": ("spam", "x")})
    assert space.outside(PromptGenome("", (), (("ham", "x"), ("spam", "x")))) == "two labels share one word"


def test_random_genomes_are_always_inside(toy_space: Space) -> None:
    rng = np.random.default_rng(0)
    for changes in ({}, {"max_tokens": 40}, {"demonstrations": (2, 3)}, {"demonstrations": (0, 500)}):
        space = toy_space(**changes)
        drawn = [space.random(rng) for _ in range(100)]
        assert {space.outside(genome) for genome in drawn} == {""}
        assert len({genome.digest for genome in drawn}) > 10
        assert all(len({d.item for d in g.demonstrations}) == len(g.demonstrations) for g in drawn)


def test_drawn_demonstrations_are_even_over_labels(toy_space: Space) -> None:
    rng = np.random.default_rng(1)
    for count in (2, 4, 8):
        labels = [demo.label for demo in toy_space().draw_demonstrations(rng, count)]
        assert labels.count("ham") == labels.count("spam") == count // 2
    assert len(toy_space().draw_demonstrations(rng, 10_000)) == 36


def test_a_drawn_item_is_never_one_that_is_taken(toy_space: Space) -> None:
    space = toy_space()
    everything = {item.digest for item in space.train}
    last = next(iter(everything))
    assert space.draw_item(np.random.default_rng(0), everything) is None
    item = space.draw_item(np.random.default_rng(0), everything - {last})
    assert item is not None
    assert item.digest == last


# -- founders ------------------------------------------------------------------------------------------------


def test_founders_are_read_in_every_form(toy_space: Space) -> None:
    space, rng = toy_space(), np.random.default_rng(0)
    item = space.train[0]
    founder = space.founder(
        {
            "instruction": "  Spam? ",
            "demonstrations": [{"item": item.digest}, {"fields": {"text": "new"}, "label": "ham"}],
            "verbalizers": {"ham": "ham", "spam": "junk"},
        },
        rng,
        "f:1",
    )
    assert founder.instruction == "Spam?"
    assert founder.verbalizers == (("spam", "junk"),)
    assert founder.demonstrations[0] == Demonstration.from_item(item)
    assert founder.demonstrations[1].fields == (("text", "new"),)
    assert len(space.founder({"instruction": "", "demonstrations": 3}, rng, "f:2").demonstrations) == 3
    assert space.founder(founder.to_record(), rng, "f:3") == founder


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"instructon": "x"}, "f:1: unknown key 'instructon'; did you mean 'instruction'"),
        ({"instruction": 3}, "f:1: 'instruction' must be text, found 3"),
        ({"instruction": "x", "demonstrations": [{"item": "0" * 16}]}, "which is not in the train split"),
        ({"demonstrations": [{"fields": {"text": "x"}, "label": "egg"}]}, "label is 'egg', expected one of"),
        ({"demonstrations": 9}, "f:1: 9 demonstrations, expected 0 to 4"),
        ({"instruction": "word " * 500}, "500 tokens, expected at most 120"),
        ({"verbalizers": {"ham": "egg"}}, "verbalizer 'egg' for 'ham'"),
    ],
)
def test_a_founder_that_does_not_fit_is_refused(record: dict, message: str, toy_space: Space) -> None:
    with pytest.raises(GenomeError, match=message.replace("(", r"\(")):
        toy_space().founder(record, np.random.default_rng(0), "f:1")
