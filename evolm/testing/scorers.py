"""The contract of scorers (see ``evolm.scorers.base``) as tests, on a real, tiny model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import pytest
from pydantic import BaseModel

from evolm.evaluation import Engine, Evaluator
from evolm.evaluation.dialogue import hold
from evolm.genomes import Demonstration, Phenotype, Prompt, prompt_genome
from evolm.models import Decoding
from evolm.scorers import Evaluation, Scorer
from evolm.storage import AnswerStore
from evolm.tasks import KINDS, Item, Task, kinds_with
from evolm.testing.small import scoring, small_task, tiny_model

PROMPT = Prompt("Answer.")
Evaluate: TypeAlias = Callable[..., Evaluation]
MakeScorer: TypeAlias = Callable[[Task], Scorer]


class ScorerSuite:
    """All promises of a scorer. A subclass overrides the fixture ``scorer``; ``kind`` for another kind of task."""

    @pytest.fixture
    def scorer(self) -> type[Scorer]:
        """The scorer's class, whose parameters have defaults. A subclass overrides this fixture."""
        raise NotImplementedError("override the fixture `scorer`: it returns the class of the scorer")

    @pytest.fixture
    def kind(self, scorer: type[Scorer]) -> str:
        """The kind of task to score: the first one that the scorer can."""
        return kinds_with(*scorer.forms)[0]

    @pytest.fixture
    def task(self, kind: str) -> Task:
        """A small task of that kind, with gold."""
        return small_task(kind)

    @pytest.fixture(scope="class")
    def engine(self) -> Iterator[Engine]:
        """The tiny model's engine, without answers."""
        engine = Engine(tiny_model(), AnswerStore(":memory:"))
        yield engine
        engine.close()

    @pytest.fixture
    def make(self, scorer: type[Scorer], engine: Engine) -> MakeScorer:
        """Return ``make(task)``: the scorer of a task, with default parameters."""

        def made(task: Task) -> Scorer:
            return scorer(scoring(task, engine.model, decoding=Decoding(max_new_tokens=6)), scorer.Params())

        return made

    @pytest.fixture
    def evaluate(self, make: MakeScorer, engine: Engine) -> Evaluate:
        """Return ``evaluate(task, prompt, items)``: what the scorer returns through the real evaluator."""

        def evaluated(task: Task, prompt: Prompt, items: Sequence[Item]) -> Evaluation:
            scorer = make(task)
            length = scorer.scoring.prompt_tokens
            evaluator = Evaluator(
                engine,
                task,
                {},
                scorer,
                lambda genome: Phenotype(genome.prompt),
                lambda genome: length(genome.prompt),
            )
            (evaluation,) = evaluator.task_evaluations([prompt_genome(prompt)], items)
            assert isinstance(evaluation, Evaluation), evaluation
            return evaluation

        return evaluated

    def test_a_scorer_gives_a_number_per_item_and_a_finite_objective(self, evaluate: Evaluate, task: Task) -> None:
        evaluation = evaluate(task, PROMPT, task.dev[:7])
        assert evaluation.scores.shape == (7,)
        assert np.isfinite(evaluation.scores).all()
        assert np.isfinite(evaluation.objective)
        assert evaluation.failures == {}
        assert evaluation.outcomes is None or evaluation.outcomes.shape == (7,)
        assert all(np.isfinite(value) for value in evaluation.measures.values())

    def test_the_same_question_gives_the_same_scores(self, evaluate: Evaluate, task: Task) -> None:
        prompt = replace(PROMPT, demonstrations=tuple(map(Demonstration.from_item, task.train[:2])))
        first, second = (evaluate(task, prompt, task.dev[:5]) for _ in range(2))
        assert first.objective == second.objective
        assert np.array_equal(first.scores, second.scores)

    def test_rewards_are_one_finite_number_per_answer(self, make: MakeScorer, engine: Engine, task: Task) -> None:
        scorer, items = make(task), task.dev[:2]
        if KINDS[task.kind].form not in scorer.reward_forms:
            pytest.skip("rewards no single answers")
        answers = [task.options_of(item) or ("a cat", "", "no, two dogs") for item in items]
        [outcome] = hold([scorer.rewards(items, answers)], engine)
        rewards = outcome.result
        assert rewards is not None
        assert [own.shape for own in rewards] == [(len(own),) for own in answers]
        assert all(np.isfinite(own).all() for own in rewards)

    def test_neither_prompt_nor_items_are_changed(self, evaluate: Evaluate, task: Task) -> None:
        items = list(task.dev[:3])
        before = [(item.digest, dict(item.fields), item.gold) for item in items], PROMPT.to_record()
        evaluate(task, PROMPT, items)
        assert ([(item.digest, dict(item.fields), item.gold) for item in items], PROMPT.to_record()) == before

    def test_a_scorer_that_needs_no_gold_never_reads_it(
        self, make: MakeScorer, evaluate: Evaluate, task: Task
    ) -> None:
        unlabelled = replace(task, has_gold=False)
        if make(unlabelled).needs_gold:
            pytest.skip("needs gold")
        blind = [replace(item, gold=None) for item in task.dev[:5]]
        seen = evaluate(unlabelled, PROMPT, task.dev[:5])
        assert evaluate(unlabelled, PROMPT, blind).objective == seen.objective

    def test_the_objective_lies_between_finite_limits(self, make: MakeScorer, evaluate: Evaluate, task: Task) -> None:
        lowest, highest = make(task).limits
        assert np.isfinite([lowest, highest]).all()
        assert lowest < highest
        for prompt in (PROMPT, Prompt("Say what you think of it, then answer with a word.")):
            assert lowest - 1e-9 <= evaluate(task, prompt, task.dev[:7]).objective <= highest + 1e-9

    def test_item_terms_are_numbers_of_single_items_whose_mean_is_the_objective(
        self, make: MakeScorer, evaluate: Evaluate, task: Task
    ) -> None:
        scorer, items = make(task), task.dev[:8]
        if not scorer.decomposable:
            pytest.skip("not decomposable")
        whole = evaluate(task, PROMPT, items)
        terms = scorer.item_terms(whole, items, items)
        assert terms.values.shape == (8,)
        assert terms.values.mean() == pytest.approx(whole.objective)
        assert terms.lowest - 1e-9 <= terms.values.min() and terms.values.max() <= terms.highest + 1e-9
        some = [5, 0, 3]
        seen = [items[place] for place in some]
        early = scorer.item_terms(evaluate(task, PROMPT, seen), seen, items)
        assert early.values.tolist() == terms.values[some].tolist()  # to the bit, whatever else is evaluated
        assert (early.lowest, early.highest) == (terms.lowest, terms.highest)

    def test_a_scorer_describes_itself_and_its_settings(
        self, scorer: type[Scorer], make: MakeScorer, task: Task
    ) -> None:
        assert issubclass(scorer, Scorer) and issubclass(scorer.Params, BaseModel)
        assert kinds_with(*scorer.forms)
        assert all(field.description for field in scorer.Params.model_fields.values())
        assert isinstance(make(task).needs_gold, bool)
        assert isinstance(make(task).describe(), dict)
