"""Racing: the bet against a candidate, the order of items, who is dropped, and that nothing else changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from scipy import stats

from evolm.errors import ScorerError
from evolm.evaluation import Engine, Evaluator
from evolm.evaluation.racing import Race, Rules, capital_against, item_order, looks
from evolm.genomes import READOUT, Demonstration, Genome, Phenotype, Prompt, Readout, prompt_genome
from evolm.individual import Individual
from evolm.models import LanguageModel
from evolm.readout_kinds import CONTEXTUAL
from evolm.scorers import Dialogue, Evaluation, LabelLikelihood, MeanOfItems, Weighted
from evolm.storage import AnswerStore
from evolm.tasks import Item, Task
from evolm.testing.small import scoring

LEVEL = 0.1
N = 80
LOOKS = looks(16, N)


# -- the bet -------------------------------------------------------------------------------------------------


def dropped(differences: np.ndarray, highest: float, level: float = LEVEL) -> bool:
    """Whether a race over these differences, in this order, drops the candidate at any look."""
    return any(capital_against(differences[:k], highest, len(differences)) * level >= 1 for k in LOOKS)


def dropped_by_t(differences: np.ndarray) -> bool:
    """The same by Student's t, the level divided by the number of looks."""
    seen = (differences[:k] for k in LOOKS)
    return any(stats.ttest_1samp(d, 0, alternative="less").pvalue < LEVEL / len(LOOKS) for d in seen if np.ptp(d))


def rate(differences: Sequence[float], test: Callable[[np.ndarray], bool], races: int = 3000) -> float:
    """How many of so many random orders of the same differences end with a drop."""
    rng = np.random.default_rng(0)
    return float(np.mean([test(rng.permutation(np.array(differences))) for _ in range(races)]))


def answers(losses: int, wins: int, weight: float = 1.0) -> list[float]:
    return [-weight] * losses + [weight] * wins + [0.0] * (N - losses - wins)


@pytest.mark.parametrize("changed", [1, 4, 12, 40])
def test_of_candidates_as_good_as_their_incumbent_fewer_than_the_level_are_dropped(changed: int) -> None:
    assert rate(answers(changed, changed), lambda d: dropped(d, 1.0)) < LEVEL


def test_bets_keep_the_level_where_a_rare_label_makes_up_for_a_frequent_one_and_students_t_does_not() -> None:
    """Ten of 80 items have the rare label and weigh seven times as much: 3 won there make up for 21 lost."""
    rare, frequent = N / (2 * 10), N / (2 * 70)
    differences = [rare] * 3 + [-frequent] * 21 + [0.0] * 56
    assert sum(differences) == pytest.approx(0)
    assert rate(differences, lambda d: dropped(d, rare)) < LEVEL < rate(differences, dropped_by_t, races=500)


def test_bets_keep_the_level_where_a_longer_prompt_pays_off_on_few_items() -> None:
    differences = [0.95] * 4 + [-0.05] * 76  # the mean is 0; the first look may see losses alone
    assert sum(differences) == pytest.approx(0)
    assert rate(differences, lambda d: dropped(d, 0.95)) < LEVEL


@pytest.mark.parametrize("level", [0.5, 0.2, 0.05])
def test_over_all_orders_of_a_few_differences_the_level_is_kept_exactly(level: float) -> None:
    """Every order of seven numbers whose mean is 0: no simulation, the whole distribution."""
    for numbers in (
        [-1, -1, -1, 1, 1, 1, 0],
        [-2, -1, 1, 1, 1, 0, 0],
        [-0.5] * 6 + [3.0],
        [-3, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5],
    ):
        orders = np.array(list(permutations(numbers)), dtype=float)
        assert orders[0].mean() == pytest.approx(0)
        won = [capital_against(order[:6], max(numbers), 7) * level >= 1 for order in orders]
        assert np.mean(won) <= level + 1e-12


def test_a_much_worse_candidate_is_dropped_nearly_always_and_mostly_at_the_first_look() -> None:
    differences = answers(34, 2)  # accuracy 0.4 below
    assert rate(differences, lambda d: dropped(d, 1.0)) > 0.99
    assert rate(differences, lambda d: capital_against(d[:16], 1.0, N) * LEVEL >= 1) > 0.5


def test_a_better_candidate_is_hardly_ever_dropped() -> None:
    assert rate(answers(8, 12), lambda d: dropped(d, 1.0)) < 0.02


def test_equal_answers_and_wins_are_never_evidence() -> None:
    assert capital_against(np.zeros(40), 1.0, N) == 1
    assert capital_against(np.ones(40), 1.0, N) == 1
    assert capital_against(np.array([]), 1.0, N) == 1


def test_who_cannot_catch_up_is_dropped_for_certain() -> None:
    lost = np.concatenate([-np.ones(31), np.zeros(20)])
    assert capital_against(lost, 1.0, N) == float("inf")  # 29 are left, 31 are needed
    assert capital_against(np.array([-1.0] * 5), 0.0, N) == float("inf")  # nothing can be won at all
    assert np.isfinite(capital_against(np.array([-1.0] * 3 + [0.0] * 20), 1.0, N))


def test_the_scale_of_differences_does_not_matter() -> None:
    differences = np.random.default_rng(1).permutation(answers(9, 4))[:32]
    assert capital_against(7 * differences, 7.0, N) == pytest.approx(capital_against(differences, 1.0, N))


# -- looks and order -----------------------------------------------------------------------------------------


def test_looks_double_and_none_comes_where_less_than_a_third_is_left() -> None:
    assert looks(16, 80) == [16, 32]
    assert looks(16, 96) == [16, 32, 64]
    assert looks(16, 24) == [16]
    assert looks(16, 23) == []
    assert looks(1, 100) == [1, 2, 4, 8, 16, 32, 64]


def test_the_order_of_items_is_a_shuffle_that_follows_from_its_seed() -> None:
    one = np.zeros(30, dtype=int)
    assert sorted(item_order(one, 5)) == list(range(30))
    assert item_order(one, 5).tolist() == item_order(one, 5).tolist() != item_order(one, 6).tolist()
    first = np.bincount([item_order(one, seed)[0] for seed in range(6000)], minlength=30)
    assert stats.chisquare(first).pvalue > 0.01  # every item may be the first


def test_strata_are_mixed_in_their_proportions_at_every_point() -> None:
    strata = np.repeat([0, 1, 2], [50, 25, 5])
    for seed in range(20):
        ordered = strata[item_order(strata, seed)]
        assert sorted(ordered) == sorted(strata)
        for count in range(1, 81):
            shares = np.bincount(ordered[:count], minlength=3)
            assert np.abs(shares - count * np.array([50, 25, 5]) / 80).max() < 2.5


# -- races of a fake scorer ----------------------------------------------------------------------------------


class Table(MeanOfItems):
    """A scorer that looks up, per genome, which share of the items it gets right; the first ones of ``order``."""

    limits = (0.0, 1.0)

    def __init__(self, shares: dict[str, float], items: Sequence[Item]) -> None:
        self.shares = shares
        rng = np.random.default_rng(0)
        self.hardness = dict(
            zip([item.digest for item in items], rng.permutation(len(items)) / len(items), strict=True)
        )
        self.looked: list[tuple[str, int]] = []

    def dialogue(self, shown: Any, items: Sequence[Item]) -> Dialogue:
        yield []
        self.looked.append((shown.prompt.instruction, len(items)))
        share = self.shares[shown.prompt.instruction]
        scores = np.array([float(self.hardness[item.digest] < share) for item in items])
        failures = dict.fromkeys(range(len(items)), "no file") if np.isnan(share) else {}
        return Evaluation(scores, float("nan") if failures else float(scores.mean()), failures=failures)


SHARES = {
    "founder": 0.5,
    "incumbent": 0.75,
    "best": 1.0,
    "same": 0.75,
    "bad": 0.1,
    "worse": 0.0,
    "broken": float("nan"),
}


@pytest.fixture
def engine(tiny_model: Callable[..., LanguageModel]) -> Iterator[Engine]:
    made = Engine(tiny_model("float32", "off"), AnswerStore(":memory:"))
    yield made
    made.close()


def seen(genome: Genome) -> Phenotype:
    readout: Any = genome.chromosomes.get(READOUT)
    return Phenotype(genome.prompt, readout=readout)


@pytest.fixture
def table(toy_task: Task) -> Table:
    return Table(SHARES, toy_task.dev)


@pytest.fixture
def evaluator(engine: Engine, toy_task: Task, table: Table) -> Evaluator:
    """Asks the model nothing."""
    task = replace(toy_task, has_gold=False)
    return Evaluator(engine, task, {"table": (table, 1.0)}, table, seen, lambda genome: 0)


def drawn(*texts: str, operators: tuple[str, ...] = ("random",)) -> list[Individual]:
    return [
        Individual(number, prompt_genome(Prompt(text)), operators=operators) for number, text in enumerate(texts, 10)
    ]


def race(evaluator: Evaluator, mode: Any = "race", block: int = 8, level: float = LEVEL) -> Race:
    return Race(evaluator, evaluator.task.dev, Rules(mode, block, level))


@pytest.fixture
def incumbent(evaluator: Evaluator) -> Individual:
    """Scored on all items, before all others."""
    one = Individual(3, prompt_genome(Prompt("incumbent")))
    evaluator.score_individuals([one], evaluator.task.dev, all_items=evaluator.task.dev)
    return one


def test_a_candidate_significantly_worse_than_its_incumbent_is_dropped_and_charged_the_items_seen(
    evaluator: Evaluator, incumbent: Individual, table: Table
) -> None:
    people = drawn("best", "bad", "same", "worse")
    charges = race(evaluator).evaluate(people, lambda one, best: incumbent, incumbent, seed=1)
    assert [one.status for one in people] == ["evaluated", "dropped", "evaluated", "dropped"]
    assert [one.items for one in people] == [charge.items for charge in charges]
    assert [one.items for one in people if one.status == "evaluated"] == [36, 36]
    assert all(one.items in (8, 16) for one in people if one.status == "dropped")
    for one in (people[1], people[3]):
        assert not one.fitness.valid and one.score is None and one.cases is None
        assert one.reason.startswith("worse than #3 (1 : ") and one.reason.endswith(f" on {one.items} of 36 items")
    assert people[2].fitness.values == incumbent.fitness.values
    assert np.mean(people[0].item_terms) == people[0].fitness.values[0] == 1


def test_founders_and_individuals_without_an_incumbent_are_scored_on_all_items(
    evaluator: Evaluator, table: Table
) -> None:
    (founder,) = drawn("worse", operators=("founders.jsonl:1",))
    strangers = drawn("bad", "worse")
    for number, one in enumerate(strangers):
        one.id += 5 + number
    race(evaluator).evaluate([founder, *strangers], lambda one, best: None, None, seed=1)
    assert {one.status for one in (founder, *strangers)} == {"evaluated"}
    assert {one.items for one in (founder, *strangers)} == {36}
    assert len(table.looked) == 3


def test_a_strategy_is_told_the_best_of_this_generations_founders(
    evaluator: Evaluator, incumbent: Individual
) -> None:
    founders = drawn("founder", "best", operators=("founder",))
    (one,) = drawn("bad")
    one.id = 20
    heard: list[Any] = []
    race(evaluator).evaluate([*founders, one], lambda i, best: heard.append((i.id, best.id)), incumbent, seed=1)
    assert heard == [(20, 11)]
    race(evaluator).evaluate(drawn("bad"), lambda i, best: heard.append((i.id, best.id)), incumbent, seed=1)
    assert heard[1:] == [(10, 3)]


def test_all_candidates_are_looked_at_in_one_call(
    evaluator: Evaluator, incumbent: Individual, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[int, int]] = []
    assess = evaluator.assess

    def counted(genomes: Sequence[Any], items: Sequence[Item], *more: Any) -> Any:
        calls.append((len(genomes), len(items)))
        return assess(genomes, items, *more)

    monkeypatch.setattr(evaluator, "assess", counted)
    race(evaluator).evaluate(drawn("best", "worse", "same"), lambda one, best: incumbent, incumbent, seed=1)
    assert [call for call in calls if call[0]] == [(3, 8), (2, 16), (2, 36)]


def test_a_candidate_that_fails_in_a_race_fails_as_without_one(evaluator: Evaluator, incumbent: Individual) -> None:
    (alone, good), (raced, bad) = drawn("broken", "same"), drawn("broken", "worse")
    evaluator.score_individuals([alone, good], evaluator.task.dev)
    race(evaluator).evaluate([raced, bad], lambda one, best: incumbent, incumbent, seed=1)
    assert raced.to_record() == alone.to_record()
    assert raced.status == "failed" and "36 of 36 items failed" in raced.reason
    assert bad.status == "dropped"


def test_when_every_item_of_all_fails_the_scorer_is_to_blame(evaluator: Evaluator) -> None:
    with pytest.raises(ScorerError, match="found that every one failed"):
        race(evaluator).evaluate(drawn("broken", "broken"), lambda one, best: None, None, seed=1)


def test_halving_keeps_the_better_half_at_every_look_and_the_older_of_equals(
    evaluator: Evaluator, incumbent: Individual
) -> None:
    people = drawn("bad", "best", "same", "worse", "same")
    race(evaluator, "halving").evaluate(people, lambda one, best: incumbent, incumbent, seed=1)
    assert [one.items for one in people] == [8, 36, 36, 8, 16]
    assert people[0].reason == "not among the better 3 of 5 on 8 of 36 items"
    assert people[4].reason == "not among the better 2 of 3 on 16 of 36 items"


def test_an_order_is_taken_from_the_seed_and_mixes_labels_for_halving_only(
    evaluator: Evaluator, toy_task: Task
) -> None:
    assert not race(evaluator, "halving").strata.any()  # the search may not see gold
    evaluator.task = toy_task
    assert not race(evaluator).strata.any()
    assert race(evaluator, "halving").strata.tolist() == toy_task.gold_indices(toy_task.dev).tolist()


# -- races of a real model -----------------------------------------------------------------------------------


@pytest.fixture
def people(toy_task: Task) -> Callable[[], list[Individual]]:
    """Return prompts that differ in what the tiny model makes of them."""
    shown = tuple(map(Demonstration.from_item, toy_task.train[:3]))
    texts = ("Spam?", "Is it spam or ham?", "ham ham ham", "Sort.")
    prompts = [Prompt(text, shown[:count]) for text in texts for count in (0, 3)]
    genomes = [prompt_genome(prompt) for prompt in prompts]
    genomes += [genome.with_chromosome(READOUT, Readout(CONTEXTUAL)) for genome in genomes]
    return lambda: [Individual(number, genome, operators=("random",)) for number, genome in enumerate(genomes)]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("mode", ["race", "halving"])
def test_a_candidate_that_stays_is_evaluated_to_the_bit_and_for_the_tokens_as_without_racing(
    dtype: str, mode: str, people: Any, toy_task: Task, tiny_model: Any
) -> None:
    def made() -> Evaluator:
        model = tiny_model(dtype, "off")
        judge = LabelLikelihood(scoring(toy_task, model), Weighted())
        engine = Engine(model, AnswerStore(":memory:"))
        return Evaluator(engine, toy_task, {"a": (judge, 1.0)}, judge, seen, lambda genome: 0)

    whole, raced = people(), people()
    plain, racing = made(), made()
    costs = plain.score_individuals(whole, toy_task.dev, all_items=toy_task.dev)
    best = max(whole, key=lambda one: one.fitness.values)
    charges = race(racing, mode, level=0.5).evaluate(raced, lambda one, _: best, best, seed=3)
    staying = [one.status == "evaluated" for one in raced]
    assert 0 < sum(staying) < len(staying)
    for alone, one, cost, charge, stays in zip(whole, raced, costs, charges, staying, strict=True):
        if stays:
            assert one.state_dict().keys() == alone.state_dict().keys()
            assert {**one.to_record(), "cases": one.cases.tobytes(), "item_terms": one.item_terms.tobytes()} == {
                **alone.to_record(),
                "cases": alone.cases.tobytes(),
                "item_terms": alone.item_terms.tobytes(),
            }
            assert charge == cost
        else:
            assert charge.items < cost.items and 0 < charge.tokens < cost.tokens
    # No genome is asked twice about an item, so no token is charged twice.
    assert racing.engine.usage.tokens_charged == sum(charge.tokens for charge in charges)
    assert np.mean(best.item_terms) == pytest.approx(best.fitness.values[0])
    plain.engine.close()
    racing.engine.close()
