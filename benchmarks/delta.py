"""Which strategy changes the weights best? Strategies on deltas at equal tokens and at equal seconds, on two tasks.

    python -m benchmarks.delta                 equal tokens (a token forward and backward counts three), seeds 0 to 4
    python -m benchmarks.delta --seconds       equal seconds
    python -m benchmarks.delta --tune 2        dev only: seeds 100 and up, nothing of the test split is shown

Every cell is an ordinary run of one worker below ``runs/``; finished cells are kept. ``--cells NAME`` runs one
task's cells, so that the two tasks can run side by side, one core each. ``results/delta.json`` and
``results/delta_seconds.json`` have the numbers, the pictures beside them the figures.
"""

from __future__ import annotations

import sys
from typing import Any

from benchmarks.field import Field
from benchmarks.setting import NO_BASELINES
from evolm.experiments.sweep import strategy_variants

STRATEGIES = ("random_search", "adam", "memetic", "cmaes", "es", "differential_evolution")
LOWRANK = {"encoding": "lowrank", "layers": "last:3", "target_modules": ["q_proj", "v_proj"], "rank": 1}
TOKENS = {"trec-memetic": 300_000, "sms-spam-delta": 200_000}
SECONDS = 15
PAIRS = [("memetic", "adam"), ("memetic", "cmaes")]
COMMON: dict[str, Any] = {
    "baselines": NO_BASELINES,
    "evaluation": {"n_jobs": 1},
    "finals": {"relearn": False},  # it would spend tokens beyond the budget, in strategies with a gradient alone
    "task": {"split": {"dev": 96, "validation": 96, "test": 400}},
}
# Strategies without a gradient search a few dozen coordinates; the others learn all factors of the same modules.
SPACES: dict[str, dict[str, Any]] = {"adam": LOWRANK, "memetic": LOWRANK}
SUBSPACE = {**LOWRANK, "encoding": "subspace", "dimension": 48}
# Tuned on dev with seed 100: two individuals, always replaced as with Adam, with more steps each.
SETTINGS: dict[str, dict[str, Any]] = {
    "adam": {"batch_size": 16},
    "memetic": {
        "batch_size": 16,
        "gradient_steps": 10,
        "learning_rate": 0.04,
        "population_size": 2,
        "survival": "generational",
        "elites": 0,
        "crossover_prob": 0.3,
        "mutation_prob": 0.0,
    },
}


def field(seconds: bool) -> Field:
    """Return the compared strategies, at equal tokens or at equal seconds."""
    variants = {
        name: {
            "strategy": {**tables["strategy"], **SETTINGS.get(name, {})},
            "space": {"delta": SPACES.get(name, SUBSPACE)},
        }
        for name, tables in strategy_variants(STRATEGIES).items()
    }
    populations = {
        name: {
            **COMMON,
            "budget": {"evaluations": 0, "seconds": SECONDS} if seconds else {"evaluations": 0, "tokens": tokens},
        }
        for name, tokens in TOKENS.items()
    }
    if seconds:
        return Field("delta_seconds", variants, populations, "memetic", PAIRS, "delta --seconds")
    return Field("delta", variants, populations, pairs=PAIRS)


if __name__ == "__main__":
    wanted = "--seconds" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--seconds"]
    field(wanted).main(__doc__ or "")
