"""SIGTERM and SIGHUP end a command as Ctrl-C does: real processes, real signals."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evolm.observers import Observer
from evolm.signals import ENDING, Stopped, end_in_order, exit_code
from tests.campaign.test_kill import check
from tests.support.interruptions import gone
from tests.support.tiers import slow
from tests.support.toy_campaign import ToyCampaign

CODES = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}


def expect_in_order(told: dict[str, Any], code: int, *sentences: str) -> None:
    """Expect the exit code of a signal, the sentences, and no output of a library."""
    assert told["exit"] == code, told["log"]
    assert all(sentence in told["log"] for sentence in sentences), told["log"]
    assert not any(word in told["log"] for word in ("Traceback", "Warning", "leaked", "tracker")), told["log"]
    assert gone(told["workers"])


@pytest.mark.parametrize(
    ("name", "n_jobs", "group"),
    [
        ("SIGTERM", 1, False),
        slow("SIGHUP", 1, False),
        slow("SIGTERM", 2, False),
        slow("SIGHUP", 2, False),
        slow("SIGTERM", 2, True),
        slow("SIGHUP", 2, True),
        slow("SIGINT", 2, True),
    ],
)
def test_a_signal_finishes_the_batch_saves_and_says_how_to_go_on(
    evolm: Any, founding: ToyCampaign, finished: Path, tmp_path: Path, name: str, n_jobs: int, group: bool
) -> None:
    """A process group is signalled by a terminal that closes, and by most job schedulers."""
    out, strike = tmp_path / "run", {"call": "put", "at": 2, "signal": name, "group": group}
    told = evolm("run", founding.folder, "--out", out, "--n-jobs", n_jobs, **strike)
    expect_in_order(told, CODES[name], "Stopping after the current batch", f"Stopped. Go on with: evolm resume {out}")
    assert '"event":"interrupt"' in (out / "timing.jsonl").read_text(encoding="utf-8")
    check(evolm("resume", out), out, {"out": finished})


@pytest.mark.parametrize(
    ("name", "n_jobs"), [("SIGTERM", 1), slow("SIGHUP", 1), slow("SIGTERM", 2), slow("SIGHUP", 2), slow("SIGINT", 2)]
)
def test_a_second_signal_ends_at_once_and_the_run_can_be_resumed(
    evolm: Any, founding: ToyCampaign, finished: Path, tmp_path: Path, name: str, n_jobs: int
) -> None:
    out, strike = tmp_path / "run", {"call": "put", "at": 2, "signal": name, "times": 2}
    told = evolm("run", founding.folder, "--out", out, "--n-jobs", n_jobs, **strike)
    expect_in_order(told, CODES[name], f"Stopped. Go on with: evolm resume {out}")
    assert '"event":"interrupt"' not in (out / "timing.jsonl").read_text(encoding="utf-8")
    check(evolm("resume", out), out, {"out": finished})


def test_a_signal_that_is_ignored_as_under_nohup_stays_ignored(
    evolm: Any, founding: ToyCampaign, finished: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    told = evolm("run", founding.folder, "--out", out, call="put", at=2, signal="SIGHUP", ignored="SIGHUP")
    check(told, out, {"out": finished})


@pytest.mark.parametrize("name", ["SIGTERM", slow("SIGHUP")])
def test_a_signal_before_anything_is_written_leaves_nothing(
    evolm: Any, founding: ToyCampaign, tmp_path: Path, name: str
) -> None:
    told = evolm("run", founding.folder, "--out", tmp_path / "run", "--dry-run", call="put", at=1, signal=name)
    expect_in_order(told, CODES[name], "Stopped.")
    assert not (tmp_path / "run").exists()


@pytest.fixture
def handlers_as_they_were() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in ENDING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers_as_they_were")
def test_a_program_that_imports_evolm_keeps_its_handlers(founding: ToyCampaign, tmp_path: Path) -> None:
    heard: list[int] = []

    def own(number: int, frame: Any) -> None:
        heard.append(number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, own)

    class Sender(Observer):
        def on_requests(self, done: int, total: int, purpose: str) -> None:
            if not heard:
                signal.raise_signal(signal.SIGTERM)

    founding.run(tmp_path / "run", observers=[Sender()])
    assert heard == [signal.SIGTERM]
    assert signal.getsignal(signal.SIGTERM) is own and signal.getsignal(signal.SIGHUP) is own
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("handlers_as_they_were")
def test_the_command_line_handles_what_nothing_else_handles() -> None:
    def own(number: int, frame: Any) -> None:
        pass

    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, own)
    end_in_order()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGTERM) is own
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_in_order()
    with pytest.raises(Stopped) as stopped:
        signal.raise_signal(signal.SIGTERM)
    assert exit_code(stopped.value) == CODES["SIGTERM"]
