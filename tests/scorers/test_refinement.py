"""Refined answers: draft, critique, rewriting; the question of the critique is part of the prompt, and evolves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evolm.campaign import build
from evolm.errors import ConfigError, GenomeError
from evolm.genomes import Prompt, PromptSpace
from evolm.genomes.prompt import CRITIQUES
from evolm.models import Generate, Generated
from evolm.operators import OPERATORS
from evolm.operators.prompt import critique_replace
from evolm.scorers import generate_texts
from evolm.testing import scoring
from evolm.testing.small import small_task, tiny_model
from tests.support.toy_campaign import ToyCampaign, entries, result_of

TASK = small_task("generation")


def held(refine: int, prompt: Prompt, answers: list[list[str]]) -> tuple[tuple[str, ...], list[list[Generate]]]:
    """Answer a dialogue's rounds by given texts; return what it returned, and what it asked."""
    asks = replace(scoring(TASK, tiny_model()), refine=refine)
    dialogue, asked = generate_texts(asks, prompt, TASK.dev[:2]), []
    told: Any = None
    try:
        while True:
            asked.append(list(dialogue.send(told)))
            told = [Generated(text, (), True) for text in answers[len(asked) - 1]]
    except StopIteration as end:
        return end.value, asked


def test_without_refinement_the_draft_is_the_answer() -> None:
    assert held(0, Prompt("Answer."), [["a", "b"]])[0] == ("a", "b")


def test_a_draft_is_criticised_and_written_anew_and_an_empty_answer_leaves_it() -> None:
    prompt = Prompt("Answer.", critique="What is wrong?")
    found, asked = held(1, prompt, [["a", "b"], ["it is short", "nothing"], ["", "better"]])
    assert found == ("a", "better")
    draft, critique, answer = (requests[0] for requests in asked)
    template = TASK.template
    item = template.item(TASK.dev[0].fields)
    assert draft.item == item
    assert critique.item == f"{item}{template.answer('a')}\nWhat is wrong?"
    assert critique.decoding.stop_strings == ("\n",)
    assert answer.item == f"{critique.item} it is short{template.separator}{item}"
    assert answer.decoding == draft.decoding
    assert {request.prefix for request in (draft, critique, answer)} == {prompt.prefix(template)}


def test_a_second_refinement_begins_with_the_first_ones_answer() -> None:
    found, asked = held(2, Prompt(""), [["a", "b"], ["x", "x"], ["c", "d"], ["y", "y"], ["e", "f"]])
    assert found == ("e", "f") and len(asked) == 5
    assert TASK.template.answer("c") in asked[3][0].item
    assert CRITIQUES[0] in asked[3][0].item


def test_the_critique_is_inherited_mutated_and_read_back(toy_space: Callable[..., PromptSpace]) -> None:
    plain, asking = Prompt("Answer."), Prompt("Answer.", critique="What is wrong?")
    assert plain.digest == Prompt("Answer.", critique="").digest != asking.digest
    assert "critique" not in plain.to_record()
    assert Prompt.from_record(asking.to_record()) == asking
    assert 0 < plain.distance(asking) < 1
    space = toy_space().with_instructions([asking])
    assert space.critiques == ("What is wrong?", *CRITIQUES)
    drawn = {critique_replace(np.random.default_rng(seed), space, asking) for seed in range(20)}
    assert {prompt.question for prompt in drawn if prompt} == set(CRITIQUES)
    assert {replace(prompt, critique=asking.critique) for prompt in drawn if prompt} == {asking}
    founder = space.founder({"instruction": "x", "critique": " why? "}, np.random.default_rng(0), "f:1")
    assert founder.critique == "why?"
    with pytest.raises(GenomeError, match="expected 'critique' to be text, found 3"):
        space.founder({"critique": 3}, np.random.default_rng(0), "f:1")


def test_other_optimizers_keep_and_choose_the_founders_critiques(toy_space: Callable[..., PromptSpace]) -> None:
    plain, asking, other = (Prompt("Answer.", critique=critique) for critique in ("", "What is wrong?", "Why?"))
    space = toy_space().with_instructions([plain])
    alone = space.coding([asking])
    assert alone.decode(alone.encode(asking)) == asking
    assert "critique" not in {variable.name for variable in (*alone.variables, *space.coding([plain]).variables)}
    with pytest.raises(GenomeError, match=r"critique: expected 'What is wrong\?', the only choice, found ''"):
        alone.encode(plain)
    several = space.coding([plain, asking])
    assert [variable.choices for variable in several.variables if variable.name == "critique"] == [
        ("", "What is wrong?")
    ]
    assert [several.decode(several.encode(each)) for each in (plain, asking)] == [plain, asking]
    with pytest.raises(GenomeError, match=r"critique: expected one of .* found 'Why\?'"):
        several.encode(other)


GENERATION = {"task__kind": "generation", "scorers": {"chrf": 1.0}, "space": {"prompt": {"demonstrations": [0, 1]}}}


def test_only_a_campaign_that_refines_changes_critiques(toy: Callable[..., ToyCampaign]) -> None:
    def chosen(refine: int) -> set[str]:
        made = toy(**GENERATION, generation={"refine": refine})
        return {operator.name for operator, _ in build(made.config, made.folder).stages[0].choice.operators}

    assert chosen(1) - chosen(0) == {"critique_replace"}
    assert OPERATORS["critique_replace"].summary.endswith("if answers are refined.")


def test_a_campaign_that_refines_pays_for_it(toy: Callable[..., ToyCampaign], tmp_path: Path) -> None:
    few = {"budget__evaluations": 3, "generation__max_new_tokens": 4}
    tokens = []
    for refine in (0, 1):
        run = toy(**GENERATION, **few, generation__refine=refine).run(tmp_path / str(refine))
        tokens.append(entries(run.directory, "generation", "main")[0]["tokens"])
        assert result_of(run.directory)["test"]["best"] is not None
    assert tokens[1] > 2.5 * tokens[0]


def test_answers_that_are_not_written_cannot_be_refined(toy: Callable[..., ToyCampaign], tmp_path: Path) -> None:
    message = "generation.refine: expected 0, since the answers of classification are not written, found 2"
    with pytest.raises(ConfigError, match=message):
        toy(generation={"refine": 2}).run(tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match=r"generation.refine"):
        toy(**GENERATION, generation={"refine": 4}).run(tmp_path / "run")
