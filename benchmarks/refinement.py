"""Does a small model answer better after criticising its draft? A founder of past-tense on validation rows.

    python -m benchmarks.refinement

The last founder of the population ``past-tense``, six demonstrations, answers the 96 validation rows as it is and
with ``generation.refine = 1``, by the default question that asks for criticism. No test row is read.
``results/refinement.json`` has the numbers; tokens are those charged, before caching and sharing.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.setting import setting, write_result
from evolm.campaign.build import Components, Models, build
from evolm.config import FILE_NAME, load
from evolm.founders.populations import find_population
from evolm.genomes import PROMPT
from evolm.genomes.prompt import CRITIQUES
from evolm.wording import markdown_table

POPULATION, FOUNDERS = "past-tense", 1
DRAFT = "draft"


def measure(parts: Components, critique: str) -> tuple[list[float], int]:
    """Return the exact match of each founder on the validation rows, and the tokens charged for all of them."""
    genomes = [
        genome.with_chromosome(PROMPT, replace(genome.prompt, critique=critique))
        for genome in parts.founders.genomes[-FOUNDERS:]
    ]
    rows, before = parts.task.validation, parts.engine.usage.tokens_charged
    found = parts.evaluator.task_evaluations(genomes, rows)
    scores = [float("nan") if isinstance(each, str) else round(each.score, 4) for each in found]
    return scores, parts.engine.usage.tokens_charged - before


def main() -> None:
    """Measure, write results/refinement.json, print the table."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    folder = find_population(POPULATION)
    models: Models = {}
    ways: dict[str, Any] = {}
    for refine, questions in ((0, (DRAFT,)), (1, CRITIQUES[:1])):
        config = load(folder / FILE_NAME, {"generation": {"refine": refine}, "evaluation": {"n_jobs": 1}})
        parts = build(config, folder, models=models)
        for question in questions:
            scores, tokens = measure(parts, "" if question == DRAFT else question)
            ways[question] = {"exact_match": scores, "mean": round(float(np.mean(scores)), 4), "tokens": tokens}
        parts.engine.close()
    write_result(
        "refinement",
        {"setting": setting("python -m benchmarks.refinement"), "population": POPULATION, "ways": ways},
    )
    rows = [(name, f"{way['mean']:.3f}", f"{way['tokens']:,}") for name, way in ways.items()]
    print(markdown_table(("answer", "exact match", "tokens"), rows))


if __name__ == "__main__":
    main()
