"""Which fitness on few dev rows says most about the metric on other rows, and whether a final's forecast holds.

    python -m benchmarks.fitness                       the missing answers, then the tables
    python -m benchmarks.fitness --tasks sms-spam      one task only

Random prompts of each task are scored once on a pool of rows that holds no test row, with the words of their labels
and, for classifications, with a probe fitted on train rows. Their answers are kept below ``runs/``; everything after
that is arithmetic. A *seed* (100 and up) draws the dev rows from the pool and the prompts that a search has tried.

- *fitness*: Spearman's correlation, over prompts, of each fitness on dev with the metric on the other rows, and the
  metric there of the prompt that each fitness picks;
- *forecast*: dev and validation rows are answered as in a campaign, the winner of the final is picked by the
  posterior mean of a two-way model, and its forecast is compared with the metric on rows that decided nothing;
- *rows*: for the same number of scored items, the metric on other rows of what is picked if all prompts are scored on
  the same rows, and if survivors earn further rows.

``results/fitness.json`` has the numbers.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file
from scipy.stats import norm, rankdata, spearmanr

from benchmarks.setting import NO_BASELINES, setting, write_result
from evolm.campaign.build import Components, build
from evolm.campaign.forecasts import CONFIDENCE
from evolm.campaign.search import FINALISTS
from evolm.config import FILE_NAME, load
from evolm.evaluation.racing import item_order, looks
from evolm.founders.populations import find_population
from evolm.genomes import READOUT, Genome
from evolm.scorers import Evaluation
from evolm.scorers.base import FLOOR
from evolm.tasks import METRICS
from evolm.two_way import fit_two_way
from evolm.wording import markdown_table, signed

TASKS = {"trec-questions": "accuracy", "sms-spam": "balanced_accuracy", "commonsense-choice": "accuracy"}  # metrics
PROMPTS, TRAIN, POOL, TEST = 24, 120, 240, 400  # the test rows are set aside and never read
TRIED, DEV = 20, 80  # prompts and dev rows of a seed; the other rows of the pool say what a fitness is worth
BLOCK, EARNED = 16, 160  # rows of the first look, and of survivors of all looks
FINAL = (64, 56, 120)  # dev, validation and other rows of a seed's final
FIRST_SEED, SEEDS = 100, 100
WORDS, PROBE = "words", "probe"
WAYS = ("dev", "dev and validation", "posterior mean")


# -- answers -------------------------------------------------------------------------------------------------


def answers(task: str, out: Path) -> dict[str, np.ndarray]:
    """Return the answers of a task, from its file or from the model.

    Returns:
        readout -> ``(prompts, rows, options)`` log-probabilities (nats), and ``"gold"`` -> ``(rows,)`` indices.
    """
    path = out / f"{task}.safetensors"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(_ask(task), path)
    return load_file(path)


def _ask(task: str) -> dict[str, np.ndarray]:
    folder = find_population(task)
    split = {"train": TRAIN, "dev": POOL, "validation": 0, "test": TEST}
    changes = {"evaluation": {"n_jobs": 1}, "baselines": NO_BASELINES, "task": {"split": split}}
    parts = build(load(folder / FILE_NAME, changes), folder)
    try:
        return {
            **{name: _logprobs(parts, genomes) for name, genomes in _genomes(parts).items()},
            "gold": parts.task.gold_indices(parts.task.dev).astype(np.int64),
        }
    finally:
        parts.engine.close()


def _genomes(parts: Components) -> dict[str, list[Genome]]:
    """Return readout -> random genomes, the same prompts for every readout."""
    rng = np.random.default_rng(FIRST_SEED)
    drawn = [parts.space.random(rng) for _ in range(PROMPTS)]
    kinds = (WORDS, PROBE) if parts.task.labels else (WORDS,)  # a probe is fitted on labels
    readouts = {kind: parts.space[READOUT].readout(kind) for kind in kinds}
    return {kind: [genome.with_chromosome(READOUT, each) for genome in drawn] for kind, each in readouts.items()}


def _logprobs(parts: Components, genomes: Sequence[Genome]) -> np.ndarray:
    found = []
    for genome in genomes:  # one at a time: the states of all train rows take memory
        (evaluation,) = parts.evaluator.task_evaluations([genome], parts.task.dev)
        assert isinstance(evaluation, Evaluation) and evaluation.label_logprobs is not None
        found.append(evaluation.label_logprobs)
    return np.stack(found)


# -- fitness -------------------------------------------------------------------------------------------------


def weights_of(metric: str, gold: np.ndarray, options: int) -> np.ndarray:
    """Return ``(n,)`` weights whose products with right answers have the metric as their mean."""
    weights = METRICS[metric].weights
    assert weights is not None
    return np.asarray(weights(np.bincount(gold, minlength=options)))[gold]


def parts_of(logprobs: np.ndarray, gold: np.ndarray, metric: str) -> dict[str, np.ndarray]:
    """Return the parts of a fitness on some rows, ``(prompts,)`` each; all rows of a label count as in the metric."""
    weights = weights_of(metric, gold, logprobs.shape[2])
    of_gold = np.maximum(logprobs[:, np.arange(len(gold)), gold], FLOOR)  # (prompts, n)
    right = logprobs.argmax(axis=2) == gold
    found = {"metric": right, "probability": np.exp(of_gold), "log_loss": of_gold}
    return {name: np.round((values * weights).mean(axis=1), 12) for name, values in found.items()}


# fitness -> parts that are compared in turn
FITNESS: dict[str, Callable[[dict[str, np.ndarray]], tuple[np.ndarray, ...]]] = {
    "metric, then log-loss": lambda parts: (parts["metric"], parts["log_loss"]),
    "metric, then probability": lambda parts: (parts["metric"], parts["probability"]),
    "metric + probability": lambda parts: (parts["metric"] + parts["probability"],),
    "probability of gold": lambda parts: (parts["probability"],),
    "log-loss": lambda parts: (parts["log_loss"],),
}
DEFAULT = next(iter(FITNESS))


def ranks(keys: tuple[np.ndarray, ...]) -> np.ndarray:
    """Return ``(prompts,)`` ranks by the first key, then by the next; equal prompts share theirs."""
    return rankdata(np.unique(np.stack(keys, axis=1), axis=0, return_inverse=True)[1].ravel())


def judge(logprobs: np.ndarray, gold: np.ndarray, metric: str) -> dict[str, dict[str, Any]]:
    """Return fitness -> its correlation with the metric on other rows, and that of the prompt it picks."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in FITNESS}
    for seed in range(FIRST_SEED, FIRST_SEED + SEEDS):
        dev, others, prompts = drawn(seed, gold, (DEV, len(gold) - DEV))
        parts = parts_of(logprobs[prompts][:, dev], gold[dev], metric)
        realised = parts_of(logprobs[prompts][:, others], gold[others], metric)["metric"]
        for name, fitness in FITNESS.items():
            order = ranks(fitness(parts))
            correlation = float(spearmanr(order, realised).statistic)
            found[name].append((correlation, float(realised[order.argmax()])))
    scores = {name: np.nan_to_num(np.array(each)) for name, each in found.items()}  # (seeds, 2)
    return {
        name: {
            "correlation": float(each[:, 0].mean()),
            "picked": float(each[:, 1].mean()),
            "over_default": [float(value) for value in (each - scores[DEFAULT]).mean(axis=0)],
            "seeds_above_default": float(np.mean(each[:, 0] > scores[DEFAULT][:, 0])),
        }
        for name, each in scores.items()
    }


def drawn(seed: int, gold: np.ndarray, sizes: Sequence[int]) -> list[np.ndarray]:
    """Return disjoint rows of such sizes, labels in their proportions, and the prompts that a search has tried."""
    rng = np.random.default_rng(seed)
    order = item_order(gold, seed)
    rows = np.split(order, np.cumsum(sizes)[:-1])
    return [*rows, np.sort(rng.permutation(PROMPTS)[:TRIED])]


# -- forecast ------------------------------------------------------------------------------------------------


def foresee(logprobs: np.ndarray, gold: np.ndarray, metric: str) -> dict[str, Any]:
    """Return how forecasts of final winners compare with the metric on rows that decided nothing."""
    errors, covered = [], []
    for seed in range(FIRST_SEED, FIRST_SEED + SEEDS):
        *rows, prompts = drawn(seed, gold, FINAL)
        dev, validation, test = (item_terms(logprobs[prompts][:, each], gold[each], metric) for each in rows)
        finalists = np.argsort(-dev.mean(axis=1), kind="stable")[:FINALISTS]
        fresh = np.full(validation.shape, np.nan)
        fresh[finalists] = validation[finalists]
        seen = np.hstack([dev, fresh])
        fit = fit_two_way(seen)
        winner = finalists[fit.means[finalists].argmax()]
        realised = test[winner].mean()
        z = abs(realised - fit.means[winner]) / fit.forecast_error(winner, test.shape[1])
        covered.append(z < norm.ppf(0.5 + CONFIDENCE / 2))
        errors.append([each - realised for each in (dev[winner].mean(), np.nanmean(seen[winner]), fit.means[winner])])
    names = ("dev", "dev_and_validation", "expected")
    return {
        "coverage": float(np.mean(covered)),
        "bias": dict(zip(names, np.mean(errors, axis=0).tolist(), strict=True)),
        "root_mean_square": dict(zip(names, np.sqrt(np.mean(np.square(errors), axis=0)).tolist(), strict=True)),
    }


def item_terms(logprobs: np.ndarray, gold: np.ndarray, metric: str) -> np.ndarray:
    """Return ``(prompts, n)`` terms whose mean over rows is the metric."""
    return np.asarray((logprobs.argmax(axis=2) == gold) * weights_of(metric, gold, logprobs.shape[2]))


# -- rows ----------------------------------------------------------------------------------------------------


def allot(logprobs: np.ndarray, gold: np.ndarray, metric: str) -> dict[str, Any]:
    """Return what is picked for the same number of scored items, by rows for all or rows for survivors.

    ``all`` scores every prompt on the same rows; ``survivors`` halves the prompts at every look, as
    ``evaluation.racing = "halving"`` does on ``EARNED`` rows.
    """
    counts, kept = [*looks(BLOCK, EARNED), EARNED], [TRIED]
    for _ in counts[1:]:
        kept.append(-(-kept[-1] // 2))
    spent = sum(n * rows for n, rows in zip(kept, np.diff([0, *counts]), strict=True))
    each = round(spent / TRIED)
    picked = []
    for seed in range(FIRST_SEED, FIRST_SEED + SEEDS):
        dev, others, prompts = drawn(seed, gold, (EARNED, len(gold) - EARNED))
        terms = item_terms(logprobs[prompts][:, dev], gold[dev], metric)
        realised = item_terms(logprobs[prompts][:, others], gold[others], metric).mean(axis=1)
        left = np.arange(len(prompts))
        for rows, number in zip(counts, [*kept[1:], 1], strict=True):
            left = left[np.argsort(-terms[left, :rows].mean(axis=1), kind="stable")[:number]]
        picked.append([realised[terms[:, :each].mean(axis=1).argmax()], realised[left[0]]])
    gains = np.diff(np.array(picked), axis=1)
    means = dict(zip(("all", "survivors"), np.mean(picked, axis=0).tolist(), strict=True))
    return {
        "items": int(spent),
        "rows_for_all": each,
        **means,
        "better": float(np.mean(gains > 0)),
        "worse": float(np.mean(gains < 0)),
    }


# -- tables --------------------------------------------------------------------------------------------------


def measure(tasks: Sequence[str], out: Path) -> dict[str, Any]:
    """Return task and readout -> what was found."""
    found = {}
    for task in tasks:
        metric = TASKS[task]
        known = answers(task, out)
        gold = known.pop("gold")
        for readout in sorted(known, reverse=True):
            judged, foreseen = judge(known[readout], gold, metric), foresee(known[readout], gold, metric)
            allotted = allot(known[readout], gold, metric)
            both = {"metric": metric, "fitness": judged, "forecast": foreseen, "rows": allotted}
            found[f"{task}, {readout}"] = both
    return found


def markdown(found: dict[str, Any]) -> str:
    """Return the tables of the README."""
    cells = [
        (name, *(f"{each['correlation']:.2f} · {each['picked']:.3f}" for each in task["fitness"].values()))
        for name, task in found.items()
    ]
    forecasts = [
        (
            name,
            f"{100 * each['forecast']['coverage']:.0f} %",
            *(signed(value) for value in each["forecast"]["bias"].values()),
            *(f"{value:.3f}" for value in each["forecast"]["root_mean_square"].values()),
        )
        for name, each in found.items()
    ]
    header = ("task", "80 % interval covers", *(f"bias: {w}" for w in WAYS), *(f"error: {w}" for w in WAYS))
    rows = [(name, *(f"{each['rows'][way]:.3f}" for way in ("all", "survivors"))) for name, each in found.items()]
    tables = [
        (("task", *FITNESS), cells),
        (header, forecasts),
        (("task", "rows for all", "rows for survivors"), rows),
    ]
    return "\n\n".join(markdown_table(*table) for table in tables)


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", choices=TASKS, nargs="+", default=list(TASKS), help="all by default")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/fitness"), help="where the answers lie")
    options = parser.parse_args()
    found = measure(options.tasks, options.out)
    command = f"python -m benchmarks.fitness --tasks {' '.join(options.tasks)}"
    sizes = {"prompts": PROMPTS, "tried": TRIED, "rows": POOL, "dev": DEV, "final": list(FINAL), "seeds": SEEDS}
    write_result("fitness", {"setting": setting(command), **sizes, "found": found})
    print(markdown(found))


if __name__ == "__main__":
    main()
