"""Optimizers that call evolm, each as its own users would write it: ``host(objective, seed, evaluations)``.

Each asks until it ends or ``BudgetSpent`` is raised. Settings are the package's defaults, with these exceptions:

- *population*: a fifth of the evaluations, if the default would leave fewer than three generations (DEAP's examples
  300, SciPy 15 a dimension, pymoo 100 and 50, evolm 24); CMA-ES keeps its 4 + 3 ln(dimension), evolm's hill climber
  its 6 neighbours;
- *batches* of eight for optimizers without generations (Optuna, nevergrad);
- *start*: every optimizer starts from the first founder, in its package's own way: as a member, or as the mean of
  CMA-ES's first samples; evolm's other strategies start from all founders, DEAP from as many as its population holds;
- *step size*, for which CMA-ES has no default: the space's own for genes, a quarter of the range for choices (pycma's
  advice);
- SciPy: no polish, which needs a smooth function, and no end while members still differ (``tol=0``);
- DEAP: probabilities 0.5 and 0.2, those of its own examples; operators and tournament are the toolbox's;
- pyribs: CMA-ME over the entropy of predicted labels and, where prompts differ, their length, 8 cells each.

SciPy, pycma and pyribs search prompts as numbers, each of which is rounded to a choice; Optuna, nevergrad and pymoo
have categorical variables; EvoTorch searches deltas only. All of these choose among the founders' instructions;
evolm's operators, which are DEAP's here, edit them too. Deltas are searched in the box of ``objective.bounds`` by
SciPy, Optuna, nevergrad and pymoo.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import cma
import evotorch
import nevergrad as ng
import numpy as np
import optuna
import torch
from deap import algorithms
from evotorch.algorithms import SNES
from pymoo.algorithms.soo.nonconvex.de import DE
from pymoo.core.mixed import MixedVariableGA
from pymoo.core.population import Population
from pymoo.optimize import minimize
from ribs.archives import GridArchive
from ribs.emitters import EvolutionStrategyEmitter
from ribs.schedulers import Scheduler
from scipy.optimize import differential_evolution
from scipy.stats import qmc

from evolm.genomes import DELTA, PROMPT
from evolm.integrations.deap import toolbox as toolbox_of
from evolm.integrations.nevergrad import NevergradSpace
from evolm.integrations.optuna import optimize
from evolm.integrations.pymoo import PymooProblem
from evolm.integrations.ribs import RibsMeasures
from evolm.integrations.scipy import scipy_loss
from evolm.objective.objective import Objective

Host: TypeAlias = Callable[[Objective, int, int], None]

BATCH = 8
CELLS = 8  # of an archive, in each of its dimensions


def own(name: str, smaller: bool = False) -> Host:
    """Return the loop by hand with one of evolm's strategies.

    Args:
        name: the strategy's.
        smaller: whether its population is a fifth of the evaluations.
    """

    def host(objective: Objective, seed: int, evaluations: int) -> None:
        size = {"population_size": fifth(evaluations)} if smaller else {}
        strategy = objective.strategy({"name": name, **size}, seed)
        while asked := strategy.ask(objective.left):
            objective.evaluate(asked)
            strategy.tell(asked)

    return host


# -- DEAP ----------------------------------------------------------------------------------------------------


def ea_simple(objective: Objective, seed: int, evaluations: int) -> None:
    """DEAP's simple genetic algorithm."""
    random.seed(seed)
    toolbox = toolbox_of(objective)
    population = toolbox.population(fifth(evaluations))
    algorithms.eaSimple(population, toolbox, cxpb=0.5, mutpb=0.2, ngen=evaluations, verbose=False)


def ea_mu_plus_lambda(objective: Objective, seed: int, evaluations: int) -> None:
    """DEAP's evolution with a (mu + lambda) succession."""
    random.seed(seed)
    toolbox, size = toolbox_of(objective), fifth(evaluations)
    population = toolbox.population(size)
    algorithms.eaMuPlusLambda(
        population, toolbox, mu=size, lambda_=size, cxpb=0.5, mutpb=0.2, ngen=evaluations, verbose=False
    )


# -- by vectors ----------------------------------------------------------------------------------------------


def scipy_de(objective: Objective, seed: int, evaluations: int) -> None:
    """SciPy's differential evolution from a Latin hypercube, as by default, of a smaller size."""
    sample = qmc.LatinHypercube(objective.dimension, rng=seed).random(max(5, fifth(evaluations)))
    differential_evolution(
        scipy_loss(objective),
        objective.bounds,
        init=qmc.scale(sample, *objective.bounds.T),
        x0=objective.x0,
        maxiter=evaluations,
        tol=0,
        rng=seed,
        vectorized=True,
        updating="deferred",
        polish=False,
    )


def pycma(objective: Objective, seed: int, evaluations: int) -> None:
    """pycma's CMA-ES."""
    settings = {"seed": seed + 1, "verbose": -9, "CMA_stds": steps(objective)}  # its seed 0 is the clock
    if not objective.space.get(DELTA):
        settings["bounds"] = objective.bounds.T.tolist()
    search = cma.CMAEvolutionStrategy(objective.x0, 1.0, settings)
    while not search.stop():
        points = search.ask()
        search.tell(points, objective.loss_many(points))


def evotorch_snes(objective: Objective, seed: int, evaluations: int) -> None:
    """EvoTorch's SNES, a separable natural evolution strategy."""

    def losses(points: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(np.asarray(objective.loss_many(points.double().numpy())))

    problem = evotorch.Problem(
        "min", losses, solution_length=objective.dimension, dtype=torch.float64, vectorized=True, seed=seed
    )
    search = SNES(problem, center_init=torch.from_numpy(objective.x0), stdev_init=float(steps(objective).mean()))
    search.run(evaluations)  # generations, more than the budget pays for


def cma_me(objective: Objective, seed: int, evaluations: int) -> None:
    """pyribs' CMA-ME: improvement emitters on a grid of behaviours."""
    prompts, scale = objective.space[PROMPT], steps(objective)
    measures = {"label_entropy": (0.0, math.log(len(prompts.labels)))}
    if not objective.space.get(DELTA):
        measures["prefix_tokens"] = (0.0, float(prompts.max_tokens))
    behaviour = RibsMeasures(objective, measures)
    archive = GridArchive(
        solution_dim=objective.dimension, dims=[CELLS] * len(measures), ranges=behaviour.ranges, seed=seed
    )
    # A step size is one number in pyribs: coordinates are searched in units of their own.
    emitter = EvolutionStrategyEmitter(
        archive,
        x0=objective.x0 / scale,
        sigma0=1.0,
        seed=seed,
        bounds=None if objective.space.get(DELTA) else objective.bounds / scale[:, None],
    )
    scheduler = Scheduler(archive, [emitter])
    while objective.left:
        scheduler.tell(*behaviour(scheduler.ask() * scale))


# -- by native parameters ------------------------------------------------------------------------------------


def tpe(objective: Objective, seed: int, evaluations: int) -> None:
    """Optuna's tree-structured Parzen estimator."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    study.enqueue_trial(named(objective, objective.x0))
    optimize(study, objective, evaluations, batch_size=BATCH)


def ng_opt(objective: Objective, seed: int, evaluations: int) -> None:
    """nevergrad's NGOpt, which chooses among its optimizers by space and budget."""
    native = NevergradSpace(objective)
    native.parametrization.random_state.seed(seed)
    optimizer = ng.optimizers.NGOpt(native.parametrization, budget=evaluations, num_workers=BATCH)
    optimizer.suggest(native.value(objective.decode(objective.x0)))
    while left := objective.left:
        candidates = [optimizer.ask() for _ in range(min(BATCH, left))]
        for candidate, loss in zip(candidates, native.losses(candidates), strict=True):
            optimizer.tell(candidate, loss)


def pymoo_de(objective: Objective, seed: int, evaluations: int) -> None:
    """pymoo's differential evolution."""
    size = fifth(evaluations)
    algorithm = DE(pop_size=size, sampling=first_points(objective, seed, size))
    minimize(PymooProblem(objective), algorithm, ("n_eval", evaluations), seed=seed)


def pymoo_mixed(objective: Objective, seed: int, evaluations: int) -> None:
    """pymoo's genetic algorithm over mixed variables."""
    size = fifth(evaluations)
    points = [named(objective, x) for x in first_points(objective, seed, size)]
    algorithm = MixedVariableGA(pop_size=size, sampling=Population.new("X", np.array(points)))
    minimize(PymooProblem(objective), algorithm, ("n_eval", evaluations), seed=seed)


# -- what they share -----------------------------------------------------------------------------------------


def fifth(evaluations: int) -> int:
    """Return the size of a population that has five generations; four at least, since differences need so many."""
    return max(4, evaluations // 5)


def steps(objective: Objective) -> np.ndarray:
    """Return the ``(dimension,)`` first step sizes."""
    deltas = objective.space.get(DELTA)
    return np.full(objective.dimension, deltas.settings.sigma) if deltas else np.ptp(objective.bounds, axis=1) / 4


def first_points(objective: Objective, seed: int, size: int) -> np.ndarray:
    """Return ``(size, dimension)`` points: the first founder, then uniform ones."""
    points = np.random.default_rng(seed).uniform(*objective.bounds.T, (size, objective.dimension))
    points[0] = objective.x0
    return points


def named(objective: Objective, x: np.ndarray) -> dict[str, Any]:
    """Return a vector as native values by the names of their variables."""
    codec = objective.codec
    return dict(zip([variable.name for variable in codec.variables], codec.values(codec.decode(x)), strict=True))


EVERYWHERE: dict[str, Host] = {
    "DEAP eaSimple": ea_simple,
    "DEAP eaMuPlusLambda": ea_mu_plus_lambda,
    "SciPy differential_evolution": scipy_de,
    "pycma": pycma,
    "Optuna TPE": tpe,
    "nevergrad NGOpt": ng_opt,
    "pyribs CMA-ME": cma_me,
}
HOSTS: Mapping[str, Mapping[str, Host]] = {  # space -> its hosts; the others are compared with the first
    "delta": {
        "evolm random_search": own("random_search"),
        "evolm cmaes": own("cmaes"),
        "evolm es": own("es", smaller=True),
        "evolm differential_evolution": own("differential_evolution", smaller=True),
        "evolm genetic": own("genetic", smaller=True),
        **EVERYWHERE,
        "pymoo DE": pymoo_de,
        "EvoTorch SNES": evotorch_snes,
    },
    "prompt": {
        "evolm random_search": own("random_search"),
        "evolm genetic": own("genetic", smaller=True),
        "evolm hill_climb": own("hill_climb"),
        **EVERYWHERE,
        "pymoo MixedVariableGA": pymoo_mixed,
    },
}
