"""The files of a run: journal, timing, checkpoint, best, baselines and result.

The journal holds no clock; times, host and the engine's counts go to ``timing.jsonl``.
"""

from __future__ import annotations

import json
import logging
import platform
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evolm.artifacts import committee_folder, prompt_folder, replace_prompts
from evolm.campaign.build import Components
from evolm.campaign.records import require_same_run
from evolm.campaign.search import Search
from evolm.campaign.verdict import Verdict
from evolm.errors import RunError
from evolm.evaluation.results import OtherProfile
from evolm.evaluation.usage import Usage
from evolm.genomes import Committee, Genome, Winner, members_of
from evolm.storage import (
    Journal,
    RunLayout,
    read_checkpoint,
    read_entries,
    read_placed,
    write_atomically,
    write_checkpoint,
)
from evolm.storage.checkpoint import CONTENT, start_again
from evolm.storage.damage import damaged, read_record

logger = logging.getLogger("evolm")

Record = dict[str, Any]


class RunRecorder:
    """Writes a run's files.

    Args:
        parts: the campaign's objects.
        layout: the run's directory, locked by the caller.
    """

    def __init__(self, parts: Components, layout: RunLayout) -> None:
        self.parts = parts
        self.layout = layout
        self.journal = Journal(layout.journal)
        self.timing = Journal(layout.timing)
        self._seconds_before = 0.0
        self._began = time.monotonic()
        self._others_told = 0  # of the engine's workers with other numeric profiles

    # -- clock and counts ----------------------------------------------------------------------------------

    @property
    def seconds(self) -> float:
        """Seconds spent, interruptions excluded."""
        return self._seconds_before + time.monotonic() - self._began

    def continue_counts(self, seconds: float, usage: Usage) -> None:
        """Add an earlier process's seconds and engine counts to those of this one."""
        self._seconds_before = seconds
        self.parts.engine.usage = usage

    def clock(self, event: str, evaluations: int, search: Search | None = None) -> None:
        """Append an event to the timing file.

        Args:
            event: start, resume, generation, interrupt or finish.
            evaluations: spent by the main search.
            search: the search whose generation ended.
        """
        self.timing.append(
            {
                "event": event,
                "time": datetime.now(UTC).isoformat(timespec="seconds"),
                "search": search.name if search else None,
                "generation": search.generation if search else None,
                "seconds": round(self.seconds, 3),
                "evaluations": evaluations,
                **self.parts.engine.usage.to_record(),
                "n_jobs": self.parts.engine.executor.n_jobs,
                "host": platform.node(),
            }
        )

    # -- journal and checkpoint ----------------------------------------------------------------------------

    def begin(self, head: Record) -> None:
        """Empty the journal and write its first entry."""
        self.journal.truncate(0)
        self.journal.append(head)

    def require_same(self, head: Record) -> None:
        """Compare the journal's first entry with the head of the campaign that is to continue the run.

        Raises:
            RunError: if data, model or settings changed since the run began.
        """
        before = next(read_entries(self.layout.journal), {})
        with damaged(self.layout.journal, "the run's settings in its first line"):
            require_same_run(before, head, self.layout.directory)
        if before.get("profile") != head["profile"]:
            logger.warning(
                "This machine or its libraries differ from those the run began on: scores may differ in their "
                "last bits, and answers are computed anew."
            )

    def write_checkpoint(self, state: Record) -> None:
        """Save ``state``, the journal's length and the counts, once the disk has the journal."""
        self.tell_others()
        self.journal.sync()
        counts: Record = {"seconds": self.seconds, "usage": self.parts.engine.usage.to_record()}
        if others := self.parts.engine.others:
            counts["other_profiles"] = [asdict(other) for other in others]
        write_checkpoint(self.layout.checkpoint, {"offset": self.journal.offset, **state, **counts})

    def read_checkpoint(self) -> Record | None:
        """Return the last checkpoint; None if there is none."""
        return read_checkpoint(self.layout.checkpoint)

    def damaged_checkpoint(self) -> AbstractContextManager[None]:
        """Turn errors of using a checkpoint's values into a sentence; see :func:`evolm.storage.damage.damaged`."""
        return damaged(self.layout.checkpoint, CONTENT, start_again(self.layout.checkpoint))

    def require_whole(self, checkpoint: Record) -> None:
        """Raise RunError if the journal does not have as many bytes of whole entries as a checkpoint says."""
        with self.damaged_checkpoint():
            offset = int(checkpoint["offset"])
        if all(end != offset for _, end in read_placed(self.layout.journal)):
            raise RunError(
                f"{self.layout.journal}: expected entries up to byte {offset}, as the checkpoint says, found "
                f"{self.layout.journal.stat().st_size} bytes: it is damaged, and the run cannot be continued; "
                f"{start_again(self.layout.checkpoint)}"
            )

    def resume(self, checkpoint: Record) -> None:
        """Cut the journal to the checkpoint's length, and continue the counts."""
        self.journal.truncate(checkpoint["offset"])
        self.continue_counts(checkpoint["seconds"], Usage(**checkpoint["usage"]))
        others = self.parts.engine.others
        others.update((OtherProfile(**other), None) for other in checkpoint.get("other_profiles", ()))
        self._others_told = len(others)

    def tell_others(self) -> None:
        """Write the workers with other numeric profiles into the journal that answered since the last call."""
        for other in list(self.parts.engine.others)[self._others_told :]:
            profile = json.loads(other.profile)
            self.journal.append({"type": "other_profile", "host": other.host, "profile": profile})
            self._others_told += 1

    # -- results -------------------------------------------------------------------------------------------

    def write_best(self, winner: Winner) -> None:
        """Write ``best/``."""
        self._write_winner(winner, self.layout.best)

    def write_baselines(self, winners: Mapping[str, Winner]) -> None:
        """Write the folders of baselines that can be applied, since a claim may advise to keep one, and no others."""
        for name, winner in winners.items():
            self._write_winner(winner, self.layout.baselines / name)
        for folder in self.layout.baselines.glob("*"):
            if folder.name not in winners:
                replace_prompts(folder, {})

    def write_result(self, result: Record, verdict: Verdict | None) -> None:
        """Write what the test split showed, then ``result.json``.

        Args:
            result: the result's record.
            verdict: None if there is no test split.
        """
        if verdict:
            write_atomically(self.layout.test, json.dumps(verdict.outcomes, ensure_ascii=False) + "\n")
        write_atomically(self.layout.result, _result_text(result))

    def read_result(self) -> Record:
        """Return a finished run's result; if its file is missing, it is written again from the journal.

        Raises:
            RunError: if the file is damaged.
        """
        path = self.layout.result
        verdicts = [entry for entry in read_entries(self.layout.journal) if entry.get("type") == "verdict"]
        if verdicts and not path.exists():
            result = {key: value for key, value in verdicts[-1].items() if key != "type"}
            result["budget"]["seconds"] = round(self.seconds, 3)
            write_atomically(path, _result_text(result))
        return read_record(path, "the run's result", "if it is deleted, 'evolm resume' writes it again")

    def _write_winner(self, winner: Winner, folder: Path) -> None:
        folders = [self._prompt_folder(genome) for genome in members_of(winner)]
        files = committee_folder(winner.weights, folders) if isinstance(winner, Committee) else folders[0]
        replace_prompts(folder, files)

    def _prompt_folder(self, genome: Genome) -> dict[str, str | bytes]:
        parts = self.parts
        return prompt_folder(
            genome, parts.space, parts.task, parts.model, parts.config, parts.scoring.labels, parts.engine
        )

    def close(self) -> None:
        """Close journal and timing file."""
        self.journal.close()
        self.timing.close()


def _result_text(result: Record) -> str:
    return json.dumps(result, ensure_ascii=False, indent=2) + "\n"
