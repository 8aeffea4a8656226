"""The engine: order, duplicates, cache, counts, stops; and the evaluator on top of it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evolm.errors import ContextExceeded, Interrupted, ScorerError
from evolm.evaluation import Engine, Evaluator, plan
from evolm.evaluation import engine as engines
from evolm.evaluation.plan import Batch
from evolm.genomes import Phenotype, Prompt, prompt_genome
from evolm.individual import Individual
from evolm.models import LanguageModel, LogLikelihood
from evolm.models.deltas import Delta, Gain
from evolm.scorers import Evaluation, LabelLikelihood, Weighted
from evolm.storage import AnswerStore
from evolm.tasks import Task
from evolm.testing.small import scoring
from evolm.testing.table_scorer import TableScorer

REQUESTS = [LogLikelihood("Spam?\n", f"Text: {i}\nLabel:", (" spam", " ham")) for i in range(6)]


@pytest.fixture
def engine(tiny_model: Callable[..., LanguageModel]) -> Any:
    made = Engine(tiny_model(), AnswerStore(":memory:"))
    yield made
    made.close()


def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "batches", lambda requests, target: [Batch((i,)) for i in range(len(requests))])


def same(a: Any, b: Any) -> bool:
    return all(np.array_equal(x, y) for p, q in zip(a, b, strict=True) for x, y in zip(p, q, strict=True))


def test_answers_come_in_the_order_asked_with_an_array_per_continuation(engine: Engine) -> None:
    answers = engine.answer(REQUESTS)
    single = [engine.answer([request])[0] for request in REQUESTS]
    assert same(answers, single)
    assert len({float(a[0][0]) for a in answers}) == 6
    tokens = engine.tokenize(REQUESTS)
    assert [[len(c) for c in a] for a in answers] == [[len(c) for c in t.continuations] for t in tokens]


def test_duplicates_are_answered_once(engine: Engine) -> None:
    answers = engine.answer([*REQUESTS, *REQUESTS[::-1]])
    assert same(answers[:6], answers[:5:-1])
    assert (engine.usage.requests, engine.usage.cache_hits, len(engine.answers)) == (12, 6, 6)


def test_known_answers_are_not_computed_again(engine: Engine) -> None:
    engine.answer(REQUESTS[:4])
    forwarded = engine.usage.tokens_forwarded
    engine.answer(REQUESTS[:4])
    assert (engine.usage.cache_hits, engine.usage.tokens_forwarded) == (4, forwarded)
    engine.answer(REQUESTS)
    assert engine.usage.cache_hits == 8
    assert engine.usage.tokens_forwarded > forwarded


def test_tokens_are_charged_before_cache_and_sharing(engine: Engine) -> None:
    tokens = sum(request.tokens for request in engine.tokenize(REQUESTS))
    engine.answer(REQUESTS * 2)
    engine.answer(REQUESTS)
    usage = engine.usage.to_record()
    assert usage["tokens_charged"] == 3 * tokens
    assert 0 < usage["tokens_forwarded"] < tokens
    assert usage["tokens_padded"] % engine.model.profile.slab_tokens == 0
    assert usage["tokens_padded"] >= usage["tokens_forwarded"]


def test_another_cut_of_the_same_text_is_another_answer(engine: Engine) -> None:
    engine.answer([LogLikelihood("Spam? ", "Text: a", (" ham",)), LogLikelihood("Spam? Text:", " a", (" ham",))])
    assert engine.usage.cache_hits == 0
    assert len(engine.answers) == 2


def test_progress_counts_up_to_all_requests(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    one_by_one(monkeypatch)
    engine.answer(REQUESTS[:2])
    calls: list[tuple[int, int]] = []
    engine.progress = lambda done, total: calls.append((done, total))
    engine.answer(REQUESTS)
    assert calls == [(2, 6), (3, 6), (4, 6), (5, 6), (6, 6)]


def test_a_requested_stop_keeps_what_is_finished(
    tiny_model: Callable[..., LanguageModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_by_one(monkeypatch)
    engine = Engine(tiny_model(), AnswerStore(tmp_path / "answers.sqlite"))

    def stop_after_three(done: int, total: int) -> None:
        engine.stop_signal = signal.SIGINT if done == 3 else None

    engine.progress = stop_after_three
    with pytest.raises(Interrupted):
        engine.answer(REQUESTS)
    engine.close()
    again = Engine(tiny_model(), AnswerStore(tmp_path / "answers.sqlite"))
    again.answer(REQUESTS)
    assert again.usage.cache_hits == 3
    again.close()


def test_nothing_asked_is_nothing_answered(engine: Engine) -> None:
    assert engine.answer([]) == []
    assert engine.usage.requests == 0


# -- evaluator -----------------------------------------------------------------------------------------------


def individuals(*texts: str) -> list[Individual]:
    return [Individual(i, prompt_genome(Prompt(text))) for i, text in enumerate(texts)]


@pytest.fixture
def evaluator(engine: Engine, toy_task: Task) -> Callable[..., Evaluator]:
    """Return ``evaluator(combine="sum", **scorers)``; a scorer is one, or one with its weight."""

    def made(combine: Any = "sum", **scorers: Any) -> Evaluator:
        weighted = {n: s if isinstance(s, tuple) else (s, 1.0) for n, s in scorers.items()}
        made_from = scoring(toy_task, engine.model)
        judge = LabelLikelihood(made_from, Weighted())
        return Evaluator(
            engine,
            toy_task,
            weighted or {"a": (judge, 1.0)},
            judge,
            lambda genome: Phenotype(genome.prompt),
            lambda genome: made_from.prompt_tokens(genome.prompt),
            combine,
        )

    return made


def test_equal_requests_of_two_scorers_are_asked_and_charged_once(evaluator: Any, toy_task: Task) -> None:
    (one,), (two,) = individuals("Spam?"), individuals("Spam?")
    (alone,) = evaluator().score_individuals([one], toy_task.dev)
    judge = evaluator().task_scorer
    (both,) = evaluator(a=judge, b=(judge, 2.0)).score_individuals([two], toy_task.dev)
    assert alone == both
    assert alone.items == 36
    assert alone.tokens > 0
    assert two.fitness.values[0] == pytest.approx(3 * one.fitness.values[0])
    assert np.allclose(two.cases, 3 * one.cases)
    assert two.score == one.score
    assert two.measures["a"] == two.measures["b"] == one.score


def test_a_front_has_an_objective_a_scorer_with_its_weight(evaluator: Any, toy_task: Task) -> None:
    (individual,) = individuals("Spam?")
    table = TableScorer({individual.genome.prompt.digest: 0.25})
    evaluator("pareto", a=evaluator().task_scorer, table=(table, 2.0)).score_individuals([individual], toy_task.dev)
    assert individual.fitness.values == (individual.score, 0.5)


def test_an_audited_task_shows_the_search_no_gold(engine: Engine, evaluator: Any, toy_task: Task) -> None:
    (individual,) = individuals("Spam?")
    open_book, blind = evaluator(table=TableScorer()), evaluator(table=TableScorer())
    blind.task = replace(toy_task, has_gold=False, audited=True)
    blind.score_individuals([individual], toy_task.dev)
    assert individual.score == individual.fitness.values[0] == TableScorer().value(individual.genome.prompt)
    gold = open_book.task_evaluations([individual.genome], toy_task.dev)[0]
    assert individual.measures["gold"] == gold.score


def test_a_prompt_that_does_not_fit_fails_alone(engine: Engine, evaluator: Any, toy_task: Task) -> None:
    good, long = individuals("Spam?", "word " * 200)
    with pytest.raises(ContextExceeded):
        engine.tokenize(next(evaluator().task_scorer.dialogue(Phenotype(long.genome.prompt), toy_task.dev)))
    charges = evaluator().score_individuals([long, good], toy_task.dev)
    assert (long.status, good.status) == ("failed", "evaluated")
    assert "longer than the context" in long.reason
    assert charges[0].tokens == 0 < charges[1].tokens


def test_a_scorer_that_asks_again_gets_the_answers_to_what_it_asked(
    engine: Engine, evaluator: Any, toy_task: Task
) -> None:
    class Curious(TableScorer):
        def dialogue(self, shown: Any, items: Any) -> Any:
            first = yield REQUESTS[:2]
            second = yield [*REQUESTS[1:4], REQUESTS[0]]
            assert [a[0].tolist() for a in first] == [second[3][0].tolist(), second[0][0].tolist()]
            return self.score(shown.prompt, items)

    before = engine.usage.requests
    one, two = individuals("a", "b")
    charges = evaluator(curious=Curious(), table=TableScorer()).score_individuals([one, two], toy_task.dev)
    assert one.status == two.status == "evaluated"
    of_the_judge = 2 * len(toy_task.dev)
    assert engine.usage.requests - before == of_the_judge + 2 * 4  # what a genome asked before is not asked again
    assert charges[0].tokens - charges[1].tokens == 0


def test_a_failed_item_fails_the_individual_with_its_digest(evaluator: Any, toy_task: Task) -> None:
    good, bad = individuals("good", "bad")
    table = TableScorer({bad.genome.prompt.digest: float("nan"), good.genome.prompt.digest: 0.5})
    evaluator(table=table).score_individuals([good, bad], toy_task.dev)
    assert good.fitness.values == (0.5, 0.0)
    assert not bad.fitness.valid
    assert bad.reason == f"18 of 36 items failed; item {toy_task.dev[0].digest}: the table says NaN"


def test_when_every_item_of_all_fails_the_scorer_is_to_blame(evaluator: Any, toy_task: Task) -> None:
    class Broken(TableScorer):
        def score(self, genome: Any, items: Any) -> Evaluation:
            return replace(super().score(genome, items), failures=dict.fromkeys(range(len(items)), "no file"))

    with pytest.raises(ScorerError, match=r"found that every one failed.*no file"):
        evaluator(table=Broken()).score_individuals(individuals("a", "b"), toy_task.dev)


def test_a_text_is_tokenised_once_whatever_delta_is_asked_for(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    tokenize = engine.model.tokenize
    monkeypatch.setattr(engine.model, "tokenize", lambda texts: asked.append(len(texts)) or tokenize(texts))
    delta = Delta({"model.layers.0.self_attn.q_proj": Gain(np.full(4, 0.5, np.float32), "output")}, 0)
    plain = engine.tokenize(REQUESTS)
    changed = engine.tokenize([replace(request, delta=delta) for request in REQUESTS])
    some = engine.tokenize(REQUESTS[:2])
    assert asked == [len(REQUESTS), 2]
    assert plain == tokenize(REQUESTS) and all(one.delta is None for one in plain)
    assert changed == [replace(one, delta=delta) for one in plain]
    assert some == plain[:2]


def test_tokens_that_were_not_asked_for_long_are_forgotten(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "TOKENIZED", 3)
    engine = Engine(engine.model, AnswerStore(":memory:"))
    whole = engine.tokenize(REQUESTS)  # too many to keep
    for some in (REQUESTS[:2], REQUESTS[2:3], REQUESTS[3:5]):
        engine.tokenize(some)
    assert list(engine._tokens) == [tuple(REQUESTS[2:3]), tuple(REQUESTS[3:5])]
    assert engine.tokenize(REQUESTS) == whole
