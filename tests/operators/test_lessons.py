"""What a supervised lesson of a generation task teaches: the gold text, and where it ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from evolm.evaluation import Engine
from evolm.genomes import DELTA, PROMPT, DeltaSettings, DeltaSpace, Genome, Prompt, Space
from evolm.genomes.prompt import Demonstration
from evolm.individual import Individual
from evolm.models import Decoding, Generate, LanguageModel
from evolm.models.deltas import Delta
from evolm.operators import GradientStep, LearningSettings, ModelAccess, VariationContext
from evolm.operators.learning import lesson, unshown
from evolm.scorers import Scoring
from evolm.storage import AnswerStore
from evolm.tasks import Item, Task
from evolm.testing import scoring
from evolm.testing.small import small_prompts, small_task, tiny_model

SHOWN = Prompt("Which animal is it?")
LONGEST = 24


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = Engine(tiny_model(), AnswerStore(":memory:"))
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def deltas() -> DeltaSpace:
    modules = ("q_proj", "v_proj", "down_proj")
    return DeltaSpace.of(tiny_model(), DeltaSettings("all", modules, 2, "lowrank", 7, 0.2))


def scored(separator: str, stops: Sequence[str], model: Any = None) -> Scoring:
    task = small_task("generation")
    task = replace(task, template=replace(task.template, separator=separator))
    return scoring(task, model or tiny_model(), decoding=Decoding(LONGEST, tuple(stops)))


def taught(asked: Scoring, deltas: DeltaSpace) -> list[int]:
    """Return the tokens that a lesson of the first train item teaches."""
    changes = Delta(deltas.changes(deltas.neutral().genes), deltas.depth)
    request = lesson(asked, SHOWN, changes, asked.task.train[:1])
    tokens: Any = asked.model.tokenize(request.examples)[0]
    [answer] = tokens.continuations
    return list(answer)


def gold_of(task: Task) -> str:
    return task.template.answer(str(task.train[0].gold))


@pytest.mark.parametrize(
    ("separator", "stops", "end"),
    [("\n\n", ["\n"], "\n\n"), (" | ", ["\n", "."], "\n"), ("\n", ["END", "\n"], "\n")],
    ids=["as a demonstration ends", "the first stop string", "any stop string in the separator"],
)
def test_a_text_is_learnt_with_the_text_that_ends_it(
    separator: str, stops: Sequence[str], end: str, deltas: DeltaSpace
) -> None:
    asked = scored(separator, stops)
    assert tiny_model().tokenizer.decode(taught(asked, deltas)) == gold_of(asked.task) + end


def test_without_stop_strings_the_model_s_own_end_is_learnt(deltas: DeltaSpace) -> None:
    asked = scored("\n", [])
    *text, last = taught(asked, deltas)
    assert last in tiny_model().end_tokens
    assert tiny_model().tokenizer.decode(text) == gold_of(asked.task)


def test_in_a_chat_the_end_of_the_turn_is_learnt(deltas: DeltaSpace) -> None:
    model = LanguageModel(tiny_model().prepared, "on")
    *text, last = taught(scored("\n", ["\n"], model), deltas)
    assert last in model.end_tokens
    assert model.tokenizer.decode(text) == gold_of(small_task("generation")).lstrip()


@pytest.mark.parametrize("stops", [["\n"], []], ids=["stop string", "end of the text"])
def test_a_model_that_has_learnt_a_text_stops_behind_it(
    stops: Sequence[str], engine: Engine, deltas: DeltaSpace
) -> None:
    asked = scored("\n", stops)
    item = asked.task.train[0]
    space = Space({PROMPT: small_prompts(), DELTA: deltas}, {PROMPT: SHOWN})
    access = ModelAccess(engine, asked, [item])
    settings = LearningSettings(rate=0.05, decay=0.0, steps=60, batch=1, adapt=False)
    context = VariationContext(np.random.default_rng(0), space, access, (), settings)
    [learnt] = GradientStep().vary([(Individual(0, space.completed({DELTA: deltas.neutral()})),)], context)
    assert learnt is not None
    template = asked.task.template
    changes = Delta(deltas.changes(learnt.delta.genes), deltas.depth)
    request = Generate(SHOWN.prefix(template), template.item(item.fields), asked.decoding, delta=changes)
    [answer] = engine.answer([request])
    assert (answer.text, answer.finished) == (str(item.gold), True)


def test_rows_that_a_prompt_shows_teach_it_nothing(engine: Engine, deltas: DeltaSpace) -> None:
    asked = scored("\n", ["\n"])
    first, second = asked.task.train[:2]
    showing = replace(SHOWN, demonstrations=(Demonstration.from_item(first),))
    space = Space({PROMPT: small_prompts(), DELTA: deltas}, {PROMPT: showing})
    parent = Individual(0, space.completed({DELTA: deltas.neutral()}))
    settings = LearningSettings(rate=0.05, decay=0.0, steps=2, batch=2, adapt=False)

    def learnt_from(items: list[Item]) -> Genome:
        context = VariationContext(np.random.default_rng(0), space, ModelAccess(engine, asked, items), (), settings)
        [learnt] = GradientStep().vary([(parent,)], context)
        assert learnt is not None
        return learnt

    assert learnt_from([first, second]).digest == learnt_from([second]).digest
    assert list(unshown(showing, [first, second])) == [second]
    assert list(unshown(showing, [first])) == [first]  # nothing else is left to learn from
    assert list(unshown(showing, [first, replace(second, gold=None)])) == [first]
