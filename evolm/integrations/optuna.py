"""Optuna: Optuna's samplers over evolm's spaces, and evolm's strategies as an Optuna sampler.

A study maximises and has one direction per objective. Trials are asked for, scored and told in batches::

    study = optuna.create_study(direction="maximize")
    optimize(study, objective, n_trials=60, batch_size=6)
    objective.finish(suggest(study.best_trial, objective))

An individual without fitness becomes a failed trial, as in Optuna a trial that returns NaN; its user attribute
``reason`` gives the reason. ``objective(suggest(trial, objective))``, called by a user's own function, returns the
finite worst value for such an individual.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evolm.config import DEFAULT_STRATEGY
from evolm.errors import ConfigError, GenomeError
from evolm.extras import extra
from evolm.individual import Individual
from evolm.objective.codec import Codec, Real
from evolm.objective.locking import one_at_a_time
from evolm.objective.objective import Objective

with extra("optuna"):
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
    from optuna.samplers import BaseSampler
    from optuna.study import Study, StudyDirection
    from optuna.trial import BaseTrial, FrozenTrial, Trial, TrialState

TRIES = 100  # generations without a proposal that Optuna can express, before random genomes are sampled


def distributions(codec: Codec) -> dict[str, BaseDistribution]:
    """Return the Optuna distribution of each variable of a space, by name, in their order."""
    return {
        variable.name: FloatDistribution(variable.low, variable.high)
        if isinstance(variable, Real)
        else CategoricalDistribution(variable.choices)
        for variable in codec.variables
    }


def suggest(trial: BaseTrial, space: Any) -> Any:
    """Return a trial's genome; suggest the trial's parameters if it is running.

    Args:
        trial: a running or a finished trial: ``suggest(study.best_trial, objective)`` is the best genome.
        space: a space of prompts, deltas or hybrids, or an objective over one.
    """
    codec = space.codec if isinstance(space, Objective) else Codec(space)
    values = [
        trial.suggest_float(variable.name, variable.low, variable.high)
        if isinstance(variable, Real)
        else trial.suggest_categorical(variable.name, variable.choices)
        for variable in codec.variables
    ]
    return codec.genome(values)


def optimize(study: Study, objective: Objective, n_trials: int, batch_size: int = 8) -> None:
    """Add trials to a study, scored in batches.

    Args:
        study: maximises every objective.
        objective: scores the trials.
        n_trials: number of trials to add.
        batch_size: trials that are asked for before the first of them is told. With an ``EvolmSampler`` a batch ends
            early if its strategy waits for the results of a generation.

    Raises:
        ConfigError: if the study minimises or has another number of objectives.
        BudgetSpent: if the budget ends before ``n_trials``. The study was told all scored trials; the other trials of
            the last batch have failed.
    """
    if n_trials < 0 or batch_size < 1:
        raise ConfigError(
            "optimize: expected n_trials of at least 0 and batch_size of at least 1, "
            f"found {n_trials} and {batch_size}"
        )
    refuse_other_directions(study, objective)
    space, missing = distributions(objective.codec), n_trials
    while missing:
        size = min(batch_size, missing)
        if isinstance(study.sampler, EvolmSampler):
            size = min(size, study.sampler.ready or size)
        _score(study, objective, [study.ask(space) for _ in range(size)])
        missing -= size


def _score(study: Study, objective: Objective, trials: Sequence[Trial]) -> None:
    """Score trials and tell the study the result of each, even if an error interrupts the scoring."""
    individuals = [Individual(-1, suggest(trial, objective)) for trial in trials]
    try:
        objective.evaluate(individuals)
    finally:
        for trial, individual in zip(trials, individuals, strict=True):
            trial.set_user_attr("digest", individual.digest)
            if individual.fitness.valid:
                study.tell(trial, objective.values_of(individual))
            else:
                trial.set_user_attr("reason", individual.reason or "it was not evaluated")
                study.tell(trial, state=TrialState.FAIL)


def refuse_other_directions(study: Study, objective: Objective) -> None:
    """Raise ConfigError unless a study maximises as many values as there are objectives."""
    found = [direction.name.lower() for direction in study.directions]
    if any(direction is not StudyDirection.MAXIMIZE for direction in study.directions):
        raise ConfigError(
            f"study {study.study_name!r}: expected direction 'maximize', since higher scores are better, found "
            f"{', '.join(found)}"
        )
    if len(found) != objective.objectives:
        raise ConfigError(
            f"study {study.study_name!r}: expected {objective.objectives} directions, one per objective, "
            f"found {len(found)}"
        )


class EvolmSampler(BaseSampler):
    """Proposes a study's trials by one of evolm's strategies.

    The strategy is told the values that the study is told; a failed or pruned trial is a failed individual. Optuna
    carries no tie-breaks and no per-item scores, so the strategy has none. Genes outside of their bounds are clipped.
    A proposal that Optuna cannot express, such as an instruction that is not among the choices, fails without a
    trial. If a trial is asked for while the whole generation is pending (studies with ``n_jobs > 1``), or if the
    strategy has no new genome left, the trial is a random genome, and the strategy is not told about it.

    Args:
        objective: its space is searched; the study may score trials by another objective.
        strategy: a strategy's name, or the ``[strategy]`` table.
        seed: seed of the strategy and of random genomes; None = the objective's.
    """

    def __init__(
        self, objective: Objective, strategy: str | Mapping[str, Any] = DEFAULT_STRATEGY, seed: int | None = None
    ) -> None:
        self.objective = objective
        self.lock = objective.lock  # the strategy's operators may ask the model
        self.codec = objective.codec
        self.distributions = distributions(self.codec)
        self.strategy = objective.strategy(strategy, seed)
        self._rng = np.random.default_rng(self.strategy.context.seed)
        self._queue: list[Individual] = []  # individuals of the generation that have no trial yet
        self._asked: dict[int, Individual] = {}  # number of a trial -> its individual

    @property
    @one_at_a_time
    def ready(self) -> int:
        """Number of trials that can be asked for before others must be told; 0 = no new genome is left."""
        for _ in range(TRIES):
            if self._queue or self._asked:
                break
            self._refill()
        return len(self._queue)

    @one_at_a_time
    def reseed_rng(self) -> None:
        """Reseed the random genomes; the strategy keeps its own random numbers."""
        self._rng = np.random.default_rng()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Raise ConfigError if the study minimises or has another number of objectives."""
        refuse_other_directions(study, self.objective)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return all variables of the space, which are sampled together."""
        return self.distributions

    @one_at_a_time
    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the values of the strategy's next individual."""
        if self.ready:
            self._asked[trial.number] = self._queue.pop(0)
            values = self.codec.values(self._asked[trial.number].genome)
        else:
            values = self._clipped(self.codec.values(self.objective.space.random(self._rng)))
        return dict(zip(search_space, values, strict=True))

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Raise ConfigError: the parameter is no variable of the space, or has another distribution."""
        raise ConfigError(
            f"EvolmSampler: expected only parameters of the objective's space, as suggest names them, "
            f"found {param_name!r} with {param_distribution}"
        )

    @one_at_a_time
    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Tell the strategy the result of its individual."""
        individual = self._asked.pop(trial.number, None)
        if individual is None:
            return
        proposed = dict(zip(self.distributions, self.codec.values(individual.genome), strict=True))
        if trial.params != proposed:  # a trial that the user enqueued: the proposal goes to a later trial
            self._queue.insert(0, individual)
            return
        if state is TrialState.COMPLETE and values is not None:
            individual.accept(values, values[0], np.array(values), {})
        else:
            individual.fail(str(trial.user_attrs.get("reason", f"the trial is {state.name.lower()}")))
        self.strategy.tell([individual])

    def _refill(self) -> None:
        """Ask the strategy for a generation; individuals that Optuna cannot express fail."""
        for individual in self.strategy.ask():
            try:
                values = self.codec.values(individual.genome)
            except GenomeError as error:
                individual.fail(str(error))
                self.strategy.tell([individual])
                continue
            clipped = self._clipped(values)
            if clipped != values:
                individual.genome = self.codec.genome(clipped)
            self._queue.append(individual)

    def _clipped(self, values: Sequence[Any]) -> list[Any]:
        """Return values with genes clipped to their bounds, which Optuna's distributions require."""
        return [
            min(max(value, variable.low), variable.high) if isinstance(variable, Real) else value
            for variable, value in zip(self.codec.variables, values, strict=True)
        ]
