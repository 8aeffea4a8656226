"""Size of the report of a large run, and what it costs to write and to open.

The run has 2,000 individuals and 5,000 test items: a journal, written by evolm's own journal from individuals and
prompts of evolm's own classes, with a score for each of 80 dev items; the answers of the best, two finalists and
seven baselines to every test item, whose texts have 150 characters on average. Answers are drawn at random, no model
is asked. A browser opens the page and an empty one, without a window, and draws the first 2,000 pixels: the
difference is the page's. Seconds of the processor do not depend on other programs as seconds of the clock do.

    python -m benchmarks.large_report --browser chromium
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.setting import setting, write_result
from evolm.baselines import BASELINES, BEST
from evolm.campaign.item_scores import ITEM_SCORES, scores_record
from evolm.genomes import Genome, Prompt
from evolm.individual import Individual
from evolm.report import write_report
from evolm.storage import Journal, RunLayout
from evolm.tasks.metrics import averages, balanced_accuracy, confusion_matrix, per_class

INDIVIDUALS, SIZE, DEV, TEST = 2000, 20, 80, 5000
LABELS = ("ham", "spam")
REPEATS = 5
OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WORDS = ["free", "call", "now", "prize", "lunch", "later", "meeting", "tomorrow", "claim", "win", "text", "home"]
ENTERED = ("founder", "prior_corrected", "few_shot", "probe", "random_search", "bag_of_words", "majority")


def sentence(rng: np.random.Generator, words: int) -> str:
    """Return words at random."""
    return " ".join(rng.choice(WORDS, words))


def individuals(rng: np.random.Generator) -> Iterator[Individual]:
    """Yield individuals of 40 sentences and 60 demonstrations, with item scores around a genome's own skill."""
    sentences = [sentence(rng, 12) for _ in range(40)]
    shown = [{"item": f"{n:016x}", "fields": {"text": sentence(rng, 20)}, "label": LABELS[n % 2]} for n in range(60)]
    for id in range(INDIVIDUALS):
        generation = id // SIZE
        chosen = rng.choice(60, int(rng.integers(0, 8)), replace=False)
        record = {
            "instruction": ". ".join(rng.choice(sentences, 3, replace=False)),
            "demonstrations": [shown[n] for n in chosen],
            "verbalizers": {},
            "template": "default",
        }
        parents = tuple(int(p) for p in rng.integers((generation - 1) * SIZE, generation * SIZE, 2))
        individual = Individual(
            id,
            Genome({"prompt": Prompt.from_record(record)}),
            generation,
            parents if generation else (),
            ("sentence_swap",) if generation else (),
        )
        hits = (rng.random(DEV) < 0.7 + 0.02 * len(chosen)).astype(float)
        individual.items = DEV
        individual.accept([hits.mean(), 0.0], hits.mean(), hits, {"prefix_tokens": 200.0}, hits)
        yield individual


def write_run(directory: Path, seed: int = 0) -> Path:
    """Write the run's journal, test answers and result."""
    rng = np.random.default_rng(seed)
    layout = RunLayout(directory)
    task: dict[str, Any] = {
        "name": "large",
        "kind": "classification",
        "metric": "balanced_accuracy",
        "gold": "use",
        "labels": LABELS,
    }
    task |= {"splits": {"train": 300, "dev": DEV, "validation": 200, "test": TEST}}
    journal = Journal(layout.journal)
    journal.append(
        {"type": "run", "name": "large", "seed": seed, "task": task, "strategy": {"name": "genetic"}, "budget": {}}
    )
    members: list[Individual] = []
    for individual in individuals(rng):
        members.append(individual)
        terms = scores_record(individual.item_terms)
        journal.append({"type": "individual", "search": "main", **individual.to_record(), ITEM_SCORES: terms})
        if len(members) % SIZE == 0:
            best = max(members, key=lambda each: each.fitness)
            scores = [each.score or 0.0 for each in members[-SIZE:]]
            journal.append(
                {
                    "type": "generation",
                    "search": "main",
                    "generation": individual.generation,
                    "evaluations": len(members),
                    "best": best.score,
                    "best_id": best.id,
                    "mean": float(np.mean(scores)),
                }
            )
    ranked = sorted(members, key=lambda each: each.fitness, reverse=True)
    result, kept = verdict(rng, ranked, task)
    journal.append({"type": "verdict", **result})
    journal.close()
    layout.result.write_text(json.dumps(result), encoding="utf-8")
    layout.test.write_text(json.dumps(kept), encoding="utf-8")
    return directory


def verdict(
    rng: np.random.Generator, ranked: list[Individual], task: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the result and the answers to the test items."""
    gold = (rng.random(TEST) < 0.3).astype(int)
    outcomes = {BEST: answers(rng, gold, 0.9)} | {name: answers(rng, gold, 0.8) for name in ENTERED}
    scores = {name: balanced_accuracy(each, gold, 2) for name, each in outcomes.items()}
    strongest = max((name for name in ENTERED if BASELINES[name].rival), key=lambda name: scores[name])
    test = {
        "openings": 1,
        "items": TEST,
        **scores,
        "strongest_baseline": strongest,
        "gain": scores[BEST] - scores[strongest],
        "interval": [0.05, 0.15],
        "interval_over_founder": [0.05, 0.15],
        "confusion": confusion_matrix(outcomes[BEST], gold, 2)[:, :2].tolist(),
        "per_class": per_class(outcomes[BEST], gold, LABELS),
        "averages": {name: averages(each, gold, 2) for name, each in outcomes.items()},
    }
    best, founder = ({"id": each.id, "genome": each.genome.summary()} for each in (ranked[0], ranked[-1]))
    result = {"claim": "Random answers.", "task": task, "test": test, "best": best, "founder": founder, "dev": {}}
    finalists = {each.id: answers(rng, gold, 0.85) for each in ranked[1:3]}
    kept = {
        "metric": "balanced_accuracy",
        "n_labels": 2,
        "items": [f"{n:016x}" for n in range(TEST)],
        "gold": gold.tolist(),
        "outcomes": {name: [each.tolist()] for name, each in outcomes.items()},
        "finalists": [
            {"id": id, "score": balanced_accuracy(said, gold, 2), "outcomes": said.tolist()}
            for id, said in finalists.items()
        ],
        "inputs": [{"text": sentence(rng, int(rng.integers(5, 55)))} for _ in range(TEST)],
    }
    return result, kept


def answers(rng: np.random.Generator, gold: np.ndarray, accuracy: float) -> np.ndarray:
    """Return answers of which a share is right."""
    return np.where(rng.random(len(gold)) < accuracy, gold, 1 - gold)


def opened(browser: str, page: Path) -> tuple[float, float]:
    """Return the seconds by the clock and of all processors that a browser takes to open a page and to end."""
    with tempfile.TemporaryDirectory() as profile:
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        drawing = ["--window-size=1400,2000", f"--screenshot={profile}/page.png"]
        command = [browser, *OPTIONS, f"--user-data-dir={profile}", *drawing, page.resolve().as_uri()]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        wall = time.perf_counter() - began
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(browser: str) -> dict[str, Any]:
    """Write the run and its report; return sizes and seconds."""
    with tempfile.TemporaryDirectory() as temporary:
        run = write_run(Path(temporary))
        began = time.perf_counter()
        cpu = time.process_time()
        page = write_report(run)
        record: dict[str, Any] = {
            "individuals": INDIVIDUALS,
            "test_items": TEST,
            "journal_megabytes": round(RunLayout(run).journal.stat().st_size / 1e6, 2),
            "page_megabytes": round(page.stat().st_size / 1e6, 2),
            "write_seconds": round(time.perf_counter() - began, 2),
            "write_processor_seconds": round(time.process_time() - cpu, 2),
        }
        if browser:
            empty = run / "empty.html"
            empty.write_text("<!doctype html><title>empty</title>", encoding="utf-8")
            laps = [(opened(browser, page), opened(browser, empty)) for _ in range(REPEATS)]
            version = subprocess.run(
                [browser, "--version"], capture_output=True, encoding="utf-8", check=True
            ).stdout.strip()
            record |= {
                "browser": version,
                "repeats": REPEATS,
                "other_programs_at_work": round(os.getloadavg()[0], 1),
                "open_seconds": round(median(of[0] for of, _ in laps), 2),
                "empty_page_seconds": round(median(of[0] for _, of in laps), 2),
                "open_processor_seconds": round(median(of[1] for of, _ in laps), 2),
                "empty_page_processor_seconds": round(median(of[1] for _, of in laps), 2),
            }
    return record


def main() -> None:
    """Measure, and write ``results/large_report.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--browser", default=shutil.which("chromium") or "", help="a Chromium; '' = sizes alone")
    parser.add_argument("--keep", type=Path, help="write the run into this folder, and measure nothing")
    parser.add_argument("--dry", action="store_true", help="print, but write no result")
    options = parser.parse_args()
    if options.keep:
        options.keep.mkdir(parents=True)
        print(write_report(write_run(options.keep)))
        return
    record = measure(options.browser)
    print(record, flush=True)
    if not options.dry:
        print(write_result("large_report", {**setting("python -m benchmarks.large_report"), "report": record}))


if __name__ == "__main__":
    main()
