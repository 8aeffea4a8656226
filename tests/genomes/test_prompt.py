"""Prompts: records, digests, and the space they lie in."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from evolm.config import TemplateSection
from evolm.errors import DataError, GenomeError
from evolm.genomes import PROMPT, Demonstration, Prompt, PromptSpace, from_record, prompt_genome
from evolm.genomes import Space as Product
from evolm.tasks import Item, Task, Template

Space = Callable[..., PromptSpace]
A = Demonstration("a" * 16, (("text", "win"),), "spam")
B = Demonstration("b" * 16, (("text", "hello"),), "ham")
C = Demonstration("c" * 16, (("question", "Who?"),), "Jerry", ("Tom", "Jerry"))
FULL = Prompt("Spam?", (A, B), (("ham", "fine"),))


@pytest.mark.parametrize("prompt", [FULL, Prompt("Choose.", (C,))])
def test_a_prompt_survives_its_record(prompt: Prompt) -> None:
    again = Prompt.from_record(json.loads(json.dumps(prompt.to_record())))
    assert again == prompt
    assert again.digest == prompt.digest
    assert hash(again) == hash(prompt)
    genome = prompt_genome(prompt)
    assert from_record(json.loads(json.dumps(genome.to_record()))) == genome


def test_a_record_leaves_out_usual_values() -> None:
    demonstration = {"item": "a" * 16, "fields": {"text": "win"}, "label": "spam"}
    record = {"instruction": "Spam?", "demonstrations": [demonstration], "verbalizers": {}}
    assert Prompt.from_record({**record, "template": "default"}) == Prompt("Spam?", (A,))


def test_the_digest_never_changes_from_version_to_version() -> None:
    """Journals, caches and founders of older runs name genomes by it."""
    assert Prompt("Spam?").digest == "f53b28bbc4b6c923"
    assert FULL.digest == "86e02c737eeb8303"


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
        replace(FULL, demonstrations=(replace(A, options=("ham", "spam")), B)),
    ]
    assert len({genome.digest for genome in others}) == len(others) == len(set(others))


@pytest.mark.parametrize(
    "record",
    [{}, {**FULL.to_record(), "demonstrations": [1]}, {**FULL.to_record(), "verbalizers": 3}],
)
def test_a_damaged_record_is_refused(record: dict) -> None:
    with pytest.raises(GenomeError, match="record is damaged"):
        Prompt.from_record(record)


def test_an_unknown_kind_names_the_nearest() -> None:
    with pytest.raises(GenomeError, match="found 'promt'; did you mean 'prompt'"):
        from_record({"promt": {}})


def test_a_prefix_is_instruction_then_demonstrations_each_with_its_separator(toy_task: Task) -> None:
    assert FULL.prefix(toy_task.template) == "Spam?\n\nText: win\nLabel: spam\n\nText: hello\nLabel: fine\n\n"
    assert Prompt("").prefix(toy_task.template) == ""
    assert FULL.answers(toy_task.template, ("ham", "spam")) == (" fine", " spam")


def test_a_demonstration_of_a_choice_task_shows_its_options_and_its_letter() -> None:
    item = "{{ question }} {{ options|join(' or ') }}:"
    section = TemplateSection(item=item, answer=" {{ letter }}. {{ label }}", separator="\n")
    template = Template.from_section(section, ("question", "options", "label"), "choice")
    genome = Prompt("Choose.", (C,))
    assert genome.prefix(template) == "Choose.\nWho? Tom or Jerry: B. Jerry\n"
    assert genome.answers(template, ("x", "y", "z")) == (" A. x", " B. y", " C. z")
    assert Demonstration.from_item(Item.of("choice", {"question": "Who?"}, "Jerry", ("Tom", "Jerry"))).options == (
        "Tom",
        "Jerry",
    )


def test_a_demonstration_needs_a_gold_label() -> None:
    with pytest.raises(DataError, match="expected a gold label"):
        Demonstration.from_item(Item.of("classification", {"text": "x"}, None))


def test_diversity_is_0_for_copies_and_1_for_strangers(toy_space: Space) -> None:
    space = Product({PROMPT: toy_space()})

    def diversity(prompts: list[Prompt]) -> float:
        return space.diversity(list(map(prompt_genome, prompts)))

    assert diversity([FULL, FULL]) == diversity([FULL]) == diversity([]) == 0
    assert diversity([Prompt("one two"), Prompt("three")]) == 1
    assert diversity([Prompt("one two"), Prompt("one three")]) == pytest.approx(2 / 3)


# -- space ---------------------------------------------------------------------------------------------------


def shown(space: PromptSpace, count: int) -> tuple[Demonstration, ...]:
    return tuple(Demonstration.from_item(item) for item in space.train[:count])


def test_reasons_for_being_outside(toy_space: Space) -> None:
    space = toy_space(demonstrations=(1, 2), max_tokens=30)
    one = shown(space, 1)
    assert space.outside(Prompt("Spam?", one)) == ""
    assert space.outside(Prompt("Spam?")) == "0 demonstrations, expected 1 to 2"
    assert space.outside(Prompt("Spam?", shown(space, 3))) == "3 demonstrations, expected 1 to 2"
    assert "verbalizer 'bad' for 'ham', expected one of" in space.outside(Prompt("", one, (("ham", "bad"),)))
    assert "for 'egg', expected one of []" in space.outside(Prompt("", one, (("egg", "fine"),)))
    tokens = space.outside(Prompt("word " * 40, one))
    assert "expected at most 30 (space.prompt.max_tokens)" in tokens
    assert int(tokens.split()[0]) > 30


def test_two_labels_never_share_a_word(toy_space: Space) -> None:
    space = toy_space(verbalizers={"ham": ("ham", "x"), "spam": ("spam", "x")})
    assert space.outside(Prompt("", (), (("ham", "x"), ("spam", "x")))) == "two labels share one word"


def test_items_that_share_no_labels_are_drawn_as_one_group(toy_space: Space) -> None:
    train = tuple(Item.of("generation", {"text": str(row)}, f"target {row}") for row in range(5))
    unknown = Item.of("generation", {"text": "5"}, None)
    space = toy_space(train=(*train, unknown), labels=(), verbalizers={}, max_tokens=500)
    assert space.groups == {"": list(train)} and space.most_demonstrations == 4
    rng = np.random.default_rng(0)
    drawn = [space.draw_demonstrations(rng, 9) for _ in range(20)]
    assert {demo.item for demo in drawn[0]} == {item.digest for item in train} and len(set(drawn)) > 10
    assert {space.outside(space.random(rng)) for _ in range(20)} == {""}
    assert space.draw_item(rng, {item.digest for item in train}) is None


def test_random_genomes_are_always_inside(toy_space: Space) -> None:
    rng = np.random.default_rng(0)
    for changes in (
        {},
        {"max_tokens": 40},
        {"demonstrations": (2, 3)},
        {"demonstrations": (0, 500)},
    ):
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
        ({"instructon": "x"}, "f:1: expected some of .*, found 'instructon'; did you mean 'instruction'"),
        ({"instruction": 3}, "f:1: expected 'instruction' to be text, found 3"),
        (
            {"instruction": "x", "demonstrations": [{"item": "0" * 16}]},
            "expected demonstrations of the train split, found item",
        ),
        ({"demonstrations": [{"fields": {"text": "x"}, "label": "egg"}]}, "label is 'egg', expected one of"),
        ({"demonstrations": 9}, "f:1: 9 demonstrations, expected 0 to 4"),
        ({"instruction": "word " * 500}, "500 tokens, expected at most 120"),
        ({"verbalizers": {"ham": "egg"}}, "verbalizer 'egg' for 'ham'"),
        (
            {"demonstrations": [{"fields": {"text": "x"}, "label": "ham", "options": "ham"}]},
            "to be a list of texts",
        ),
    ],
)
def test_a_founder_that_does_not_fit_is_refused(record: dict, message: str, toy_space: Space) -> None:
    with pytest.raises(GenomeError, match=message.replace("(", r"\(")):
        toy_space().founder(record, np.random.default_rng(0), "f:1")


def test_a_founder_of_another_kind_of_task_brings_options_or_a_target(toy_space: Space) -> None:
    rng = np.random.default_rng(0)
    space = toy_space(labels=(), verbalizers={}, train=())
    shown = {"fields": {"text": "Who?"}, "label": "Jerry"}
    free = space.founder({"demonstrations": [shown]}, rng, "f:1").demonstrations[0]
    assert (free.label, free.options) == ("Jerry", ())
    either = space.founder({"demonstrations": [{**shown, "options": ["Tom", "Jerry"]}]}, rng, "f:1")
    assert either.demonstrations[0].options == ("Tom", "Jerry")
    with pytest.raises(GenomeError, match=r"label is 'Jerry', expected one of 'Tom', 'Spike'"):
        space.founder({"demonstrations": [{**shown, "options": ["Tom", "Spike"]}]}, rng, "f:1")
    with pytest.raises(GenomeError, match="label is ' ', expected a text"):
        space.founder({"demonstrations": [{**shown, "label": " "}]}, rng, "f:1")


def test_a_founder_shows_fewer_demonstrations_where_those_drawn_are_too_long(
    toy_space: Callable[..., PromptSpace],
) -> None:
    space = toy_space(max_tokens=20)
    founder = space.founder({"instruction": "Spam?", "demonstrations": 4}, np.random.default_rng(0), "here")
    assert 0 < len(founder.demonstrations) < 4
    assert not space.outside(founder)
    with pytest.raises(GenomeError, match="expected at most 20"):
        space.founder({"instruction": "word " * 50, "demonstrations": 4}, np.random.default_rng(0), "here")
