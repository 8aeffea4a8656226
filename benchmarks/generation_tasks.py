"""Ways to improve written text: prompts, changes of the weights that learn, and rewards, at equal tokens.

    python -m benchmarks.generation_tasks                      the table: run once on frozen code
    python -m benchmarks.generation_tasks --cells past-tense   one population's cells
    python -m benchmarks.generation_tasks --tune 1             dev only: seeds from 100 on
    python -m benchmarks.generation_tasks --finished           a table of the cells that are finished; runs none

Four founding populations: text transformation, translation, summarisation, whose rows
``populations/function-docs/extract.py`` writes first, and questions about a passage. ``genetic`` evolves prompts;
``memetic`` and ``reinforce`` learn a delta of rank 8 in all linear modules under the plain instruction of
``plain.jsonl``, from gold texts and from the task's metric; ``auto`` evolves prompts, then learns under the
instruction of the best. The best founder is a baseline of every cell, random demonstrations are one of random search.
Every cell is an ordinary run below ``runs/``, so the same command resumes after a stop.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.field import Field
from benchmarks.groups import score_cells
from evolm.wording import markdown_table

DELTA = {"encoding": "lowrank", "layers": "all", "target_modules": ["all-linear"], "rank": 8}


def learning(**strategy: Any) -> dict[str, Any]:
    """Return the tables of a variant in which a delta alone evolves, under one prompt."""
    return {
        "founders": ["plain.jsonl"],
        "space": {"prompt": None, "delta": DELTA},
        "strategy": strategy,
    }


# Two lines, always replaced, so that most tokens are spent on steps.
MEMETIC: dict[str, Any] = {
    "name": "memetic",
    "population_size": 2,
    "survival": "generational",
    "elites": 0,
    "crossover_prob": 0.3,
    "mutation_prob": 0.0,
    "gradient_steps": 16,
    "batch_size": 8,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "genetic": {"strategy": {"name": "genetic"}},
    "memetic": learning(**MEMETIC),
    "random_search": {"strategy": {"name": "random_search"}, "baselines": {"few_shot": True}},
    "auto": {"strategy": {"name": "auto"}},
    "reinforce": learning(name="reinforce"),
}


def settings(tokens: int, train: int = 1000, dev: int = 32, validation: int = 48, test: int = 150) -> dict[str, Any]:
    """Return the tables of a population: equal tokens, and small splits, since a cell must end in minutes."""
    return {
        "budget": {"evaluations": 0, "tokens": tokens},
        "baselines": {"fine_tuning": False, "few_shot": False},
        "evaluation": {"n_jobs": 1, "slab_tokens": 128},  # a small step fills no larger pass
        "task": {"split": {"train": train, "dev": dev, "validation": validation, "test": test}},
    }


FIELD = Field(
    "generation_tasks",
    VARIANTS,
    {
        "past-tense": settings(100_000, test=300),
        "spanish-english": settings(80_000, dev=24, validation=32, test=200),
        "function-docs": settings(120_000),
        "reading-comprehension": settings(160_000, train=100, test=100),  # passages of 200 tokens
    },
    pairs=[("memetic", "random_search"), ("auto", "random_search"), ("memetic", "reinforce")],
    seeds=range(1),
)


def markdown(populations: Mapping[str, Any]) -> str:
    """Return the page's table."""
    rows = []
    for name, comparison in populations.items():
        over = {each["first"]: each for each in comparison["differences"]}
        for group in comparison["groups"]:
            score, interval, gain = score_cells(group, over.get(group["name"]))
            known = group["baselines"]
            baselines = [f"{known[each]:.3f}" if each in known else "" for each in ("founder", "few_shot")]
            tokens = f"{group['spent']['tokens']:,.0f}"
            rows.append((name, f"`{group['name']}`", score, interval, gain, *baselines, tokens))
    header = ("task", "strategy", "test", "95 % interval", f"over {FIELD.first}", "founder", "few-shot", "tokens")
    return markdown_table(header, rows)


if __name__ == "__main__":
    FIELD.main(__doc__ or "")
