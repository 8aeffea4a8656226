"""Faults, counted: what strikes a run on the tiny model, how often the run went on to its end, and with which bytes.

    python -m benchmarks.faults                       the missing trials; the table is written if none is missing
    python -m benchmarks.faults --only SIGKILL        one fault's trials only; nothing is written
    python -m benchmarks.faults --most 20             at most so many trials now; nothing is written
    python -m benchmarks.faults --write               no trials: the table of the finished ones is written

A trial strikes a run once, goes on as a user would (``evolm resume``, or ``evolm run`` if nothing had begun), and
compares the journal, the best and the result with those of an undisturbed run, byte for byte. Finished trials are
kept in ``trials.jsonl`` below ``--out``; trials of another commit are refused. Signals come at moments that are
uniform in the processor seconds which the undisturbed run and its workers spent; the seed of a trial and what it
struck are printed. What was lost stays in the folder ``lost``. Processes are forked from one that has imported
everything, draw no figures, and resample little. ``results/faults.json`` has the numbers. Disks are filled on a small
tmpfs, which needs permission to mount.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.setting import setting, write_result
from evolm.storage import Journal, read_entries, read_placed
from evolm.wording import markdown_table

SEED = 0
OUT = Path("runs/benchmarks/faults")
TRIALS = "trials.jsonl"
COUNTS = ("tried", "survived", "equal")
COMMAND = "python -m benchmarks.faults"


def read_trials(out: Path, commit: str | None = None) -> list[dict[str, Any]]:
    """Return the finished trials.

    Args:
        out: where they lie.
        commit: that all of them must be of; None for the first one's.

    Raises:
        SystemExit: if some are of another commit.
    """
    path = out / TRIALS
    found = list(read_entries(path)) if path.exists() else []
    commit = commit or next((trial["commit"] for trial in found), "")
    if others := {trial["commit"] for trial in found} - {commit}:
        raise SystemExit(
            f"{path}: expected trials of commit {commit}, found {', '.join(others)}; choose another --out"
        )
    return found


def keep(out: Path, trial: Mapping[str, Any]) -> None:
    """Add a trial to the finished ones; half a line of a benchmark that was killed is removed."""
    path = out / TRIALS
    ends = [end for _, end in read_placed(path)] if path.exists() else []
    journal = Journal(path)
    journal.truncate(ends[-1] if ends else 0)
    journal.append(dict(trial))
    journal.close()


def counted(trials: Iterable[Mapping[str, Any]], planned: Mapping[str, tuple[str, int]]) -> list[dict[str, Any]]:
    """Return a row per fault: its title, its trials, the sums of ``COUNTS``, and the reasons of what was lost.

    Args:
        trials: finished ones, in any order.
        planned: fault -> title and number of trials, in the order of the rows.
    """
    rows = []
    for fault, (title, count) in planned.items():
        own = [trial for trial in trials if trial["fault"] == fault]
        sums = {key: sum(trial[key] for trial in own) for key in COUNTS}
        lost = [reason for trial in own for reason in trial["lost"]]
        rows.append({"fault": fault, "title": title, "trials": len(own), "planned": count, **sums, "lost": lost})
    return rows


def by_campaign(trials: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row per fault, campaign and number of workers of the trials that have a campaign."""
    groups: dict[tuple[str, str, int], list[Mapping[str, Any]]] = {}
    for trial in trials:
        if trial["campaign"]:
            groups.setdefault((trial["fault"], trial["campaign"], trial["n_jobs"]), []).append(trial)
    return [
        {"fault": fault, "campaign": campaign, "n_jobs": n_jobs, **{key: sum(t[key] for t in own) for key in COUNTS}}
        for (fault, campaign, n_jobs), own in sorted(groups.items())
    ]


def markdown(found: Mapping[str, Any]) -> str:
    """Return the tables of the page."""
    rows = [
        (
            row["title"],
            f"{row['trials']} of {row['planned']}",
            *(str(row[key]) for key in COUNTS),
            str(row["tried"] - row["equal"]),
        )
        for row in found["faults"]
    ]
    table = markdown_table(("fault", "trials", "faults tried", "survived", "byte-equal", "lost"), rows)
    cells = [
        (row["fault"], row["campaign"], str(row["n_jobs"]), *(str(row[key]) for key in COUNTS))
        for row in found["campaigns"]
    ]
    return f"{table}\n\n{markdown_table(('fault', 'campaign', 'workers', 'tried', 'survived', 'byte-equal'), cells)}"


def run_trials(out: Path, commit: str, only: Sequence[str], most: int | None) -> list[dict[str, Any]]:
    """Run the missing trials and return all finished ones.

    Raises:
        SystemExit: if ``only`` names an unknown fault, or finished trials are of another commit.
    """
    os.environ |= {"EVOLM_CACHE": str((out / "cache").resolve()), "HF_HUB_OFFLINE": "1"}
    from benchmarks.fault_trials import FAULTS, Ground  # imports pytest and the tests' small campaigns

    if unknown := [name for name in only if name not in FAULTS]:
        raise SystemExit(f"--only {unknown[0]}: expected one of {', '.join(FAULTS)}")
    trials = read_trials(out, commit)
    finished = {(trial["fault"], trial["number"]) for trial in trials}
    missing = [
        (fault, number)
        for fault, row in FAULTS.items()
        for number in range(row.count)
        if (fault, number) not in finished and (not only or fault in only)
    ]
    missing.sort(key=lambda trial: trial[1] / FAULTS[trial[0]].count)  # all faults advance evenly
    with Ground(out.resolve()) as ground:
        for fault, number in missing[:most]:
            seed = f"{SEED}-{fault}-{number}"
            outcome = ground.trial(FAULTS[fault].strike, number, seed)
            trial = {"fault": fault, "number": number, "seed": seed, "commit": commit, **outcome.record()}
            keep(out, trial)
            trials.append(trial)
            lost = "; ".join(outcome.lost) or "nothing"
            print(f"seed {seed}: {outcome.struck}: {outcome.equal} of {outcome.tried} equal, lost {lost}", flush=True)
    return trials


def main() -> None:
    """Run the missing trials; print the table, and write the numbers if no trial is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], help="a fault; may be given several times")
    parser.add_argument("--most", type=int, default=None, metavar="N", help="number of trials to run now")
    parser.add_argument("--write", action="store_true", help="write the table of the finished trials, and run none")
    parser.add_argument("--out", type=Path, default=OUT, help="where the trials lie")
    arguments = parser.parse_args()
    if arguments.most is not None and arguments.most < 1:
        parser.error(f"--most {arguments.most}: expected 1 or more")
    arguments.out.mkdir(parents=True, exist_ok=True)
    conditions = setting(COMMAND)
    if arguments.write:
        trials = read_trials(arguments.out)
        conditions["commit"] = trials[0]["commit"] if trials else conditions["commit"]
    else:
        trials = run_trials(arguments.out, conditions["commit"], arguments.only, arguments.most)
    from benchmarks.fault_trials import FAULTS

    rows = counted(trials, {name: (fault.title, fault.count) for name, fault in FAULTS.items()})
    found = {**conditions, "seed": SEED, "faults": rows, "campaigns": by_campaign(trials)}
    print(markdown(found))
    if arguments.write or len(trials) == sum(fault.count for fault in FAULTS.values()):
        print(f"Written to {write_result('faults', found)}")


if __name__ == "__main__":
    main()
