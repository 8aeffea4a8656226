"""Self-training: what a model answers, how sure it is, which answers it learns from, and what it learns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from evolm.config import SelfTrainingSection
from evolm.errors import EvolmError
from evolm.evaluation import Engine
from evolm.genomes import DELTA, PROMPT, DeltaGenes, DeltaSettings, DeltaSpace, Genome, Prompt, Space
from evolm.individual import Individual
from evolm.models import LanguageModel
from evolm.operators import OPERATORS, LearningSettings, ModelAccess, VariationContext
from evolm.operators.confidence import OwnAnswers, confident, joint_answers, own_answers
from evolm.readouts import calibrated, mean_prior
from evolm.storage import AnswerStore
from evolm.tasks import Item, Task
from evolm.testing import scoring
from evolm.testing.small import small_task

MEASURES = get_args(SelfTrainingSection.model_fields["confidence"].annotation)
ALL = SelfTrainingSection(keep=1.0)
World = Callable[..., tuple[Genome, VariationContext]]


@pytest.fixture(scope="module")
def engine(tiny_model: Callable[..., LanguageModel]) -> Iterator[Engine]:
    engine = Engine(tiny_model("float32", "off"), AnswerStore(":memory:"))
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def world(engine: Engine, toy_task: Task) -> World:
    """Return ``world(settings, task, train, **learning)``: a genome that has not learnt, and its context."""
    deltas = DeltaSpace.of(engine.model, DeltaSettings("last:1", ("q_proj", "v_proj"), encoding="lowrank", rank=2))
    space = Space({DELTA: deltas}, {PROMPT: Prompt("Is it spam or ham?")})
    genes = DeltaGenes(deltas.random(np.random.default_rng(5)).genes)

    def made(
        settings: SelfTrainingSection = ALL, task: Task = toy_task, train: tuple[Item, ...] = (), **learning: Any
    ) -> tuple[Genome, VariationContext]:
        unlabelled = [item.hidden(task.kind) for item in task.dev][:12]
        access = ModelAccess(
            engine, scoring(task, engine.model), train, unlabelled=unlabelled, self_training=settings
        )
        settings_of = LearningSettings(**{"steps": 4, "batch": 8, "rate": 0.02, "adapt": False, **learning})
        context = VariationContext(np.random.default_rng(1), space, access, learning=settings_of)
        return space.completed({DELTA: genes}), context

    return made


def answers_of(genome: Genome, context: VariationContext, measure: str = "margin") -> OwnAnswers:
    access = context.model_access
    assert access is not None
    shown = context.space.express(genome)
    settings = access.self_training.model_copy(update={"confidence": measure})
    dialogue = own_answers(settings, access.scoring, shown, access.unlabelled)
    [found] = access.hold_dialogues([dialogue], [shown.delta])
    assert found is not None
    return found


def learn(genome: Genome, context: VariationContext, **more: Any) -> Genome | None:
    return OPERATORS["self_training"].vary([(Individual(0, genome),)], replace(context, **more))[0]


# -- answers and confidence ----------------------------------------------------------------------------------


def test_calibration_leaves_no_label_preferred_and_no_item_between_two_others() -> None:
    logits = np.random.default_rng(0).normal([2.0, 0.0, -1.0], size=(50, 3))
    logprobs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    found = calibrated(logprobs, mean_prior(logprobs)[None])
    assert np.exp(found).sum(axis=1) == pytest.approx(1)
    before, after = (np.bincount(each.argmax(axis=1), minlength=3) for each in (logprobs, found))
    assert before.max() > 35 > 25 > after.max()
    gaps = np.diff(logprobs, axis=1) - np.diff(found, axis=1)  # the same shift of log-odds for every item
    assert gaps == pytest.approx(np.tile(gaps[0], (50, 1)))


@pytest.mark.parametrize("measure", MEASURES)
def test_every_measure_is_a_confidence_in_an_answer_of_the_task(measure: str, world: World, toy_task: Task) -> None:
    found = answers_of(*world(), measure)
    assert set(found.answers) <= set(toy_task.labels)
    assert ((found.confidence >= 0) & (found.confidence <= 1)).all()
    assert np.ptp(found.confidence) > 0


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("kind", ["choice", "generation"])
def test_options_and_texts_have_a_confidence_too(kind: str, measure: str, world: World) -> None:
    task = small_task(kind)
    found = answers_of(*world(task=task), measure)
    assert len(found.answers) == 12
    assert ((found.confidence >= 0) & (found.confidence <= 1)).all()
    assert all(
        confidence == 0 for answer, confidence in zip(found.answers, found.confidence, strict=True) if not answer
    )


def test_margin_probability_and_consistency_are_those_of_the_calibrated_distribution(world: World) -> None:
    margin, likeliest, agreeing = (
        answers_of(*world(), measure) for measure in ("margin", "probability", "self_consistency")
    )
    assert margin.logprobs is not None
    p = np.exp(margin.logprobs)
    assert margin.confidence == pytest.approx(p.max(axis=1) - p.min(axis=1))
    assert likeliest.confidence == pytest.approx(p.max(axis=1))
    assert agreeing.confidence == pytest.approx((p**2).sum(axis=1))


def test_a_committee_averages_distributions_and_counts_equal_texts(toy_task: Task) -> None:
    items = toy_task.dev[:2]
    one, two = (OwnAnswers(("ham", "ham"), np.ones(2), np.log(p)) for p in ([[0.9, 0.1]] * 2, [[0.3, 0.7]] * 2))
    joint = joint_answers(toy_task, [one, two], items)
    assert joint.confidence == pytest.approx([0.6, 0.6]) and joint.answers == (toy_task.labels[0],) * 2
    texts = [OwnAnswers(each, np.ones(2)) for each in (("a", ""), (" A", "b"), ("c", ""))]
    said = joint_answers(toy_task, texts, items)
    assert said.answers == ("a", "") and said.confidence == pytest.approx([2 / 3, 0])


def test_a_share_is_one_of_each_label_and_a_threshold_one_of_all() -> None:
    found = OwnAnswers(("x", "x", "x", "y", "y", "", "x"), np.array([0.9, 0.8, 0.7, 0.2, 0.1, 0.0, 0.95]))
    half, over = (SelfTrainingSection(select=select) for select in ("share", "threshold"))
    assert confident(found, half, 0.5, closed=True) == [0, 3, 6]
    assert confident(found, half, 0.5, closed=False) == [0, 1, 6]
    assert confident(found, half, 0.01, closed=True) == [3, 6]
    assert confident(found, over, 0.75, closed=True) == [0, 1, 6]
    assert confident(found, over, 0.96, closed=True) == []


# -- learning ------------------------------------------------------------------------------------------------


def test_a_genome_becomes_surer_of_what_it_answered(world: World) -> None:
    genome, context = world()
    before = answers_of(genome, context)
    child = learn(genome, context, learning=replace(context.learning, steps=10))
    assert child is not None
    after = answers_of(child, context)
    same = [a == b for a, b in zip(before.answers, after.answers, strict=True)]
    assert np.mean(same) > 0.8
    assert after.confidence.mean() > before.confidence.mean()


def test_labelled_rows_teach_alone_until_the_model_is_warm(world: World, toy_task: Task) -> None:
    warm = SelfTrainingSection(keep=1.0, warm_up=4)
    genome, context = world(warm, train=toy_task.train)
    first = learn(genome, context)
    alone = OPERATORS["gradient_step"].vary(
        [(Individual(0, genome),)], replace(context, rng=np.random.default_rng(1))
    )[0]
    assert first is not None and alone is not None
    assert first.delta.genes.tolist() == alone.delta.genes.tolist()
    assert context.model_access is not None
    taught = context.model_access.spent().tokens // 2
    second = learn(first, context)
    assert second is not None and context.model_access.spent().tokens > taught  # answers are charged beside the steps
    assert second.delta.learning is not None and second.delta.learning.count == 8


def test_what_is_kept_is_a_gene(world: World) -> None:
    genome, context = world(SelfTrainingSection(keep=0.5))
    child = learn(genome, context)
    assert child is not None and child.delta.learning is not None and child.delta.learning.keep == 0.5
    changing = replace(context, learning=replace(context.learning, adapt=True))
    grandchild = learn(child, changing)
    assert grandchild is not None and grandchild.delta.learning is not None
    keep = grandchild.delta.learning.keep
    assert keep != 0.5 and 0 < keep <= 1
    again = DeltaGenes.from_record(grandchild.delta.to_record())
    assert again.learning == grandchild.delta.learning


def test_answers_that_are_all_the_same_teach_nothing(world: World) -> None:
    genome, context = world(SelfTrainingSection(keep=1.0, calibrate=False))
    assert context.model_access is not None
    engine, asks = context.model_access.engine, context.model_access.scoring
    alike = ModelAccess(
        engine,
        asks,
        (),
        unlabelled=context.model_access.unlabelled[:1] * 5,
        self_training=context.model_access.self_training,
    )
    assert learn(genome, context, model_access=alike) is None
    assert alike.spent().tokens > 0


def test_a_threshold_that_no_answer_reaches_is_one_sentence(world: World) -> None:
    genome, context = world(SelfTrainingSection(select="threshold", keep=1.0))
    with pytest.raises(
        EvolmError, match=r"expected rows with a margin of at least 1, found none of 12 \(highest 0\."
    ):
        learn(genome, context)


def test_a_threshold_is_told_of_after_labelled_rows_have_taught(world: World, toy_task: Task) -> None:
    high = SelfTrainingSection(select="threshold", keep=1.0, warm_up=4)
    genome, context = world(high, train=toy_task.train)
    warm = learn(genome, context)
    assert warm is not None and warm.delta.learning is not None and warm.delta.learning.keep == 0
    with pytest.raises(EvolmError, match="expected rows with a margin of at least 1"):
        learn(warm, context)


def test_nothing_is_learnt_without_unlabelled_rows(world: World) -> None:
    genome, context = world()
    assert context.model_access is not None
    bare = ModelAccess(context.model_access.engine, context.model_access.scoring, ())
    assert learn(genome, context, model_access=bare) is None
    assert bare.spent().tokens == 0


@pytest.mark.parametrize("kind", ["choice", "generation"])
def test_options_and_texts_are_learnt_too(kind: str, world: World) -> None:
    genome, context = world(task=small_task(kind))
    child = learn(genome, context)
    assert child is None or child.delta.genes.tolist() != genome.delta.genes.tolist()
    assert child is not None or kind == "generation"  # a random model may write nothing, or one text


def test_a_pool_is_a_part_of_the_rows_that_depends_on_their_content_alone(world: World, toy_task: Task) -> None:
    rows = [item.hidden(toy_task.kind) for item in toy_task.dev]
    few = SelfTrainingSection(pool=5)
    pools = [ModelAccess(Any, Any, (), unlabelled=each, self_training=few).unlabelled for each in (rows, rows[::-1])]  # type: ignore[arg-type]
    assert len(pools[0]) == 5 and pools[0] == pools[1]


def test_digests_are_those_of_genes_alone(tmp_path: Path, world: World) -> None:
    genome, context = world(SelfTrainingSection(keep=0.5))
    child = learn(genome, context)
    assert child is not None and child.delta.learning is not None
    other = replace(child.delta, learning=replace(child.delta.learning, keep=0.9))
    assert other.digest == child.delta.digest and other != child.delta
