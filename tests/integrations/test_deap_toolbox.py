"""evolm under DEAP's own algorithms, operators, archives and loops, on prompts, deltas and hybrids."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deap import algorithms, base, cma, creator, tools

from evolm.errors import BudgetSpent, ConfigError, GenomeError
from evolm.fitness import fitness_class
from evolm.integrations.deap import toolbox as toolbox_of
from evolm.objective.objective import Objective
from tests.support.toy_campaign import toy_rows

KINDS = ("prompt", "delta", "hybrid")
PLENTY = 100_000
CLASSIC = {
    algorithms.eaSimple: {},
    algorithms.eaMuPlusLambda: {"mu": 4, "lambda_": 4},
    algorithms.eaMuCommaLambda: {"mu": 3, "lambda_": 5},
}

Opened = Callable[..., base.Toolbox]


@pytest.fixture(scope="module")
def opened(arguments: Callable[..., dict[str, Any]]) -> Iterator[Opened]:
    """Return ``opened(kind, **changes)``: a toolbox, closed when the module is through."""
    with ExitStack() as stack:

        def toolbox(kind: str, **changes: Any) -> base.Toolbox:
            made = toolbox_of(**{**arguments(kind), **changes})
            stack.enter_context(made.objective)
            return made

        yield toolbox


@pytest.fixture(scope="module")
def ample(opened: Opened) -> dict[str, base.Toolbox]:
    """A toolbox of every kind whose budget no test spends."""
    return {kind: opened(kind, budget=PLENTY) for kind in KINDS}


@pytest.fixture(params=KINDS)
def toolbox(request: pytest.FixtureRequest, ample: dict[str, base.Toolbox]) -> base.Toolbox:
    """One of every kind."""
    return ample[request.param]


@pytest.fixture(params=KINDS[1:])
def genes_toolbox(request: pytest.FixtureRequest, ample: dict[str, base.Toolbox]) -> base.Toolbox:
    """One of every kind whose individuals have genes."""
    return ample[request.param]


def statistics() -> tools.Statistics:
    found = tools.Statistics(lambda individual: individual.fitness.values)
    found.register("best", np.max)
    found.register("mean", np.mean)
    return found


def digests(individuals: Any) -> list[str]:
    return [individual.genome.digest for individual in individuals]


# -- DEAP's algorithms ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", CLASSIC)
def test_deaps_algorithms_run_as_they_are(toolbox: base.Toolbox, algorithm: Callable[..., Any]) -> None:
    random.seed(1)
    hall = tools.HallOfFame(6)
    population, logbook = algorithm(
        toolbox.population(n=4),
        toolbox,
        **CLASSIC[algorithm],
        cxpb=0.4,
        mutpb=0.5,
        ngen=3,
        stats=statistics(),
        halloffame=hall,
        verbose=False,
    )
    assert logbook.select("gen") == [0, 1, 2, 3]
    assert np.isfinite(logbook.select("best") + logbook.select("mean")).all()
    assert hall[0].fitness.values[0] >= max(logbook.select("best"))
    assert all(isinstance(each.fitness, fitness_class(1)) and each.fitness.valid for each in population)
    assert len(hall) > 2
    assert len(set(digests(hall))) == len(hall)
    assert [toolbox.evaluate(each) for each in hall] == [each.fitness.values for each in hall]


def test_generate_and_update_run_with_deaps_cma_es(genes_toolbox: base.Toolbox) -> None:
    np.random.seed(3)
    start = genes_toolbox.population(1)[0]
    strategy = cma.Strategy(centroid=start, sigma=1.0, lambda_=5)
    genes_toolbox.register("generate", strategy.generate, genes_toolbox.individual)
    genes_toolbox.register("update", strategy.update)
    hall = tools.HallOfFame(1)
    population, logbook = algorithms.eaGenerateUpdate(genes_toolbox, 3, hall, statistics(), verbose=False)
    assert logbook.select("nevals") == [5, 5, 5]
    assert hall[0].fitness.values[0] == max(logbook.select("best"))
    assert strategy.update_count == 3
    assert not np.allclose(strategy.centroid, start)
    assert len(set(digests(population))) == 5


def test_one_plus_lambda_takes_an_individual_for_its_parent(ample: dict[str, base.Toolbox]) -> None:
    np.random.seed(3)
    toolbox = ample["delta"]
    parent = toolbox.individual(toolbox.objective.x0)
    parent.fitness.values = first = toolbox.evaluate(parent)
    strategy = cma.StrategyOnePlusLambda(parent, sigma=2.0, lambda_=3)
    toolbox.register("generate", strategy.generate, toolbox.individual)
    toolbox.register("update", strategy.update)
    algorithms.eaGenerateUpdate(toolbox, 3, verbose=False)
    assert strategy.parent.fitness.values >= first


def test_a_loop_of_ones_own_runs_with_deaps_archives(toolbox: base.Toolbox) -> None:
    random.seed(5)
    population = toolbox.population(n=6)
    for individual, values in zip(population, toolbox.map(toolbox.evaluate, population), strict=True):
        individual.fitness.values = values
    hall, logbook = tools.HallOfFame(3), tools.Logbook()
    hall.update(population)
    for generation in range(2):
        offspring = [toolbox.clone(each) for each in toolbox.select(population, len(population))]
        for one, two in zip(offspring[::2], offspring[1::2], strict=True):
            if random.random() < 0.5:
                toolbox.mate(one, two)
                del one.fitness.values, two.fitness.values
        for mutant in offspring:
            if random.random() < 0.5:
                toolbox.mutate(mutant)
                del mutant.fitness.values
        new = [each for each in offspring if not each.fitness.valid]
        for individual, values in zip(new, toolbox.map(toolbox.evaluate, new), strict=True):
            individual.fitness.values = values
        population[:] = offspring
        hall.update(population)
        logbook.record(generation=generation, **statistics().compile(population))
    assert len(logbook) == 2
    assert len(set(digests(hall))) == 3
    assert hall[0].fitness.values[0] >= max(logbook.select("best"))


def test_several_objectives_have_a_front(opened: Opened) -> None:
    options = {"fitness": {"combine": "pareto"}}
    scorers = {"label_likelihood": 1.0, "prompt_length": 1.0}
    toolbox = opened("prompt", budget=PLENTY, options=options, scorers=scorers)
    random.seed(2)
    front = tools.ParetoFront()
    population, _ = algorithms.eaMuPlusLambda(
        toolbox.population(n=4), toolbox, 4, 4, 0.4, 0.5, ngen=2, halloffame=front, verbose=False
    )
    assert toolbox.select.func is tools.selNSGA2
    assert all(len(each.fitness.values) == 2 for each in population)
    assert len(set(digests(front))) == len(front)
    assert not any(one.fitness.dominates(two.fitness) for one in front for two in front)


# -- chance ---------------------------------------------------------------------------------------------------


def test_a_seed_of_random_repeats_a_whole_loop_and_another_gives_another(toolbox: base.Toolbox) -> None:
    def loop(seed: int) -> tuple[list[str], list[Any]]:
        random.seed(seed)
        population, logbook = algorithms.eaMuPlusLambda(
            toolbox.population(n=4), toolbox, 4, 4, 0.4, 0.5, ngen=3, stats=statistics(), verbose=False
        )
        return digests(population), logbook.select("nevals", "best", "mean")

    assert loop(7) == loop(7)
    assert loop(7) != loop(8)


def test_evaluating_draws_nothing_from_the_global_generators(toolbox: base.Toolbox) -> None:
    random.seed(4)
    individual = toolbox.individual()
    before = random.getstate(), np.random.get_state()[1].tolist()
    toolbox.evaluate(individual)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before


def test_a_population_is_the_founders_then_random_ones(toolbox: base.Toolbox) -> None:
    random.seed(0)
    founders = [genome.digest for genome in toolbox.objective.strategy().context.founders]
    population = toolbox.population(n=8)
    assert digests(population)[: len(founders)] == founders
    assert len(set(digests(population))) == 8
    assert digests(toolbox.population(n=1)) == founders[:1]
    assert not any(individual.fitness.valid for individual in population)
    assert not set(digests([toolbox.individual(), toolbox.individual()])) & set(founders)


def test_a_space_of_few_genomes_repeats_them_and_its_individuals_stay_as_they_are(opened: Opened) -> None:
    narrow = {"prompt": {"instruction": False, "demonstrations": [0, 0]}, "readout": {"kinds": ["words"]}}
    toolbox = opened("prompt", budget=PLENTY, space=narrow)
    population = toolbox.population(n=5)
    one, two = digests(population[:2])
    assert one != two
    assert digests(population) == [one, two, one, two, one]
    toolbox.mate(*population[:2])
    toolbox.mutate(population[0])
    assert digests(population[:2]) == [one, two]


# -- individuals ----------------------------------------------------------------------------------------------


def test_deaps_operators_on_real_vectors_work_on_genes(genes_toolbox: base.Toolbox) -> None:
    random.seed(6)
    low, up = (genes_toolbox.objective.bounds[-6:, side].tolist() for side in (0, 1))
    one, two = (genes_toolbox.individual() for _ in range(2))
    one.fitness.values = two.fitness.values = (1.0,)
    for vary in (
        lambda: tools.mutGaussian(one, mu=0, sigma=1.0, indpb=0.9),
        lambda: tools.cxBlend(one, two, alpha=0.3),
        lambda: tools.cxSimulatedBinaryBounded(one, two, eta=10.0, low=low, up=up),
        lambda: tools.cxTwoPoint(one, two),
        lambda: tools.mutPolynomialBounded(one, eta=10.0, low=low, up=up, indpb=0.9),
    ):
        before = one.genome.digest
        vary()
        assert one.genome.digest != before
        assert not one.fitness.valid
        one.fitness.values = (1.0,)
    np.testing.assert_array_equal(one.genome.delta.genes, np.array(one, np.float32))
    assert np.isfinite(genes_toolbox.evaluate(one)).all()


def test_registered_operators_of_deap_take_the_place_of_evolms(ample: dict[str, base.Toolbox]) -> None:
    toolbox = toolbox_of(ample["delta"].objective)
    toolbox.register("mate", tools.cxBlend, alpha=0.3)
    toolbox.register("mutate", tools.mutGaussian, mu=0, sigma=2.0, indpb=0.5)
    toolbox.decorate("evaluate", tools.DeltaPenalty(lambda individual: max(individual) < 100.0, -9.0))
    random.seed(7)
    hall = tools.HallOfFame(3)
    algorithms.eaSimple(toolbox.population(n=4), toolbox, 0.5, 0.5, ngen=2, halloffame=hall, verbose=False)
    assert len(set(digests(hall))) == 3
    assert toolbox.evaluate(toolbox.individual([200.0, 0, 0, 0, 0, 0])) == (-9.0,)


def test_assigning_a_gene_makes_a_new_genome_and_invalidates_the_fitness(genes_toolbox: base.Toolbox) -> None:
    random.seed(8)
    (individual,) = genes_toolbox.mutate(genes_toolbox.individual())
    changes: list[Callable[[], Any]] = [
        lambda: individual.__setitem__(0, 0.25),
        lambda: individual.__setitem__(slice(1, 3), [0.5, -0.5]),
        lambda: individual.reverse(),
        lambda: individual.insert(0, individual.pop()),
    ]
    for change in changes:
        before = individual.genome
        individual.fitness.values = (1.0,)
        change()
        assert not individual.fitness.valid
        assert individual.genome.digest != before.digest
        assert individual.genome.delta.sigma == before.delta.sigma
    individual[0] = "much"
    with pytest.raises(GenomeError, match="genes: expected numbers, found"):
        genes_toolbox.evaluate(individual)


def test_setting_a_genome_or_a_prompt_invalidates_the_fitness(ample: dict[str, base.Toolbox]) -> None:
    for toolbox in ample.values():
        one, two = toolbox.population(n=2)
        one.fitness.values = (1.0,)
        assert one != two
        one.genome = two.genome
        assert one == two
        assert not one.fitness.valid
        assert "delta" not in toolbox.objective.space.evolving or list(one) == two.genome.delta.genes.tolist()
    hybrid, other = ample["hybrid"].population(n=2)
    genes = list(hybrid)
    hybrid.fitness.values = (1.0,)
    hybrid.prompt = other.prompt
    assert (hybrid.genome.prompt, list(hybrid), hybrid.fitness.valid) == (other.prompt, genes, False)


@pytest.mark.parametrize("copied", [base.Toolbox().clone, lambda each: pickle.loads(pickle.dumps(each))])
def test_copies_are_equal_and_independent(toolbox: base.Toolbox, copied: Callable[[Any], Any]) -> None:
    original = toolbox.individual()
    original.fitness.values = (0.5,)
    original.note = ["mine"]
    twin = copied(original)
    assert twin == original
    assert type(twin) is type(original)
    assert (twin.fitness.values, twin.note) == ((0.5,), ["mine"])
    twin.note.append("theirs")
    toolbox.mutate(twin)
    assert twin != original
    assert (original.fitness.valid, twin.fitness.valid, original.note) == (True, False, ["mine"])
    del original.fitness.values
    assert not original.fitness.valid


def test_evolms_operators_change_what_they_are_given(toolbox: base.Toolbox) -> None:
    random.seed(9)
    one, two = toolbox.population(n=2)
    before = digests([one, two])
    assert toolbox.mutate(one)[0] is one
    assert digests([one])[0] != before[0]
    mated = toolbox.mate(one, two)
    assert mated[0] is one and mated[1] is two
    assert not any(toolbox.objective.space.outside(each.genome) for each in (one, two))


# -- evaluating -----------------------------------------------------------------------------------------------


def test_map_scores_individuals_in_one_batch_and_maps_the_rest_plainly(
    toolbox: base.Toolbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    many = Objective.many
    monkeypatch.setattr(Objective, "many", lambda self, xs: sizes.append(len(xs)) or many(self, xs))
    population = toolbox.population(n=3)
    together = list(toolbox.map(toolbox.evaluate, population))
    assert sizes == [3]
    assert together == [toolbox.evaluate(each) for each in population]
    assert list(toolbox.map(toolbox.evaluate, [])) == []
    assert list(toolbox.map(max, [1, 5], [4, 2])) == [4, 5]


def test_failures_get_the_finite_worst(opened: Opened) -> None:
    broken: list[str] = []

    def mine(item: Any, predicted: str, probabilities: dict[str, float]) -> float:
        return float("nan") if broken and item.fields["text"] == broken[0] else probabilities["spam"]

    toolbox = opened("prompt", budget=PLENTY, scorers={"mine": mine})
    individual = toolbox.individual()
    (healthy,) = toolbox.evaluate(individual)
    values = []
    for text, _ in toy_rows():  # ten of them are dev items
        broken[:] = [text]
        values += toolbox.evaluate(individual)
    assert set(values) == {healthy, toolbox.objective.worst}
    assert values.count(toolbox.objective.worst) == 10
    assert np.isfinite(toolbox.objective.worst)


@pytest.mark.parametrize("kind", KINDS)
def test_a_spent_budget_ends_the_algorithm_with_the_best(opened: Opened, kind: str) -> None:
    toolbox = opened(kind, budget=7)
    random.seed(7)
    with pytest.raises(BudgetSpent) as spent:
        algorithms.eaSimple(toolbox.population(n=4), toolbox, 0.9, 0.9, ngen=9, verbose=False)
    assert isinstance(spent.value, RuntimeError)
    assert spent.value.best.genome == toolbox.objective.best.genome
    assert toolbox.objective.left == 0
    with pytest.raises(BudgetSpent):
        toolbox.evaluate(toolbox.individual())


def test_where_the_spent_budget_is_the_worst_the_algorithm_ends_by_itself(opened: Opened) -> None:
    toolbox = opened("delta", budget=7, on_spent="worst")
    random.seed(7)
    hall = tools.HallOfFame(1)
    algorithms.eaSimple(toolbox.population(n=4), toolbox, 0.9, 0.9, ngen=4, halloffame=hall, verbose=False)
    assert toolbox.objective.left == 0
    assert toolbox.evaluate(toolbox.individual()) == (toolbox.objective.worst,)
    assert hall[0].fitness.values[0] == toolbox.objective.best.fitness.values[0] > toolbox.objective.worst


def test_the_best_of_a_loop_gets_its_honest_number(opened: Opened, tmp_path: Path) -> None:
    toolbox = opened("delta", budget=8, out=tmp_path / "run", options={"baselines": {"random_search": False}})
    random.seed(7)
    hall = tools.HallOfFame(1)
    algorithms.eaMuPlusLambda(toolbox.population(n=4), toolbox, 4, 4, 0.4, 0.5, 1, halloffame=hall, verbose=False)
    result = toolbox.objective.finish(hall[0].genome)
    assert result.test is not None and result.test["openings"] == 1
    assert result.record["best"]["digest"] == hall[0].genome.digest


# -- what is refused ------------------------------------------------------------------------------------------


def test_what_does_not_fit_is_refused(ample: dict[str, base.Toolbox]) -> None:
    prompt, delta = ample["prompt"], ample["delta"]
    with pytest.raises(GenomeError, match="5 genes, expected 6"):
        delta.individual([0.0] * 5)
    with pytest.raises(GenomeError, match="1 genes are NaN"):
        delta.individual([0.0] * 5 + [float("nan")])
    with pytest.raises(GenomeError, match="expected numbers, found 'abc'"):
        delta.individual("abc")
    with pytest.raises(GenomeError, match="expected chromosomes of the kinds"):
        delta.individual(prompt.individual().genome)
    with pytest.raises(GenomeError, match="expected a genome, found list"):
        prompt.individual([1.0])
    with pytest.raises(GenomeError, match="expected individuals .*, found list"):
        delta.evaluate([0.0] * 6)
    with pytest.raises(ConfigError, match="expected an Objective alone"):
        toolbox_of(delta.objective, "a-model")
    short = delta.individual()
    short.pop()
    with pytest.raises(GenomeError, match="5 genes, expected 6"):
        delta.evaluate(short)


# -- checkpoints and other processes -------------------------------------------------------------------------


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
@pytest.mark.parametrize("archive", [lambda: tools.HallOfFame(4), tools.ParetoFront])
def test_a_checkpoint_as_deap_recommends_it_holds_population_archive_and_logbook(
    toolbox: base.Toolbox, archive: Callable[[], Any], copied: Callable[[Any], Any]
) -> None:
    """https://deap.readthedocs.io/en/master/tutorials/advanced/checkpoint.html, in the caller's own process."""
    random.seed(3)
    best = archive()
    population, logbook = algorithms.eaSimple(
        toolbox.population(6), toolbox, 0.5, 0.5, ngen=2, stats=statistics(), halloffame=best, verbose=False
    )
    saved = {"population": population, "halloffame": best, "logbook": logbook, "rndstate": random.getstate()}
    loaded = copied(saved)
    assert list(loaded["halloffame"]) == list(best)
    assert [each.fitness.values for each in loaded["population"]] == [each.fitness.values for each in population]
    assert loaded["logbook"].select("best") == logbook.select("best")
    loaded["halloffame"].update(toolbox.population(2)[:0] + loaded["population"])  # goes on with it
    assert list(loaded["halloffame"]) == list(best)


def test_a_fitness_keeps_what_nsga2_adds_to_it() -> None:
    fitness = fitness_class(2)((0.25, 0.5))
    fitness.crowding_dist = 0.75
    loaded = pickle.loads(pickle.dumps(fitness))
    assert type(loaded) is fitness_class(2)
    assert (loaded.values, loaded.crowding_dist) == ((0.25, 0.5), 0.75)


def test_a_pool_instead_of_the_toolboxs_map_is_refused_with_what_to_type(ample: dict[str, base.Toolbox]) -> None:
    toolbox = ample["prompt"]
    with multiprocessing.get_context("fork").Pool(1) as pool:
        with pytest.raises(ConfigError, match=r"toolbox\.map as it is, not pool\.map.*shared=True"):
            pool.map(toolbox.evaluate, toolbox.population(2))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
@pytest.mark.parametrize("name", ["objective", "toolbox"])
def test_an_objective_is_not_copied(ample: dict[str, base.Toolbox], name: str, copied: Callable[[Any], Any]) -> None:
    toolbox = ample["prompt"]
    if (name, copied) == ("toolbox", copy.copy):
        pytest.skip("a shallow copy of a toolbox shares the objective")
    with pytest.raises(TypeError, match="Objective: expected to stay in its process"):
        copied(toolbox.objective if name == "objective" else toolbox)


# -- several toolboxes in one program ------------------------------------------------------------------------


def test_two_toolboxes_in_threads_beside_the_callers_own_creator_give_what_each_gives_alone(opened: Opened) -> None:
    """One evolves prompts, the other deltas with two objectives; ``creator`` has an ``Individual`` of the caller."""
    creator.create("FitnessMin", base.Fitness, weights=(-1.0,))
    creator.create("Individual", list, fitness=creator.FitnessMin)
    own = creator.Individual([1.0, 2.0])
    own.fitness.values = (3.0,)
    pareto = {"fitness": {"combine": "pareto"}}
    kinds: dict[str, dict[str, Any]] = {
        "prompt": {},
        "delta": {"options": pareto, "scorers": {"label_likelihood": 1.0, "margin": 1.0}},
    }
    toolboxes = {kind: opened(kind, budget=PLENTY, **changes) for kind, changes in kinds.items()}
    populations = {kind: toolbox.population(6) for kind, toolbox in toolboxes.items()}
    alone = {kind: [toolboxes[kind].evaluate(each) for each in populations[kind]] for kind in kinds}
    barrier = threading.Barrier(2)
    found: dict[str, list[tuple[float, ...]]] = {}

    def evaluate(kind: str) -> None:
        values = []
        for each in populations[kind]:
            barrier.wait(60)  # both evaluate at the same time, again and again
            values.append(toolboxes[kind].evaluate(each))
        found[kind] = values

    threads = [threading.Thread(target=evaluate, args=(kind,)) for kind in kinds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert found == alone
    assert {len(values) for values in found["prompt"]} == {1}
    assert {len(values) for values in found["delta"]} == {2}
    assert (own.fitness.values, own.fitness.weights, creator.Individual) == ((3.0,), (-1.0,), type(own))
    del creator.Individual, creator.FitnessMin
