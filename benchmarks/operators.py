"""How language operators fare beside the model-free ones whose place they would take.

    python -m benchmarks.operators [--quick] [--seeds 2]

Campaigns of the sms-spam population, for every seed one of mutations and one of crossovers, each of one generation of
founders' children (so that many texts grow side by side). A child is made by a single operator: with equal chances
one of the two language operators or any of the model-free ones, these in proportion to their default weights. Where
a language operator has nothing to offer, because an instruction is empty or its text was refused, a model-free
one stands in and has the credit.

Fitness is measured on dev rows of the demo's own split; its validation and test rows are left out of the data, so
nothing is decided on them. A run that was interrupted goes on, a finished one is read; runs of other code are not.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd
from scipy.stats import binomtest
from statsmodels.stats.proportion import confint_proportions_2indep

import evolm
from benchmarks.setting import NO_BASELINES, setting, write_result
from evolm.campaign import continue_run, start_run
from evolm.config import CampaignConfig, load, overlay, validate
from evolm.genomes import PROMPT, PromptSpace
from evolm.operators import OPERATORS, Rates, operators_for
from evolm.storage import RunLayout, read_entries
from evolm.tasks import load_task
from evolm.wording import markdown_table

POPULATION = Path(__file__).parents[1] / "populations" / "sms-spam"
RUNS = Path("runs") / "benchmarks" / "operators"
FIRST_SEED = 100
DEV = 40  # items
FOUNDERS, CHILDREN = 12, 28
PROBABILITIES = {  # every child by one operator
    "mutation": {"crossover_prob": 0.0, "mutation_prob": 1.0},
    "crossover": {"crossover_prob": 1.0, "mutation_prob": 0.0},
}
MODEL_FREE = "all model-free"


def folder_of_this_code() -> Path:
    """Return a folder for runs, named by a hash of all source, so that measurements of other code are not reused."""
    digest = hashlib.sha256()
    for path in (Path(__file__), *sorted(Path(evolm.__file__).parent.rglob("*.py"))):
        digest.update(path.read_bytes())
    return RUNS / digest.hexdigest()[:12]


def write_data(folder: Path) -> None:
    """Write the demo's founders, and train and dev rows of its split, into a folder."""
    demo = load(POPULATION / "campaign.toml")
    task = load_task(demo.task, demo.template, root=POPULATION)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(POPULATION / "founders.jsonl", folder)
    for name, items in (("train", task.train), ("dev", task.dev[:DEV])):
        rows = [{**item.fields, "label": item.gold} for item in items]
        pd.DataFrame(rows).to_csv(folder / f"{name}.csv", index=False)


def campaign(role: str, seed: int, children: int) -> CampaignConfig:
    """Return the demo's campaign on those rows, with language operators of one role and without baselines."""
    known = [operator for operator in operators_for({PROMPT: PromptSpace}) if operator.role == role]
    model_free = sum(operator.weight for operator in known if not operator.asks_model)
    tables = load(POPULATION / "campaign.toml").model_dump(by_alias=True, mode="json")
    tables["task"]["columns"] = {"text": "text", "label": "label"}
    tables["task"]["labels"] = {}
    changes = {
        "seed": seed,
        "task": {"data": {"train": "train.csv", "dev": "dev.csv"}},
        "strategy": {"offspring": children, **PROBABILITIES[role]},
        "operators": {operator.name: model_free for operator in known if operator.asks_model},
        "budget": {"evaluations": FOUNDERS + children},
        "baselines": NO_BASELINES,
    }
    return validate(CampaignConfig, overlay(tables, changes), "benchmarks.operators")


def measure(folder: Path, role: str, seed: int, children: int) -> dict[str, Rates]:
    """Run or resume a campaign, and return its operators' rates."""
    out = RunLayout(folder / f"{role}-{seed}-{children}")
    answers = folder / "answers.sqlite"
    if not out.journal.exists():
        start_run(campaign(role, seed, children), folder, out.directory, answers=answers)
    elif not out.result.exists():
        continue_run(out.directory, answers=answers)
    rates = next(entry["rates"] for entry in read_entries(out.journal) if entry["type"] == "operators")
    return {name: Rates(**values) for name, values in rates.items() if OPERATORS[name].role == role}


def added(rates: Sequence[Rates]) -> Rates:
    """Return the sums of all counts."""
    return Rates(*(sum(getattr(rate, field.name) for rate in rates) for field in fields(Rates)))


def share(part: int, whole: int) -> list[float] | None:
    """Return a share and its 95 % interval (Wilson 1927); None of nothing."""
    if not whole:
        return None
    interval = binomtest(part, whole).proportion_ci(0.95, "wilson")
    return [round(value, 4) for value in (part / whole, interval.low, interval.high)]


def advantage(rates: Rates, others: Rates) -> list[float] | None:
    """Return how much more often children are better than with others, and its 95 % interval (Newcombe 1998)."""
    if not rates.evaluated or not others.evaluated:
        return None
    difference = rates.better / rates.evaluated - others.better / others.evaluated
    counts = (rates.better, rates.evaluated, others.better, others.evaluated)
    interval = confint_proportions_2indep(*counts, method="newcomb")
    return [round(float(value), 4) for value in (difference, *interval)]


def summary(role: str, rates: dict[str, Rates]) -> dict[str, Any]:
    """Return counts, shares with intervals and the advantage over the model-free operators of a role."""
    free = added([rate for name, rate in rates.items() if not OPERATORS[name].asks_model])
    return {
        name: {
            "role": role,
            **rate.to_record(),
            "acceptance": share(rate.accepted, rate.tried),
            "child_better": share(rate.better, rate.evaluated),
            "advantage": advantage(rate, free) if name in OPERATORS and OPERATORS[name].asks_model else None,
        }
        for name, rate in {**rates, MODEL_FREE: free}.items()
    }


def percent(values: Sequence[float] | None, sign: str = "") -> str:
    """Return a share and its interval for people."""
    if values is None:
        return ""
    value, low, high = (f"{100 * value:{sign}.0f}" for value in values)
    return f"{value} [{low}, {high}]"


def markdown(measured: dict[str, dict[str, Any]]) -> str:
    """Return the table of all operators; shares in percent."""
    header = ("operator", "role", "tried", "stood in for", "accepted", "child better", "more often than model-free")
    rows = [
        (
            name,
            row["role"],
            str(row["tried"]),
            str(row["fallback"]),
            percent(row["acceptance"]),
            percent(row["child_better"]),
            percent(row["advantage"], "+"),
        )
        for of_role in measured.values()
        for name, row in of_role.items()
    ]
    return markdown_table(header, rows)


def main() -> None:
    """Measure, print, write results/operators.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="one seed, half the children; writes operators-quick.json"
    )
    parser.add_argument("--seeds", type=int, default=2, help=f"how many, from {FIRST_SEED}")
    arguments = parser.parse_args()
    seeds = range(FIRST_SEED, FIRST_SEED + (1 if arguments.quick else arguments.seeds))
    children = CHILDREN // 2 if arguments.quick else CHILDREN
    folder = folder_of_this_code()
    write_data(folder)
    measured = {}
    for role in PROBABILITIES:
        runs = [measure(folder, role, seed, children) for seed in seeds]
        measured[role] = summary(role, {name: added([run[name] for run in runs]) for name in runs[0]})
    record = {
        **setting("python -m benchmarks.operators"),
        "seeds": list(seeds),
        "dev_items": DEV,
        "founders": FOUNDERS,
        "children": children,
        "measured": measured,
    }
    path = write_result("operators-quick" if arguments.quick else "operators", record)
    print(markdown(measured))
    print(f"Written to {path.name}")


if __name__ == "__main__":
    main()
