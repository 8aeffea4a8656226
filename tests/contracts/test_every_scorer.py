"""What every scorer promises, on a real model and every kind of task that it can score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

from evolm.config import TaskSection, TemplateSection
from evolm.evaluation import Engine, Evaluator
from evolm.genomes import Demonstration, Genome, Phenotype, Prompt, prompt_genome
from evolm.models import Decoding, LanguageModel
from evolm.scorers import SCORERS, Evaluation, Scorer, Scoring
from evolm.storage import AnswerStore
from evolm.tasks import KINDS, Item, Task, kinds_with, load_task
from tests.support.tasks import scoring

ENROLLED = [(name, kind) for name, scorer in SCORERS.items() for kind in kinds_with(*scorer.forms)]
CASES = pytest.mark.parametrize(("name", "kind"), ENROLLED, ids=[f"{name}-{kind}" for name, kind in ENROLLED])


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory, toy_task: Task) -> dict[str, Task]:
    """A small task of every kind, with gold."""
    import pandas as pd

    words = ["cat", "dog", "cow", "hen", "pig", "bee"]
    choice = pd.DataFrame(
        {
            "text": [f"Which one, {i}?" for i in range(40)],
            "options": [[words[i % 6], words[(i + 1) % 6], "a fish"][: 2 + i % 2] for i in range(40)],
            "label": [words[(i + i % 2) % 6] for i in range(40)],
        }
    )
    written = pd.DataFrame(
        {"text": [f"{words[i % 6]} {i}" for i in range(40)], "label": [words[i % 6] for i in range(40)]}
    )
    columns: dict[str, Any] = {"text": "text", "label": "label"}
    root = tmp_path_factory.mktemp("tasks")

    def made(kind: str, frame: Any, **more: Any) -> Task:
        section = TaskSection(kind=kind, data="frame", columns={**columns, **more})
        return load_task(section, TemplateSection(), root=root, frame=frame)

    return {
        "classification": toy_task,
        "choice": made("choice", choice, options="options"),
        "generation": made("generation", written),
    }


@pytest.fixture(scope="module")
def engine(tiny_model: Callable[..., LanguageModel]) -> Any:
    made = Engine(tiny_model("float32", "off"), AnswerStore(":memory:"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def listen(engine: Engine, tasks: dict[str, Task]) -> Callable[..., Evaluation]:
    """Return ``listen(name, kind, prompt, items)``, what a scorer says through the real evaluator."""

    def seen(genome: Genome) -> Phenotype:
        return Phenotype(genome.prompt)

    def said(name: str, task: Task, prompt: Prompt, items: Sequence[Item]) -> Evaluation:
        made_from: Scoring = scoring(task, engine.model, decoding=Decoding(max_new_tokens=6))
        scorer = SCORERS[name](made_from, SCORERS[name].Params())
        evaluator = Evaluator(engine, task, {}, scorer, seen, lambda genome: made_from.prompt_tokens(genome.prompt))
        (evaluation,) = evaluator.task_evaluations([prompt_genome(prompt)], items)
        assert isinstance(evaluation, Evaluation), evaluation
        return evaluation

    return said


GENOME = Prompt("Answer.")


@CASES
def test_every_scorer_gives_a_number_an_item_and_a_finite_objective(
    name: str, kind: str, listen: Any, tasks: dict[str, Task]
) -> None:
    items = tasks[kind].dev[:7]
    evaluation = listen(name, tasks[kind], GENOME, items)
    assert evaluation.scores.shape == (7,)
    assert np.isfinite(evaluation.scores).all()
    assert np.isfinite(evaluation.objective)
    assert evaluation.failures == {}
    assert evaluation.outcomes is None or evaluation.outcomes.shape == (7,)
    assert all(np.isfinite(value) for value in evaluation.measures.values())


@CASES
def test_every_scorer_says_the_same_again(name: str, kind: str, listen: Any, tasks: dict[str, Task]) -> None:
    genome = replace(GENOME, demonstrations=tuple(map(Demonstration.from_item, tasks[kind].train[:2])))
    first, second = (listen(name, tasks[kind], genome, tasks[kind].dev[:5]) for _ in range(2))
    assert first.objective == second.objective
    assert np.array_equal(first.scores, second.scores)


@CASES
def test_no_scorer_changes_what_it_is_given(name: str, kind: str, listen: Any, tasks: dict[str, Task]) -> None:
    items = list(tasks[kind].dev[:3])
    before = [(item.digest, dict(item.fields), item.gold) for item in items], GENOME.to_record()
    listen(name, tasks[kind], GENOME, items)
    assert ([(item.digest, dict(item.fields), item.gold) for item in items], GENOME.to_record()) == before


@CASES
def test_a_scorer_that_needs_no_gold_never_reads_it(
    name: str, kind: str, listen: Any, tasks: dict[str, Task], engine: Engine
) -> None:
    task = replace(tasks[kind], has_gold=False)
    scorer = SCORERS[name](scoring(task, engine.model), SCORERS[name].Params())
    if scorer.needs_gold:
        pytest.skip("needs gold")
    blind = [replace(item, gold=None) for item in task.dev[:5]]
    open_book = replace(tasks[kind], has_gold=False)
    assert listen(name, task, GENOME, blind).objective == listen(name, open_book, GENOME, task.dev[:5]).objective


@CASES
def test_the_objective_lies_between_finite_limits(
    name: str, kind: str, listen: Any, tasks: dict[str, Task], engine: Engine
) -> None:
    task = tasks[kind]
    lowest, highest = SCORERS[name](scoring(task, engine.model), SCORERS[name].Params()).limits
    assert np.isfinite([lowest, highest]).all()
    assert lowest < highest
    for genome in (GENOME, Prompt("Say what you think of it, then answer with a word.")):
        assert lowest - 1e-9 <= listen(name, task, genome, task.dev[:7]).objective <= highest + 1e-9


NOT_DECOMPOSABLE = {"mutual_information", "diversity", "relevance"}


@CASES
def test_the_item_terms_of_an_objective_are_numbers_of_single_items_with_its_mean(
    name: str, kind: str, listen: Any, tasks: dict[str, Task], engine: Engine
) -> None:
    task = tasks[kind]
    scorer = SCORERS[name](scoring(task, engine.model), SCORERS[name].Params())
    assert scorer.decomposable == (name not in NOT_DECOMPOSABLE)
    if not scorer.decomposable:
        pytest.skip("not decomposable")
    items = task.dev[:8]
    whole = listen(name, task, GENOME, items)
    terms = scorer.item_terms(whole, items, items)
    assert terms.values.shape == (8,)
    assert terms.values.mean() == pytest.approx(whole.objective)
    assert terms.lowest - 1e-9 <= terms.values.min() and terms.values.max() <= terms.highest + 1e-9
    some = [5, 0, 3]
    seen = [items[place] for place in some]
    early = scorer.item_terms(listen(name, task, GENOME, seen), seen, items)
    assert early.values.tolist() == terms.values[some].tolist()  # to the bit, whatever else is looked at
    assert (early.lowest, early.highest) == (terms.lowest, terms.highest)


@pytest.mark.parametrize("name", SCORERS)
def test_every_scorer_describes_itself_and_its_settings(name: str, tasks: Any, engine: Engine) -> None:
    kind = SCORERS[name]
    assert issubclass(kind, Scorer) and issubclass(kind.Params, BaseModel)
    assert kinds_with(*kind.forms)
    assert all(field.description for field in kind.Params.model_fields.values())
    made = kind(scoring(tasks[kinds_with(*kind.forms)[0]], engine.model), kind.Params())
    assert isinstance(made.needs_gold, bool)
    assert isinstance(made.describe(), dict)


def test_every_kind_of_task_has_its_own_scorer() -> None:
    for kind in KINDS.values():
        assert kind.form in SCORERS[kind.task_scorer(kind.metric)].forms
        assert kind.form in SCORERS[kind.unlabelled_scorer].forms
