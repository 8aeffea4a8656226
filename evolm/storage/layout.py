"""A run's directory: names of its files, its lock, atomic writes."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from evolm.errors import RunError

SCRATCH = ".part"  # ending of files that are being written
# What a run may have written when it was killed before its journal's first entry.
BEFORE_FIRST_ENTRY = {
    "journal.jsonl",
    "timing.jsonl",
    "founders.jsonl",
    "deltas.safetensors",
    "items.json",
    "campaign.toml",
    "data.parquet",
    "answers.sqlite",
    "answers.sqlite-wal",
    "answers.sqlite-shm",
}


@dataclass(frozen=True)
class RunLayout:
    """Where things lie in a run's directory.

    ``campaign.toml`` is the resolved configuration, ``journal.jsonl`` what was tried (no clock in it),
    ``timing.jsonl`` when, ``answers.sqlite`` what the model said, ``checkpoint/`` how to go on, ``best/`` what
    to take home, ``result.json`` and ``report.html`` what to read.
    """

    directory: Path

    @property
    def campaign(self) -> Path:
        return self.directory / "campaign.toml"

    @property
    def data(self) -> Path:
        """Rows that came from Python and not from a file."""
        return self.directory / "data.parquet"

    @property
    def founders(self) -> Path:
        """Records of the founders that the search began with; the vectors of their deltas lie beside it."""
        return self.directory / "founders.jsonl"

    @property
    def journal(self) -> Path:
        return self.directory / "journal.jsonl"

    @property
    def timing(self) -> Path:
        return self.directory / "timing.jsonl"

    @property
    def answers(self) -> Path:
        return self.directory / "answers.sqlite"

    @property
    def checkpoint(self) -> Path:
        return self.directory / "checkpoint"

    @property
    def best(self) -> Path:
        return self.directory / "best"

    @property
    def baselines(self) -> Path:
        """Prompts of the baselines that have one, so that a verdict against the best can be followed."""
        return self.directory / "baselines"

    @property
    def genes(self) -> Path:
        """Vectors of genes of every generation; only where deltas evolve."""
        return self.directory / "genes"

    @property
    def result(self) -> Path:
        return self.directory / "result.json"

    @property
    def test(self) -> Path:
        """What the winner and every baseline answered to each test item, for comparisons between runs."""
        return self.directory / "test.json"

    @property
    def items(self) -> Path:
        """Content keys of the items in each split, and of those that the founders' lineage has seen."""
        return self.directory / "items.json"

    def read_seen(self) -> set[str]:
        """Return the content keys of all items that this run's individuals were selected on or learned from.

        Raises:
            RunError: if the run does not say.
        """
        if not self.items.exists():
            raise RunError(
                f"{self.directory}: expected items.json, which says what its founders have seen; found none"
            )
        splits = json.loads(self.items.read_text())
        seen = {key for split, keys in splits.items() if split != "test" for key in keys}
        return seen - set(splits.get("test", ()))  # two rows of one key: the same words in swapped fields

    @property
    def report(self) -> Path:
        return self.directory / "report.html"

    def create(self) -> None:
        """Make the directory; one in which a run was killed before its first entry is taken over.

        Raises:
            RunError: if it holds anything already, or cannot be made.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            found = sorted(path.name for path in self.directory.iterdir() if path.name != "lock")
            never_began = self.journal.exists() and not self.journal.stat().st_size
        except OSError as error:
            raise RunError(
                f"{self.directory}: expected a place to write the run to: {error.strerror or error}"
            ) from None
        if never_began and all(name in BEFORE_FIRST_ENTRY or name.endswith(SCRATCH) for name in found):
            return
        if self.journal.exists():
            raise RunError(
                f"{self.directory}: expected a new or empty directory, found another run; "
                f"continue it with 'evolm resume {self.directory}' or choose another --out"
            )
        if found:
            raise RunError(f"{self.directory}: expected a new or empty directory, found {found[0]!r} in it")

    def begin(self) -> None:
        """Make the empty journal that marks the directory as a run's, before anything else is written."""
        with disk_errors(self.journal):
            self.journal.touch()

    def clear_scratch(self) -> None:
        """Remove what a killed process was still writing."""
        with disk_errors(self.directory):
            for path in self.directory.rglob(f".*{SCRATCH}"):
                path.unlink(missing_ok=True)

    def require_run(self) -> None:
        """Refuse a directory that holds no run.

        Raises:
            RunError: if ``campaign.toml`` or ``journal.jsonl`` is missing.
        """
        if self.journal.exists() and not self.journal.stat().st_size and not self.campaign.exists():
            raise RunError(f"{self.directory}: the run was stopped before it began; start it again with 'evolm run'")
        for path in (self.campaign, self.journal):
            if not path.exists():
                raise RunError(f"{self.directory}: expected a run's directory, found no {path.name} in it")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep every other process from writing to this run.

        Raises:
            RunError: if another process holds the lock, or it cannot be written.
        """
        lock = FileLock(self.directory / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise RunError(f"{self.directory}: another process is working on this run") from None
        except OSError as error:
            raise RunError(f"{self.directory}: cannot be written to: {error.strerror or error}") from None
        try:
            yield
        finally:
            lock.release()


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what the disk refuses into one sentence."""
    try:
        yield
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror or error}") from None


def write_atomically(path: Path, content: bytes | str, durable: bool = True) -> None:
    """Write a file under a temporary name, flush it to the disk, then rename it.

    Args:
        path: the file; its folder is made if missing.
        content: what it shall hold.
        durable: whether to wait for the disk. A file that was not waited for outlives its process, not a power cut.

    Raises:
        RunError: if the disk refuses; the old file is then untouched.
    """
    data = content.encode() if isinstance(content, str) else content
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}-", suffix=SCRATCH, dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
                stream.flush()
                if durable:
                    os.fsync(stream.fileno())
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
