"""A campaign as a function: vectors or genomes in, fitness out, and a verdict on unseen rows in the end.

An optimizer proposes. evolm evaluates, charges, keeps a journal, and judges the best on rows that no selection saw::

    with Objective(frame, "models/tiny", {"delta": {"dimension": 32}}, budget=500, out="runs/mine") as objective:
        found = scipy.optimize.minimize(objective.loss, objective.x0, bounds=objective.bounds, method="Powell")
        result = objective.finish(found.x)

Higher is better in calls and in ``many``; ``loss`` and ``loss_many`` are the same with the sign that minimisers want.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from threading import RLock
from typing import Any, Literal

import numpy as np
import pandas as pd

from evolm.api import Result, arguments, observers, run_directory
from evolm.campaign.build import Components, Models
from evolm.config import DEFAULT_STRATEGY, EXTERNAL
from evolm.errors import BudgetSpent, ConfigError, GenomeError, NotCopyable
from evolm.founders.loading import refuse_shown, refuse_unknown
from evolm.genomes import PROMPT
from evolm.individual import Individual
from evolm.objective.codec import Codec, is_genome
from evolm.objective.ids import CallerIds, proposal_of
from evolm.objective.locking import one_at_a_time
from evolm.objective.opening import objective_run
from evolm.observers import Observer
from evolm.operators import Spent
from evolm.randomness import derive_seed
from evolm.searches import MAIN
from evolm.strategies import Strategy

SPENT = "the budget is spent"


class Objective(AbstractContextManager["Objective"]):
    """The fitness of prompts, deltas or both under a model, within a budget.

    Every evaluation is charged, cached or not; a call is a generation of the journal. A prompt that cannot be scored
    (it is longer than the model's context or the space allows, two labels share one word, a scorer returns NaN) is
    charged, journalled as failed, and returned to the caller as ``worst``.

    With ``out``, a program that was stopped is started again unchanged. As long as it asks for the same in the same
    order, it gets the recorded results without being charged, and ends with the journal of an undisturbed run, byte
    for byte; meanwhile ``left`` and ``best`` have the values that they had then. A program that saved its own state
    asks for something new at once, and continues after the last entry.

    With ``shared``, processes with the same configuration spend one budget and share their answers
    (``out/ledger.sqlite``, ``out/answers.sqlite``). Each process writes a run of its own into ``out/PROCESS-N``, a
    new one whenever it starts, and ``finish`` judges the best of that run. Evaluations that a killed process had
    reserved stay charged.

    Threads may share one object, as Optuna's ``n_jobs`` does: they wait for each other. A program that uses a
    strategy from several threads must put its ``ask`` and ``tell`` under ``with objective.lock``.

    Args:
        task, model, space, scorers, founders, seed, n_jobs, options, warm_start: as for :func:`evolm.evolve`. With
            ``options={"fitness": {"combine": "pareto"}}`` every scorer is an objective.
        budget: evaluations, or the ``[budget]`` table; its seconds and plateau (in calls) are checked before a call.
        on_spent: what happens to evaluations beyond the budget: ``"raise"`` BudgetSpent, or return ``"worst"``, for
            hosts that end by themselves.
        out: directory of the run, new or one to continue; None = a temporary one that lives as long as this object
            or its result.
        callbacks: observers of the campaign.
        shared: whether several processes spend the budget.
        answers: an answer cache shared with other runs; no result depends on it.
        models: models shared with other objectives of this process: a dictionary that is filled.
        report: whether ``report.html`` is written at the end of the search and with the verdict.

    Attributes:
        space: the space of the genomes.
        codec: converts between genomes, vectors and native values.
        lock: held by the thread whose call is evaluated.

    Raises:
        RunError: if ``out`` holds a run of another configuration, or another process works on it.
        EvolmError: for any other error that a user can correct, in one sentence.
    """

    def __init__(
        self,
        task: Mapping[str, Any] | pd.DataFrame,
        model: str | Mapping[str, Any],
        space: Mapping[str, Any] | None = None,
        scorers: Mapping[str, float | Callable[..., float]] | None = None,
        budget: int | Mapping[str, Any] = 200,
        on_spent: Literal["raise", "worst"] = "raise",
        out: str | Path | None = None,
        *,
        founders: Sequence[str] = (),
        seed: int = 0,
        n_jobs: int | str = 1,
        options: Mapping[str, Any] | None = None,
        warm_start: Sequence[str | Path | Result] = (),
        callbacks: Sequence[Observer] = (),
        shared: bool = False,
        answers: Path | None = None,
        models: Models | None = None,
        report: bool = True,
    ) -> None:
        if on_spent not in ("raise", "worst"):
            raise ConfigError(f"on_spent: expected 'raise' or 'worst', found {on_spent!r}")
        if "strategy" in (options or {}):
            raise ConfigError("options: expected no [strategy], since the caller is one; see Objective.strategy")
        if "stage" in (options or {}):
            raise ConfigError("options: expected no [[stage]], since the caller is the strategy; found some")
        if shared and out is None:
            raise ConfigError("shared: expected out, the directory that the processes share; found none")
        given = arguments(
            "Objective", task, model, space, founders, scorers, EXTERNAL, budget, seed, n_jobs, options, warm_start
        )
        self.on_spent = on_spent
        self.lock = RLock()
        directory, self._temporary = run_directory(out)
        with ExitStack() as stack:
            self._campaign = stack.enter_context(
                objective_run(
                    given.config,
                    Path.cwd(),
                    directory,
                    observers=observers(callbacks),
                    shared=shared,
                    temporary=self._temporary is not None,
                    answers=answers,
                    models=models,
                    report=report,
                    prepare=self._prepare,
                    **given.sources,
                )
            )
            self._stack = stack.pop_all()
        self._ids = CallerIds()

    def _prepare(self, parts: Components) -> None:
        self.space = parts.space
        self.codec = Codec(parts.space, parts.founders.genomes)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Refuse to be copied or pickled.

        Raises:
            NotCopyable: always.
        """
        raise NotCopyable(
            "Objective: expected to stay in its process, since it holds a model and a run; found an attempt to copy "
            "or pickle it: let it evaluate batches in processes of its own (n_jobs; DEAP's toolbox.map as it is, "
            "not pool.map), or open one in each process with the same out and shared=True"
        )

    # -- dimensions and limits -----------------------------------------------------------------------------

    @property
    def directory(self) -> Path:
        """The run's directory."""
        return self._campaign.directory

    @property
    def dimension(self) -> int:
        """Number of coordinates of a vector."""
        return self.codec.dimension

    @property
    def bounds(self) -> np.ndarray:
        """``(dimension, 2)`` float64: lowest and highest value of each coordinate."""
        return self.codec.bounds.copy()

    @property
    def x0(self) -> np.ndarray:
        """``(dimension,)`` float64: the first founder."""
        return self.encode(self._campaign.parts.founders.genomes[0])

    @property
    def objectives(self) -> int:
        """Number of values of an individual."""
        evaluator = self._campaign.parts.evaluator
        return len(evaluator.scorers) if evaluator.combine == "pareto" else 1

    @property
    def worst(self) -> float | np.ndarray:
        """The fitness of a failure: the scorers' finite worst, weighted; ``(objectives,)`` if they are several."""
        lowest = []
        for scorer, weight in self._campaign.parts.evaluator.scorers.values():
            lowest.append(min(weight * limit for limit in scorer.limits))
        return sum(lowest) if self.objectives == 1 else np.array(lowest)

    @property
    @one_at_a_time
    def left(self) -> int | None:
        """Evaluations that the budget still allows; None = no limit."""
        return self._campaign.allowance.left

    @property
    @one_at_a_time
    def best(self) -> Individual | None:
        """The best individual so far; of a Pareto front, the one that ``fitness.pick`` takes."""
        return self._campaign.main.archive.best

    def encode(self, genome: Any) -> np.ndarray:
        """Return the ``(dimension,)`` vector of a genome; see :meth:`Codec.encode`."""
        return self.codec.encode(genome)

    def decode(self, vector: Any) -> Any:
        """Return the genome of a vector; see :meth:`Codec.decode`."""
        return self.codec.decode(vector)

    # -- evaluating ----------------------------------------------------------------------------------------

    def __call__(self, x: Any) -> Any:
        """Return the fitness of one vector or genome: a float, or ``(objectives,)``; higher is better.

        Raises:
            BudgetSpent: if no evaluation is left.
            GenomeError: if it is no vector or genome of this space; see :meth:`Codec.checked`.
        """
        (value,) = self.many([x] if is_genome(x) else self.codec.row(x))
        return float(value) if self.objectives == 1 else value

    @one_at_a_time
    def many(self, X: Any) -> np.ndarray:
        """Return the ``(n,)`` or ``(n, objectives)`` fitness of vectors or genomes, all in one batch.

        Args:
            X: ``(n, dimension)``, or a sequence of genomes.

        Raises:
            BudgetSpent: if they are more than the budget allows, after as many as it does were evaluated.
            GenomeError: if one is no vector or genome of this space; nothing is then evaluated.
        """
        values = [self._value(individual) for individual in self.individuals(X)]
        return np.array(values, dtype=np.float64).reshape(len(values), *np.shape(self.worst))

    def loss(self, x: Any) -> Any:
        """Return minus the fitness, for minimisers; as a call of this object otherwise."""
        return -self(x)

    def loss_many(self, X: Any) -> np.ndarray:
        """Return minus the fitness of each, for minimisers; as :meth:`many` otherwise."""
        return -self.many(X)

    @one_at_a_time
    def individuals(self, X: Any) -> list[Individual]:
        """Return vectors or genomes as evaluated individuals: genome, fitness, score, measures; see :meth:`many`."""
        genomes = self._genomes(X)
        asked = [Individual(-1 - place, genome) for place, genome in enumerate(genomes)]
        self.evaluate(asked)
        for individual in asked:
            individual.id = self._ids.of(individual).pop(individual.id)
        return asked

    @one_at_a_time
    def evaluate(self, individuals: Sequence[Individual]) -> None:
        """Give individuals their fitness, score and measures, or their failure, in place.

        Args:
            individuals: from a strategy of this objective, or with genomes of its space. Individuals that are neither
                founders nor drawn nor children of earlier ones count as proposed by another optimizer.

        Raises:
            BudgetSpent: if they are more than the budget allows, after as many as it does were evaluated.
            GenomeError: if one has a genome of another space, asks for labels that the task does not have, or
                demonstrates an item of the test split; nothing is then evaluated.
        """
        for individual in individuals:
            self._require(individual.genome)
        model_accesses = [strategy.context.model_access for strategy in self._ids.strategies]
        spent = sum((access.spent() for access in model_accesses if access is not None), Spent())
        done = self._campaign.replay([individual.genome for individual in individuals])
        next_id = self._campaign.strategy.count - len(done)
        run_ids = [one.id for one in done] + [next_id + place for place in range(len(done), len(individuals))]
        maps = [self._ids.of(individual) for individual in individuals]
        for individual, ids, run_id in zip(individuals, maps, run_ids, strict=True):
            ids[individual.id] = run_id  # before any proposal is made: a batch may hold a child with its parent
        fresh = [proposal_of(*pair) for pair in zip(individuals, maps, strict=True)][len(done) :]
        done += self._campaign.evaluate(fresh, spent)
        for individual, one in zip(individuals, done, strict=False):
            individual.accept_from(one)
        if len(done) < len(individuals):
            self._refuse(individuals[len(done) :])

    def _refuse(self, individuals: Sequence[Individual]) -> None:
        """Fail individuals beyond the budget, or raise, as ``on_spent`` says."""
        if self.on_spent == "worst":
            for individual in individuals:
                individual.fail(SPENT)
            return
        best = self.best
        found = f"; the best so far is {self._value(best):.6g}" if best and self.objectives == 1 else ""
        raise BudgetSpent(
            f"{self._campaign.allowance.ended or SPENT}: expected no more, found {len(individuals)}{found}", best
        )

    def _value(self, individual: Individual) -> Any:
        if not individual.fitness.valid:
            return self.worst
        values = np.array(self.values_of(individual))
        return float(values[0]) if self.objectives == 1 else values

    def values_of(self, individual: Individual) -> tuple[float, ...]:
        """Return the objectives of an evaluated individual as other optimizers are told them.

        Beyond a guard's limit they are the worst, less the violation (Deb 2000, eq. 5): other optimizers compare by
        values alone.
        """
        fitness = individual.fitness
        if fitness.violation:
            return tuple(float(worst) - fitness.violation for worst in np.atleast_1d(self.worst))
        return tuple(fitness.values[: self.objectives])

    def _genomes(self, X: Any) -> list[Any]:
        if is_genome(X):
            raise GenomeError(
                "many: expected vectors or a sequence of genomes, found one genome, which is for a call"
            )
        try:
            count = len(X)
        except TypeError:  # a number, None, a generator, an array without rows
            raise GenomeError(
                f"many: expected vectors in rows or a sequence of genomes, found {X!r}; a single vector is for a call"
            ) from None
        if not isinstance(X, np.ndarray) and count and all(map(is_genome, X)):
            return list(X)
        rows = np.empty((0, self.dimension)) if not count else X
        return self.codec.decode_many(rows)

    def _require(self, genome: Any) -> None:
        """Raise if a genome is of another space or task, or shows an item of the test split."""
        self.codec.require(genome)
        if PROMPT in self.space.evolving:
            task = self._campaign.parts.task
            refuse_unknown(genome.prompt, task, "a genome")
            refuse_shown(genome.prompt, task, "a genome")

    # -- ask and tell --------------------------------------------------------------------------------------

    @one_at_a_time
    def strategy(self, settings: str | Mapping[str, Any] = DEFAULT_STRATEGY, seed: int | None = None) -> Strategy:
        """Return one of evolm's strategies, to be used by hand: ``ask``, :meth:`evaluate`, ``tell``.

        With the same seed it asks for exactly the individuals that :func:`evolm.evolve` evaluates. The requests of
        its operators are charged with the next evaluation.

        Args:
            settings: its name, or the ``[strategy]`` table.
            seed: of the search; None = the objective's own.

        Raises:
            ConfigError: if there is none of this name, or it does not fit the space, the task or the objectives.
        """
        parts = self._campaign.parts
        table = {"name": settings} if isinstance(settings, str) else dict(settings)
        if table.get("name") == EXTERNAL:
            raise ConfigError(f"strategy: expected one of evolm's, found {EXTERNAL!r}")
        made = parts.strategy(table, derive_seed(MAIN, parts.config.seed if seed is None else seed))
        self._ids.add(made)
        return made

    # -- the end -------------------------------------------------------------------------------------------

    @one_at_a_time
    def finish(self, x: Any = None) -> Result:
        """Open the test split once, write the files of a finished campaign, and return the result.

        Args:
            x: the winner, a vector or genome. If it was never evaluated, it is scored on dev first and charged as one
                more evaluation, also if the budget is spent. None = the best of the five finalists on dev and
                validation, as in a campaign.

        Raises:
            EvolmError: if nothing could be evaluated, or ``x`` cannot be scored or is refused by :meth:`evaluate`.
            RunError: if the run was finished with another winner.
        """
        proposal = None
        if x is not None:
            (genome,) = self._genomes([x]) if is_genome(x) else self.codec.decode_many(self.codec.row(x))
            self._require(genome)
            proposal = Individual(-1, genome)
        return Result(self.directory, self._campaign.finish(proposal), self._temporary)

    @one_at_a_time
    def close(self) -> None:
        """Close files, cache and workers; a run with ``out`` can be continued."""
        self._stack.close()

    def __exit__(self, *exception: object) -> None:
        self.close()
