"""A run's directory: the names of its files, and its lock.

This module is the only one that knows a run's file names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from evolm.config import FILE_NAME, FRAME
from evolm.errors import RunError
from evolm.storage.damage import damaged, read_record
from evolm.storage.files import SCRATCH, disk_errors, occupied, require_new
from evolm.storage.links import refuse_ways_out
from evolm.storage.unpacked import parquet_table
from evolm.wording import shell_word

if TYPE_CHECKING:
    import pandas as pd

CAMPAIGN = FILE_NAME
DATA = "data.parquet"
FOUNDERS = "founders.jsonl"
DELTAS = "deltas.safetensors"
ITEMS = "items.json"
JOURNAL = "journal.jsonl"
TIMING = "timing.jsonl"
ANSWERS = "answers.sqlite"
LEDGER = "ledger.sqlite"
LOCK = "lock"
CHECKPOINT = "checkpoint"
GENES = "genes"
BEST = "best"
PROMPT = "prompt.txt"
MEMBERS = "members"  # of a committee
BASELINES = "baselines"
RESULT = "result.json"
TEST = "test.json"
REPORT = "report.html"

# Files that a run may have when it is killed before its journal's first entry.
BEFORE_FIRST_ENTRY = {
    JOURNAL,
    TIMING,
    FOUNDERS,
    DELTAS,
    ITEMS,
    CAMPAIGN,
    DATA,
    ANSWERS,
    f"{ANSWERS}-wal",
    f"{ANSWERS}-shm",
}


@dataclass(frozen=True)
class RunLayout:
    """The files and folders of a run's directory.

    ``campaign.toml`` holds the resolved configuration, ``journal.jsonl`` every individual (no clock in it),
    ``timing.jsonl`` times and counts, ``answers.sqlite`` the model's answers, ``checkpoint/`` the state from which a
    run is resumed, ``best/`` the winner to take home, ``result.json`` and ``report.html`` the results to read.
    """

    directory: Path

    @property
    def campaign(self) -> Path:
        return self.directory / CAMPAIGN

    @property
    def data(self) -> Path:
        """Rows that were passed from Python."""
        return self.directory / DATA

    @property
    def founders(self) -> Path:
        """Records of the founders that the search began with."""
        return self.directory / FOUNDERS

    @property
    def deltas(self) -> Path:
        """Vectors of the founders' deltas."""
        return self.directory / DELTAS

    @property
    def journal(self) -> Path:
        return self.directory / JOURNAL

    @property
    def timing(self) -> Path:
        return self.directory / TIMING

    @property
    def answers(self) -> Path:
        return self.directory / ANSWERS

    @property
    def ledger(self) -> Path:
        """The budget that several processes share; in the directory above their runs."""
        return self.directory / LEDGER

    @property
    def lock_file(self) -> Path:
        return self.directory / LOCK

    @property
    def checkpoint(self) -> Path:
        return self.directory / CHECKPOINT

    @property
    def best(self) -> Path:
        return self.directory / BEST

    @property
    def prompt(self) -> Path:
        """The best prompt so far, as text; missing if the best is a committee."""
        return self.best / PROMPT

    @property
    def member_prompts(self) -> list[Path]:
        """The prompts of a committee's members, as text, in order; none if the best is no committee."""
        found = (self.best / MEMBERS).glob(f"*/{PROMPT}")
        return sorted(found, key=lambda path: (len(path.parent.name), path.parent.name))

    @property
    def baselines(self) -> Path:
        """Prompts of the baselines that have one: the verdict may advise to keep one of them."""
        return self.directory / BASELINES

    @property
    def genes(self) -> Path:
        """Vectors of genes of every generation; missing if no vectors evolve."""
        return self.directory / GENES

    @property
    def result(self) -> Path:
        return self.directory / RESULT

    @property
    def test(self) -> Path:
        """Answers of the winner and of every baseline to each test item, for comparisons between runs."""
        return self.directory / TEST

    @property
    def items(self) -> Path:
        """Content keys of the items in each split, and of those that the founders' lineage has seen."""
        return self.directory / ITEMS

    def read_seen(self) -> set[str]:
        """Return the content keys of all items that this run's individuals were selected on or learned from.

        Raises:
            RunError: if the run has no ``items.json``, or a damaged one.
        """
        expected = "the list of items that the run's founders have seen"
        splits = read_record(self.items, expected)
        with damaged(self.items, expected):
            seen = {str(key) for split, keys in splits.items() if split != "test" for key in keys}
            return seen - set(splits.get("test", ()))  # two rows of one key: the same words in swapped fields

    def read_data(self, source: object) -> pd.DataFrame | None:
        """Return the rows that were passed from Python; None if the run's rows are in a file of their own.

        Args:
            source: ``task.data`` of the run's campaign.

        Raises:
            RunError: if the file is missing or damaged.
        """
        if not self.data.exists() and source != FRAME:
            return None
        with damaged(self.data, "the rows that the run was given"):
            return parquet_table(self.data.read_bytes()).to_pandas()

    @property
    def report(self) -> Path:
        return self.directory / REPORT

    def require_free(self) -> None:
        """Raise, before anything slow happens, if no run can begin in the directory.

        A directory whose run was killed before its journal's first entry is used again.

        Raises:
            RunError: if it holds any other file, or cannot be made.
        """
        if not occupied(self.directory):
            require_new(self.directory, "folder")
            return
        refuse_ways_out(self.directory)
        with disk_errors(self.directory):
            found = sorted(path.name for path in self.directory.iterdir() if path.name != LOCK)
            never_began = self.journal.exists() and not self.journal.stat().st_size
        if never_began and all(name in BEFORE_FIRST_ENTRY or name.endswith(SCRATCH) for name in found):
            return
        if self.journal.exists():
            raise RunError(
                f"{self.directory}: expected a new or empty directory, found another run; "
                f"continue it with 'evolm resume {shell_word(self.directory)}' or choose another --out"
            )
        if found:
            raise RunError(f"{self.directory}: expected a new or empty directory, found {found[0]!r} in it")

    def create(self) -> None:
        """Make the directory, unless it is there and a run can begin in it.

        Raises:
            RunError: see :meth:`require_free`.
        """
        self.require_free()
        with disk_errors(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)

    def begin(self) -> None:
        """Make the empty journal that marks the directory as a run's, before anything else is written."""
        with disk_errors(self.journal):
            self.journal.touch()

    def clear_scratch(self) -> None:
        """Remove files that a killed process had not finished writing."""
        with disk_errors(self.directory):
            for path in self.directory.rglob(f".*{SCRATCH}"):
                path.unlink(missing_ok=True)

    def require_journal(self) -> None:
        """Refuse a directory that a report cannot be made from.

        Raises:
            RunError: if ``journal.jsonl`` is missing, or a symbolic link in the directory leads out of it.
        """
        if not self.journal.is_file():
            raise RunError(f"{self.directory}: expected a run's directory, found no {self.journal.name} in it")
        refuse_ways_out(self.directory)

    def require_run(self) -> None:
        """Raise if the directory holds no run.

        Raises:
            RunError: if ``campaign.toml`` or ``journal.jsonl`` is missing, or a symbolic link leads out of it.
        """
        if self.journal.exists() and not self.journal.stat().st_size and not self.campaign.exists():
            raise RunError(f"{self.directory}: the run was stopped before it began; start it again with 'evolm run'")
        for path in (self.campaign, self.journal):
            if not path.is_file():
                raise RunError(f"{self.directory}: expected a run's directory, found no {path.name} in it")
        refuse_ways_out(self.directory)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep every other process from writing to this run.

        Raises:
            RunError: if another process holds the lock, it cannot be written, or a symbolic link leads out of the
                directory.
        """
        refuse_ways_out(self.directory)
        try:
            # Every user who may write to the directory may lock it; filelock's default was 0o644. It refuses a mode
            # without its owner's permissions, which the mode of a read-only directory lacks.
            lock = FileLock(self.lock_file, mode=self.directory.stat().st_mode & 0o666 | 0o600)
            lock.acquire(timeout=0)
        except Timeout:
            raise RunError(
                f"{self.directory}: expected a run that nothing else works on, found another process "
                "working on this run"
            ) from None
        except OSError as error:
            raise RunError(f"{self.lock_file}: cannot be written to: {error.strerror or error}") from None
        try:
            yield
        finally:
            lock.release()


def find_runs(directories: Sequence[Path]) -> list[Path]:
    """Return the runs that directories are, or hold at any depth.

    Raises:
        RunError: if a directory neither is nor holds a run.
    """
    found: list[Path] = []
    for directory in directories:
        inside = sorted(path.parent for path in directory.rglob(JOURNAL))
        if not inside:
            found_none = f"no {JOURNAL} in it" if directory.exists() else "none"
            raise RunError(f"{directory}: expected a run's directory or one that holds some, found {found_none}")
        found += inside
    return found
