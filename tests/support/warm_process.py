"""Imports everything once, then forks a process per order: a real ``evolm`` without four seconds of imports.

Orders come as JSON lines: ``arguments`` of the command line, ``log`` for its output, and a ``strike``:

- ``after``: seconds until the parent sends the signal;
- ``spent``: processor seconds of the process and its workers after which the parent sends the signal;
- ``call`` and ``at``: before the so-manieth call of a function of ``CALLS``, the process signals itself;
- ``torn``: before the signal, half of the journal's next line is written;
- ``full``: instead of a signal, the journal's file is from now on ``/dev/full``, where every write fails;
- ``filler``: instead of a signal, a file of this name fills its file system;
- ``signal``: ``"SIGKILL"`` unless told otherwise, sent ``times`` times, or once to the process and its workers if
  ``group`` is true;
- ``sleep``: seconds that the call takes longer after the signal;
- ``ignored``: a signal that the process ignores from its beginning, as under ``nohup``;
- ``workers``: strike as soon as so many worker processes exist;
- ``worker_kills``: so many workers die in all, see :func:`kill_workers`;
- ``file_limit``: the most bytes a file may have: the disk refuses the rest, as a full one does;
- ``folder``: in which the process runs;
- ``encoding``: of standard output and error, UTF-8 unless told otherwise;
- ``locale``: of the process, such as ``"C"``, whose encoding files get that are opened without one.

The answer holds the exit code (negative: the signal that ended it), ``seconds``, ``processor`` seconds, how often
each function of ``CALLS`` was called, the process ids of workers at the strike, and ``workers_killed``.
"""

from __future__ import annotations

import atexit
import json
import locale
import os
import resource
import signal
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import matplotlib.backends.backend_svg
import psutil
import scipy.stats
from joblib.externals.loky.backend.context import set_start_method

import evolm.cli
from evolm.campaign import preview
from evolm.evaluation import engine, executors, worker
from evolm.evaluation.executors import JoblibExecutor
from evolm.evaluation.racing import Race
from evolm.storage import AnswerStore, Journal
from tests.support.small_disks import fill_disk
from tests.support.toy_campaign import quick

QUICK = quick()
QUICK.__enter__()
LOADED = (matplotlib.backends.backend_svg, scipy.stats, preview, engine)

# Where a strike may hit: name -> the object and the attribute that are wrapped.
CALLS: dict[str, tuple[Any, str]] = {
    "fsync": (os, "fsync"),
    "replace": (os, "replace"),
    "unlink": (Path, "unlink"),
    "append": (Journal, "append"),
    "put": (AnswerStore, "put"),
    "look of a race": (Race, "_losers"),  # the answers of a look are known, and no candidate is dropped yet
    "look of a halving": (Race, "_worse_half"),
}


def kill_workers(count: int, orders: Path, dead: Path) -> None:
    """Let ``count`` workers die by SIGKILL with a batch answered and not yet handed over.

    At most two die in a call of the executor, both at once. They are forked with the model at hand, not started
    anew: only that is fast enough for so many.
    """
    orders.mkdir()
    dead.mkdir()
    run, answer = JoblibExecutor.run, executors.answer_in_worker

    def run_with_orders(self: JoblibExecutor, batches: Sequence[Any]) -> Iterator[Any]:
        worker._model(self._spec)
        begun = len(list(dead.iterdir()))
        for number in range(begun, min(begun + min(len(batches), 2), count)):
            (orders / str(number)).touch()
        yield from run(self, batches)

    def answer_and_die(spec: Any, batch: Any) -> Any:
        result = answer(spec, batch)
        for order in orders.iterdir():
            try:
                order.rename(dead / order.name)
            except FileNotFoundError:
                continue  # another worker was faster
            while any(orders.iterdir()):  # until the other one has its work done
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    JoblibExecutor.run = run_with_orders  # type: ignore[method-assign]
    executors.answer_in_worker = answer_and_die
    warnings.filterwarnings("ignore", message="`fork` start method", category=UserWarning)
    set_start_method("fork", force=True)


class Strikes:
    """Wraps the functions of ``CALLS`` and signals this process at the chosen call."""

    def __init__(self, strike: dict[str, Any], report: Path) -> None:
        self.strike = strike
        self.report = report
        self.counts: Counter[str] = Counter()
        for name, (owner, attribute) in CALLS.items():
            setattr(owner, attribute, self._wrapped(name, getattr(owner, attribute)))
        if workers := strike.get("workers"):
            threading.Thread(target=self._when_workers, args=(workers,), daemon=True).start()
        self.dead = report.with_suffix(".dead")
        if kills := strike.get("worker_kills"):
            kill_workers(kills, report.with_suffix(".orders"), self.dead)
        if limit := strike.get("file_limit"):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    def _wrapped(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            self.counts[name] += 1
            if name == self.strike.get("call") and self.counts[name] == self.strike["at"]:
                if self.strike.get("torn"):
                    journal, entry = arguments
                    line = json.dumps(entry).encode()
                    os.write(journal._stream.fileno(), line[: len(line) // 2])
                if self.strike.get("full"):
                    os.dup2(os.open("/dev/full", os.O_WRONLY), arguments[0]._stream.fileno())
                elif filler := self.strike.get("filler"):
                    fill_disk(Path(filler))
                else:
                    self.hit()
                    time.sleep(self.strike.get("sleep", 0))
            return function(*arguments, **keywords)

        return call

    def _when_workers(self, count: int) -> None:
        while len(self._workers()) < count:
            time.sleep(0.01)
        self.hit()

    @staticmethod
    def _workers() -> list[int]:
        return [child.pid for child in psutil.Process().children(recursive=True)]

    def hit(self) -> None:
        self.write()
        number = getattr(signal, self.strike.get("signal", "SIGKILL"))
        for _ in range(self.strike.get("times", 1)):
            if self.strike.get("group"):
                os.killpg(0, number)
            else:
                os.kill(os.getpid(), number)

    def write(self) -> None:
        killed = len(list(self.dead.iterdir())) if self.dead.exists() else 0
        told = {"calls": self.counts, "workers": self._workers(), "workers_killed": killed}
        self.report.write_text(json.dumps(told), encoding="utf-8")


def child(order: dict[str, Any], report: Path) -> None:
    """Be ``evolm`` until the end of this process."""
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(0)
    encoding = order["strike"].get("encoding", "utf-8")
    sys.stdout = open(1, "w", buffering=1, closefd=False, encoding=encoding)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False, encoding=encoding)  # noqa: SIM115
    if chosen := order["strike"].get("locale"):
        locale.setlocale(locale.LC_ALL, chosen)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):  # the tests themselves may run under nohup
        signal.signal(number, signal.SIG_DFL)
    os.chdir(order["strike"].get("folder", "."))
    if ignored := order["strike"].get("ignored"):
        signal.signal(getattr(signal, ignored), signal.SIG_IGN)
    if order["strike"].get("group"):
        os.setpgid(0, 0)
    sys.argv = ["evolm", *order["arguments"]]
    strikes = Strikes(order["strike"], report)
    code = 1
    try:
        evolm.cli.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        if "file_limit" not in order["strike"]:
            strikes.write()
        atexit._run_exitfuncs()  # as in a process that was not forked
        os._exit(code)


def wait_until_spent(pid: int, seconds: float) -> None:
    """Wait until a process and its children have spent so many processor seconds, or it has ended."""
    process = psutil.Process(pid)
    while process.status() != psutil.STATUS_ZOMBIE:
        spent = 0.0
        for each in (process, *process.children(recursive=True)):
            with suppress(psutil.Error):
                spent += sum(each.cpu_times()[:2])
        if spent >= seconds:
            return
        time.sleep(0.02)


def carry_out(order: dict[str, Any]) -> dict[str, Any]:
    """Fork a process for an order and wait for its end."""
    report = Path(order["log"] + ".json")
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        child(order, report)
    strike = order["strike"]
    if "after" in strike or "spent" in strike:
        time.sleep(strike.get("after", 0))
        wait_until_spent(pid, strike.get("spent", 0))
        os.kill(pid, getattr(signal, strike.get("signal", "SIGKILL")))  # a zombie, if it was faster, takes no harm
    _, status, usage = os.wait4(pid, 0)
    processor = usage.ru_utime + usage.ru_stime
    seconds = time.monotonic() - began
    told = json.loads(report.read_text(encoding="utf-8")) if report.exists() else {}
    return {"exit": os.waitstatus_to_exitcode(status), "seconds": seconds, "processor": processor, **told}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(carry_out(json.loads(line))), flush=True)
