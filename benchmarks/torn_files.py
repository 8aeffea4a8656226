"""Files of a run that end too early, as trials of :mod:`benchmarks.faults`."""

from __future__ import annotations

import contextlib
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.fault_ground import Ground, Outcome
from evolm.errors import RunError
from evolm.storage import AnswerStore, RunLayout, read_checkpoint
from evolm.storage.layout import ANSWERS, CHECKPOINT, JOURNAL

WAL = f"{ANSWERS}-wal"
FRAME_HEAD = 24  # bytes of a frame of SQLite's write-ahead log before its page
EXPECTED = "found a damaged file"
JOURNAL_TRIALS = 20  # among which the offsets of the last record are divided
RESUMED = 8  # of the offsets of a file of answers


def killed_before_the_last_record(ground: Ground) -> Path:
    """Return a run that was killed before its journal's last record was written."""
    whole, campaign = ground.whole("short"), ground.campaign("short")
    expected = b"".join((whole.out / JOURNAL).read_bytes().splitlines(keepends=True)[:-1])

    def build(folder: Path) -> None:
        for at in range(whole.calls["append"], 0, -1):
            out = folder / "run"
            shutil.rmtree(out, ignore_errors=True)
            ground.evolm("run", campaign.folder, "--out", out, call="append", at=at)
            if (out / JOURNAL).read_bytes() == expected:
                return
        raise SystemExit("short: expected a run that lacks its last record, found none")

    return ground.once("last-record", build) / "run"


def last_record(ground: Ground) -> bytes:
    return (ground.whole("short").out / JOURNAL).read_bytes().splitlines(keepends=True)[-1]


def journal_torn(ground: Ground, number: int, rng: random.Random) -> Outcome:
    """The journal ends within its last record: every offset is resumed by a process of its own."""
    base, record = killed_before_the_last_record(ground), last_record(ground)
    offsets = range(number, len(record), JOURNAL_TRIALS)
    outcome = Outcome(f"{JOURNAL}, bytes {offsets[0]}, {offsets[1]} ... of {len(record)}", tried=len(offsets))
    for offset in offsets:
        out = ground.work / "run"
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(base, out)
        with (out / JOURNAL).open("ab") as stream:
            stream.write(record[:offset])
        ground.judge(outcome, "short", out)
    return outcome


def refuses(use: Callable[[], object]) -> bool:
    """Return whether a damaged file is refused in one sentence."""
    try:
        use()
    except RunError as error:
        return EXPECTED in str(error) and "\n" not in str(error)
    return False


def checkpoint_torn(ground: Ground, number: int, rng: random.Random) -> Outcome:
    """Both files of a checkpoint, cut off at every byte, are refused; without it the run begins again.

    What is left is the same for all of them, so the run is resumed once.
    """
    out = Path(shutil.copytree(killed_before_the_last_record(ground), ground.work / "run"))
    folder = out / CHECKPOINT
    files = {path: path.read_bytes() for path in sorted(folder.iterdir())}
    outcome = Outcome(CHECKPOINT, tried=sum(map(len, files.values())))
    refused = []
    for path, content in files.items():
        for offset in range(len(content)):
            path.write_bytes(content[:offset])
            refused.append((path.name, offset, refuses(lambda: read_checkpoint(folder))))
        path.write_bytes(content)
    shutil.rmtree(folder)
    again = ground.judge(Outcome(CHECKPOINT), "short", out)
    for name, offset, done in refused:
        outcome.add(done and again.survived == 1, again.equal == 1, f"{name}, byte {offset}: {again.lost}")
    return outcome


def checkpoint_half_written(ground: Ground, number: int, rng: random.Random) -> Outcome:
    """A new checkpoint's temporary file of every length is removed, and the old one is read."""
    out = Path(shutil.copytree(killed_before_the_last_record(ground), ground.work / "run"))
    folder, layout = out / CHECKPOINT, RunLayout(out)
    old = {path.name: path.read_bytes() for path in folder.iterdir()}
    state, content = read_checkpoint(folder), (folder / "state.json").read_bytes()
    outcome = Outcome(f"{CHECKPOINT}, temporary file", tried=len(content) + 1)
    again = ground.judge(Outcome(CHECKPOINT), "short", Path(shutil.copytree(out, ground.work / "again")))
    for length in range(len(content) + 1):
        (folder / ".state.json-0123456789ab.part").write_bytes(content[:length])
        layout.clear_scratch()
        left = {path.name: path.read_bytes() for path in folder.iterdir()}
        same = str(read_checkpoint(folder)) == str(state)
        outcome.add(same and again.survived == 1, left == old and again.equal == 1, f"{length} bytes: {again.lost}")
    return outcome


@contextlib.contextmanager
def cut_answers(ground: Ground, name: str, content: dict[str, bytes], length: int) -> Iterator[Path]:
    """Lend the files of a store of answers, one of them cut off."""
    folder = ground.work / "store"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for file, whole in content.items():
        (folder / file).write_bytes(whole[:length] if file == name else whole)
    yield folder / ANSWERS


def all_answers(files: dict[str, bytes], folder: Path) -> dict[bytes, bytes]:
    """Return what a store's files hold."""
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    store = AnswerStore(folder / ANSWERS)
    keys = [row[0] for row in store._connection.execute("SELECT key FROM answers")]
    found = store.get(keys)
    store.close()
    return found


def answers_torn(name: str) -> Callable[[Ground, int, random.Random], Outcome]:
    """Return the trial of a file of the answers that is cut off at every byte of its last frame or page.

    At every byte the store is opened, read and filled again; at eight of them, the run goes on with it.
    """

    def strike(ground: Ground, number: int, rng: random.Random) -> Outcome:
        base = killed_before_the_last_record(ground)
        files = {path.name: path.read_bytes() for path in base.glob(f"{ANSWERS}*") if not path.name.endswith("-shm")}
        if name == ANSWERS:  # the database alone, as after the process has closed it
            files = {ANSWERS: closed(files, ground.work / "closed")}
        true = all_answers(files, ground.work / "whole")
        size = len(files[name])
        begin = size - int.from_bytes(files[ANSWERS][16:18], "big") - (FRAME_HEAD if name == WAL else 0)
        outcome = Outcome(f"{name}, bytes {begin} to {size}", tried=size - begin)
        for length in range(begin, size):
            with cut_answers(ground, name, files, length) as path:
                outcome.add(*repaired(path, true), f"{length} bytes")
        for length in range(begin, size, (size - begin) // RESUMED):
            outcome.tried += 1
            out = ground.work / "run"
            shutil.rmtree(out, ignore_errors=True)
            shutil.copytree(base, out, ignore=shutil.ignore_patterns(f"{ANSWERS}*"))
            for file, whole in files.items():
                (out / file).write_bytes(whole[:length] if file == name else whole)
            if refuses(lambda path=out / ANSWERS: AnswerStore(path).get(list(true))):
                for path in out.glob(f"{ANSWERS}*"):
                    path.unlink()  # as the sentence says
            ground.judge(outcome, "short", out)
        return outcome

    return strike


def closed(files: dict[str, bytes], folder: Path) -> bytes:
    """Return the database after its log was written into it."""
    all_answers(files, folder)
    return (folder / ANSWERS).read_bytes()


def repaired(path: Path, true: dict[bytes, bytes]) -> tuple[bool, bool]:
    """Use a damaged store, deleted if the sentence says so; return whether that works, and if answers are true."""
    if refuses(lambda: AnswerStore(path).get(list(true))):
        for file in path.parent.iterdir():
            file.unlink()
    try:
        store = AnswerStore(path)
        right = all(true[key] == answer for key, answer in store.get(list(true)).items())
        store.put(true)
        right = right and store.get(list(true)) == true
        store.close()
    except RunError:
        return False, False
    return True, right
