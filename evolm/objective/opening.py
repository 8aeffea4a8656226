"""Opening an objective's run: a new directory, one to continue, or one of several that share a budget."""

from __future__ import annotations

import hashlib
import itertools
import multiprocessing
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from evolm import config as configuration
from evolm.campaign.build import Components
from evolm.campaign.records import changed_setting
from evolm.campaign.runs import built, write_first
from evolm.errors import RunError
from evolm.objective.campaign import ObjectiveCampaign
from evolm.observers import Observer
from evolm.report import ReportWriter
from evolm.storage import AnswerStore, RunLayout, SharedLedger, disk_errors, read_entries, write_atomically
from evolm.typed import text_of

FREE = ("budget", "evaluation")  # tables that may change when a run is continued


@contextmanager
def objective_run(
    config: configuration.CampaignConfig,
    root: Path,
    out: Path,
    *,
    observers: Sequence[Observer] = (),
    shared: bool = False,
    temporary: bool = False,
    answers: Path | None = None,
    report: bool = True,
    prepare: Callable[[Components], None] = lambda parts: None,
    **sources: Any,
) -> Iterator[ObjectiveCampaign]:
    """Open a run whose individuals are proposed from outside; it is locked while the context lasts.

    Args:
        config: the campaign.
        root: folder that its relative paths start from.
        out: its directory, new or one to continue; with ``shared`` the directory of several runs.
        observers: told about every event.
        shared: whether processes with the same configuration spend the budget together.
        temporary: whether ``out`` is removed with this process, so that the run cannot be continued.
        answers: an answer cache shared with other runs; None = the run's own, or that of the processes.
        report: whether ``report.html`` is written.
        prepare: called with the campaign's objects before any file is made; if it raises, no file is left behind.
        sources: see :func:`evolm.campaign.build.build`.

    Raises:
        EvolmError: for any error that a user can correct.
    """
    parts, files = built(config, root, **sources)
    with ExitStack() as stack:
        try:
            if not shared:
                _refuse_member(out)
            prepare(parts)
            pool = stack.enter_context(_joined(out, _digest(files))) if shared else None
            layout = stack.enter_context(_directory(_own_place(out) if shared else out, files, _model(parts)))
            parts.engine.answers.close()
            parts.engine.answers = AnswerStore(answers or RunLayout(out).answers)
            told = [*([ReportWriter()] if report else []), *observers]
            campaign = ObjectiveCampaign(parts, layout, told, pool, None if temporary else out)
        except BaseException:
            parts.engine.close()
            raise
        stack.callback(campaign.close)
        campaign.open()
        yield campaign


@contextmanager
def _directory(directory: Path, files: Mapping[str, str | bytes], model: str) -> Iterator[RunLayout]:
    """Make a run's directory, or open it to continue; lock it while the context lasts."""
    layout = RunLayout(directory)
    begun = layout.journal.exists() and layout.journal.stat().st_size > 0
    if not begun:
        layout.create()
    with layout.lock():
        if begun:
            _go_on(layout, files, model)
        else:
            write_first(layout, files)
        yield layout


@contextmanager
def _joined(out: Path, configuration: str) -> Iterator[SharedLedger]:
    """Open the budget that processes share in a directory."""
    layout = RunLayout(out)
    if layout.journal.exists():
        raise RunError(f"{out}: expected a directory that processes share, found a run of one process alone")
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        with FileLock(layout.lock_file):  # one process at a time makes the files that all of them open
            AnswerStore(layout.answers).close()
            pool = SharedLedger(layout.ledger, configuration)
    with closing(pool):
        yield pool


def _refuse_member(out: Path) -> None:
    """Raise if ``out`` belongs to processes that share a budget: opened alone, it would spend the budget again."""
    shared = out.resolve().parent
    if RunLayout(shared).ledger.exists():
        raise RunError(
            f"{out}: expected a run of one process alone, found a directory of processes that share a budget; open "
            f"it with out={shared}, shared=True"
        )


def _own_place(out: Path) -> Path:
    """Make and return a directory for this process, named after it."""
    name = multiprocessing.current_process().name
    for number in itertools.count(1):
        directory = out / f"{name}-{number}"
        try:
            directory.mkdir()
        except FileExistsError:
            continue
        return directory
    raise AssertionError  # numbers never end


def _digest(files: Mapping[str, str | bytes]) -> str:
    """Return 16 hexadecimal digits over the files that must be equal in all processes."""
    total = hashlib.sha256()
    for name in sorted(files):
        content = files[name]
        total.update(name.encode() + (content.encode() if isinstance(content, str) else content))
    return total.hexdigest()[:16]


def _model(parts: Components) -> str:
    return parts.model.prepared.fingerprint


def _go_on(layout: RunLayout, files: Mapping[str, str | bytes], model: str) -> None:
    """Compare the configuration with that of the run, and write the new budget and the model's new place.

    Args:
        layout: the run.
        files: of a new run with this configuration.
        model: fingerprint of the model, which may have moved.

    Raises:
        RunError: naming the table that changed.
    """
    layout.require_run()
    layout.clear_scratch()
    text = str(files[configuration.FILE_NAME])
    before, now = configuration.read_tables(layout.campaign), tomllib.loads(text)
    head = next(read_entries(layout.journal), {})
    same_model = head.get("model", {}).get("fingerprint") == model
    for table in sorted(before.keys() | now.keys()):
        was, found = before.get(table), now.get(table)
        if table == "model" and same_model:
            was, found = _unplaced(was), _unplaced(found)
        if table not in FREE and was != found:
            raise changed_setting(layout.directory, table, was, found)
    if text_of(layout.founders) != files[layout.founders.name]:
        raise RunError(
            f"{layout.directory}: founders changed since the run began: expected those of {layout.founders}"
        )
    if before != now:
        write_atomically(layout.campaign, text)


def _unplaced(table: Any) -> Any:
    """Return ``[model]`` without the keys that say where the model is."""
    return {key: value for key, value in table.items() if key not in ("name", "revision")}


__all__ = ["objective_run"]
