"""Real processes, real signals: whatever strikes, a resumed campaign is the undisturbed one, byte for byte."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.interruptions import finish, gone, lives, unequal
from tests.support.tiers import slow
from tests.support.toy_campaign import ToyCampaign, bytes_of, entries
from tests.support.warm_evolm import KILLED


@pytest.fixture(scope="session")
def undisturbed(evolm: Any, founding: ToyCampaign, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A run that nobody touched: its directory, its seconds, and how often each function was called."""
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    told = evolm("run", founding.folder, "--out", out)
    assert told["exit"] == 0, told["log"]
    return {**told, "out": out}


def check(told: dict[str, Any], out: Path, undisturbed: dict[str, Any]) -> None:
    assert told["exit"] == 0, told["log"]
    assert unequal(out, undisturbed["out"]) == []


def test_a_process_of_its_own_gives_what_this_process_gives(undisturbed: dict[str, Any], finished: Path) -> None:
    assert bytes_of(undisturbed["out"]) == bytes_of(finished)


@pytest.mark.parametrize("eighth", [slow(0), slow(1), slow(2), 3, slow(4), 5, slow(6), slow(7)])
def test_killed_at_a_random_instant_and_resumed_it_equals_the_undisturbed_run(
    evolm: Any, founding: ToyCampaign, undisturbed: dict[str, Any], tmp_path: Path, eighth: int
) -> None:
    """In each eighth of the run's time; twice in two of them."""
    out = tmp_path / "run"
    after = undisturbed["seconds"] * (eighth + random.Random(20 + eighth).random()) / 8
    evolm("run", founding.folder, "--out", out, after=after)
    if eighth % 4 == 3:
        finish(evolm, founding, out, strike={"after": after / 2})
    check(finish(evolm, founding, out), out, undisturbed)


STRIKES = {"fsync": 3, "replace": 4, "unlink": 2, "append": 2, "put": 2}  # function -> places where it is hit
FIRST_STRIKES = [(call, 0) for call in STRIKES]
LATER_STRIKES = [slow(call, number) for call, count in STRIKES.items() for number in range(1, count)]


@pytest.mark.parametrize(("call", "number"), [*FIRST_STRIKES, *LATER_STRIKES])
def test_killed_inside_a_write_and_resumed_it_equals_the_undisturbed_run(
    evolm: Any, founding: ToyCampaign, undisturbed: dict[str, Any], tmp_path: Path, call: str, number: int
) -> None:
    """Checkpoints, the best, the result and the report all go through ``fsync`` and ``replace``.

    The places are random calls, in order, and the last call.
    """
    total = undisturbed["calls"][call]
    places = sorted({total, *random.Random(call).sample(range(1, total), STRIKES[call] - 1)})
    out = tmp_path / "run"
    assert evolm("run", founding.folder, "--out", out, call=call, at=places[number])["exit"] == KILLED
    if number == 0 and call == "replace":
        finish(evolm, founding, out, strike={"call": "replace", "at": 4})
    check(finish(evolm, founding, out), out, undisturbed)


def test_killed_before_its_first_checkpoint_it_begins_again(
    evolm: Any, founding: ToyCampaign, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    assert evolm("run", founding.folder, "--out", out, call="append", at=2)["exit"] == KILLED
    assert len(entries(out)) == 1
    assert not (out / "checkpoint" / "state.json").exists()
    check(evolm("resume", out), out, undisturbed)


def test_killed_before_its_journal_exists_it_can_be_started_or_resumed(
    evolm: Any, founding: ToyCampaign, tmp_path: Path
) -> None:
    """Files were written, but no entry: one of the two commands that a user has must work."""
    out = tmp_path / "run"
    assert evolm("run", founding.folder, "--out", out, call="replace", at=2)["exit"] == KILLED
    assert (out / "founders.jsonl").exists()
    assert not (out / "journal.jsonl").read_bytes()
    resumed = evolm("resume", out)
    if resumed["exit"]:
        again = evolm("run", founding.folder, "--out", out)
        assert again["exit"] == 0, resumed["log"] + again["log"]


@pytest.mark.parametrize("at", [9, slow(20)])
def test_a_torn_last_line_is_survived(
    evolm: Any, founding: ToyCampaign, undisturbed: dict[str, Any], tmp_path: Path, at: int
) -> None:
    out = tmp_path / "run"
    assert evolm("run", founding.folder, "--out", out, call="append", at=at, torn=True)["exit"] == KILLED
    files = [path for path in (out / "journal.jsonl", out / "timing.jsonl") if path.exists()]
    assert any(path.read_bytes() and not path.read_bytes().endswith(b"\n") for path in files)
    check(finish(evolm, founding, out), out, undisturbed)


def test_ctrl_c_saves_exits_with_130_and_says_how_to_go_on(
    evolm: Any, founding: ToyCampaign, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    told = evolm("run", founding.folder, "--out", out, call="put", at=2, signal="SIGINT")
    assert told["exit"] == 130
    assert f"evolm resume {out}" in told["log"]
    assert "Traceback" not in told["log"]
    assert '"event":"interrupt"' in (out / "timing.jsonl").read_text(encoding="utf-8")
    whole = bytes_of(undisturbed["out"])["journal.jsonl"]
    assert whole.startswith((out / "journal.jsonl").read_bytes())
    check(evolm("resume", out), out, undisturbed)


def test_ctrl_c_before_anything_is_written_leaves_nothing(evolm: Any, founding: ToyCampaign, tmp_path: Path) -> None:
    told = evolm("run", founding.folder, "--out", tmp_path / "run", "--dry-run", call="put", at=1, signal="SIGINT")
    assert told["exit"] == 130
    assert "resume" not in told["log"]
    assert "Traceback" not in told["log"]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("strike", "n_jobs"),
    [
        slow({"workers": 2}, 1, id="while workers start"),
        pytest.param({"call": "put", "at": 1}, 1, id="at the first answers"),
        slow({"call": "put", "at": 4}, 2, id="in a later generation"),
    ],
)
def test_workers_end_with_their_killed_parent_and_the_resumed_run_is_that_of_one_worker(
    evolm: Any,
    founding: ToyCampaign,
    undisturbed: dict[str, Any],
    tmp_path: Path,
    strike: dict[str, Any],
    n_jobs: int,
) -> None:
    out = tmp_path / "run"
    told = evolm("run", founding.folder, "--out", out, "--n-jobs", 2, **strike)
    assert told["exit"] == KILLED
    assert len(told["workers"]) >= 2
    try:
        check(finish(evolm, founding, out, "--n-jobs", n_jobs), out, undisturbed)
        ended = gone(told["workers"])
        assert ended, [psutil.Process(pid).cmdline() for pid in told["workers"] if lives(pid)]
    finally:
        for pid in filter(lives, told["workers"]):
            psutil.Process(pid).kill()


@pytest.mark.parametrize(
    "strike",
    [
        pytest.param({"file_limit": 500}, id="campaign.toml"),
        slow({"file_limit": 40000}, id="the answers"),
        slow({"call": "append", "at": 1, "full": True}, id="the journal's head"),
        pytest.param({"call": "append", "at": 12, "full": True}, id="the journal"),
    ],
)
def test_a_full_disk_is_one_sentence_and_the_run_goes_on_when_there_is_room(
    evolm: Any, founding: ToyCampaign, undisturbed: dict[str, Any], tmp_path: Path, strike: dict[str, Any]
) -> None:
    out = tmp_path / "run"
    told = evolm("run", founding.folder, "--out", out, **strike)
    assert told["exit"] == 2 and "Traceback" not in told["log"], told["log"]
    assert "error: " in told["log"]
    check(finish(evolm, founding, out), out, undisturbed)


@pytest.mark.parametrize("kills", [4, slow(20)])
def test_workers_killed_with_their_work_in_hand_change_no_bit(
    evolm: Any, toy: Callable[..., ToyCampaign], tmp_path: Path, kills: int
) -> None:
    settings: dict[str, Any] = {
        "strategy": {"name": "genetic", "population_size": 2},
        "budget": {"evaluations": 18 if kills > 4 else 8},
        "baselines": {"random_search": False},
    }
    undisturbed = toy(**settings).run(tmp_path / "undisturbed").directory
    told = evolm(
        "run", toy(name="toy", **settings).folder, "--out", tmp_path / "run", "--n-jobs", 2, worker_kills=kills
    )
    assert told["exit"] == 0, told["log"]
    assert told["workers_killed"] == kills
    assert bytes_of(tmp_path / "run") == bytes_of(undisturbed)
