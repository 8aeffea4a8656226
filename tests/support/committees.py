"""A finished run of the toy campaign whose winner is a committee."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.once import SharedFolder
from tests.support.toy_campaign import ToyCampaign, quick, result_of, write_campaign

CHANGES: dict[str, Any] = {
    "space": {"prompt": {"demonstrations": [0, 2], "max_tokens": 240}, "readout": {"kinds": ["linear", "words"]}},
    "budget__evaluations": 10,
    "baselines": dict.fromkeys(("few_shot", "prior_corrected", "probe", "bag_of_words", "random_search"), False),
    "finals": {"committee": 5},
}
SEEDS = (3, 4, *range(3), *range(5, 25))  # whether a committee wins is a matter of a few rows


def write_committee_campaign(folder: Path, model: Path, seed: int) -> ToyCampaign:
    """Write the campaign into a folder."""
    return write_campaign(folder, model, **CHANGES, seed=seed)


def committee_run(shared: SharedFolder, model: Path) -> Path:
    """Return a folder with the campaign, ``toy``, and its finished ``run``, which a committee won."""

    def build(folder: Path) -> None:
        for seed in SEEDS:
            with quick():
                run = write_committee_campaign(folder / "toy", model, seed).run(folder / f"run-{seed}")
            if run.result["committee"]:
                (folder / f"run-{seed}").rename(folder / "run")
                return
        raise AssertionError(f"no committee won with any of the seeds {SEEDS}")

    return shared.once("committee", build)


def members_of_run(run: Path) -> list[dict[str, Any]]:
    """Return the members of a run's committee."""
    members: list[dict[str, Any]] = result_of(run)["committee"]["members"]
    return members
