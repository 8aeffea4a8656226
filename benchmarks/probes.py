"""Is a probe on several layers side by side better than one on the best of them? Random prompts of TREC.

    python -m benchmarks.probes

Eight random prompts (seed 100) of the population ``trec-probe``, 240 train rows, dev and validation rows that no fit
has seen; no test row is read. *one layer*: layer and pooling with the lowest log-loss of leave-one-out predictions on
the train rows; *side by side*: what the readout ``probe`` does. ``results/probes.json`` has the numbers.
"""

from __future__ import annotations

import argparse
from itertools import product
from typing import Any

import numpy as np

from benchmarks.setting import setting, write_result
from evolm.campaign.build import Components, build
from evolm.config import FILE_NAME, load
from evolm.founders.populations import find_population
from evolm.genomes import READOUT, Genome
from evolm.readouts import FittedReader
from evolm.readouts.probe import STRENGTHS
from evolm.readouts.ridge import fit_ridge, normalised
from evolm.wording import markdown_table

POPULATION, PROMPTS, SEED = "trec-probe", 8, 100
CHANGES = {"task": {"split": {"validation": 250}}, "evaluation": {"n_jobs": 1}}


def measure(parts: Components, genome: Genome) -> dict[str, tuple[float, float]]:
    """Return way -> accuracy and log-loss (nats) of one prompt on dev and validation rows."""
    task, labels = parts.task, parts.scoring.labels
    assert labels is not None
    reader = labels.reader(parts.space.express(genome))
    assert isinstance(reader, FittedReader)
    rows, read = reader.rows(), [*task.dev, *task.validation]
    states = np.stack(parts.engine.answer(reader.requests([*rows, *read])))  # (n, layers, poolings, d)
    gold, known = task.gold_indices(rows), len(rows)
    weights = task.row_weights(rows)
    columns = [states[:, layer, pooling] for layer, pooling in product(*map(range, states.shape[1:3]))]
    fits = [fit_ridge(x[:known], gold, len(task.labels), weights, STRENGTHS) for x in columns]
    best = min(range(len(fits)), key=lambda place: fits[place].loss)
    whole = states.reshape(len(states), -1)
    ways = {
        "one layer": (fits[best], columns[best]),
        "side by side": (fit_ridge(whole[:known], gold, len(task.labels), weights, STRENGTHS), whole),
    }
    wanted = task.gold_indices(read)
    found = {}
    for name, (fit, x) in ways.items():
        logprobs = normalised(x[known:].astype(np.float64) @ fit.weights.T.astype(np.float64) + fit.intercepts)
        right = float(np.mean(logprobs.argmax(axis=1) == wanted))
        found[name] = (right, float(-logprobs[np.arange(len(read)), wanted].mean()))
    return found


def main() -> None:
    """Measure, write results/probes.json, print the table."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    folder = find_population(POPULATION)
    parts = build(load(folder / FILE_NAME, CHANGES), folder)
    rng, probe = np.random.default_rng(SEED), parts.space[READOUT].readout("probe")
    genomes = [parts.space.random(rng).with_chromosome(READOUT, probe) for _ in range(PROMPTS)]
    try:
        found = [measure(parts, genome) for genome in genomes]
    finally:
        parts.engine.close()
    ways: dict[str, Any] = {
        name: {
            "accuracy": [round(each[name][0], 4) for each in found],
            "log_loss": [round(each[name][1], 4) for each in found],
        }
        for name in found[0]
    }
    sizes = parts.task.splits()
    write_result(
        "probes",
        {
            "setting": setting("python -m benchmarks.probes"),
            "population": POPULATION,
            "layers": list(probe.layers),
            "rows": {"fitted on, at most": sizes["train"], "read": sizes["dev"] + sizes["validation"]},
            "ways": ways,
        },
    )
    rows = [(name, *(f"{np.mean(own[key]):.3f}" for key in ("accuracy", "log_loss"))) for name, own in ways.items()]
    print(markdown_table(("probe", "accuracy", "log-loss"), rows))


if __name__ == "__main__":
    main()
