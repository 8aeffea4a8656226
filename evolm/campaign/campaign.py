"""The campaign: searches, then finals and the verdict; every generation ends with a checkpoint.

A campaign is a straight line: the main search, stage by stage, the searches of baselines at the same budget, the
finals, the test split.
Its position follows from its checkpoint alone, so a run that was killed at any moment continues after its last saved
generation, finds the answers that it had already in the cache, and writes the same journal, byte for byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evolm.campaign.build import Components
from evolm.campaign.conclusion import conclude, require_evaluated
from evolm.campaign.forecasts import headroom_entry
from evolm.campaign.notifier import Notifier
from evolm.campaign.recorder import RunRecorder
from evolm.campaign.records import head_record, phase_of, progress_of
from evolm.campaign.search import Search
from evolm.campaign.searches import baseline_budget, baseline_searches, main_search, run_search
from evolm.campaign.stage_line import StageLine
from evolm.campaign.stopping import SearchStop
from evolm.config import BudgetSection
from evolm.errors import Interrupted
from evolm.interrupts import interruptible
from evolm.observers import OPERATORS, SCORING, VERDICT, Observer, Phase
from evolm.storage import RunLayout
from evolm.wording import shell_word


class Campaign:
    """Runs a campaign's objects in a directory.

    Args:
        parts: the campaign's objects.
        layout: its directory, locked by the caller.
        observers: told about every event.
        grace: seconds from the first signal to the end at once; None = as long as the current batch takes.
    """

    def __init__(
        self,
        parts: Components,
        layout: RunLayout,
        observers: Sequence[Observer] = (),
        grace: float | None = None,
    ) -> None:
        self.parts = parts
        self._grace = grace
        self.recorder = RunRecorder(parts, layout)
        self.notifier = Notifier(
            observers, f"the run is saved, go on with 'evolm resume {shell_word(layout.directory)}'"
        )
        self.stop = SearchStop(parts.config.budget)
        self.main = main_search(parts, self.recorder)
        self.stages = StageLine(parts, self.main)
        self.searches = [self.main, *baseline_searches(parts, self.recorder)]
        self.openings = 0  # of the test split
        self.finished = False
        self.resumed = False
        parts.engine.progress = self._tell_requests

    # -- opening -------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Begin, or continue after the last checkpoint.

        Raises:
            RunError: if the directory's run had other data, another model or other settings.
        """
        checkpoint, head = self.recorder.read_checkpoint(), head_record(self.parts, self.main)
        if checkpoint is None:
            self.recorder.begin(head)
            self._journal_stage()
            self._clock("start")
            self._save()
            return
        self.recorder.require_whole(checkpoint)
        self.recorder.require_same(head)
        self.resumed = True
        with self.recorder.damaged_checkpoint():
            self.recorder.resume(checkpoint)
            self._restore(checkpoint)
        self._clock("resume")

    def _restore(self, checkpoint: dict[str, Any]) -> None:
        self.stages.load_state_dict(checkpoint["stage"])
        for search in self.searches:
            if search.name in checkpoint["searches"]:
                search.load_state_dict(checkpoint["searches"][search.name])
        self.openings, self.finished = checkpoint["openings"], checkpoint["finished"]
        self.stop.restore(checkpoint["stop"])

    # -- the line ------------------------------------------------------------------------------------------

    def run(self) -> dict[str, Any]:
        """Run to the end and return the result.

        Raises:
            Interrupted: after Ctrl-C, everything saved.
            EvolmError: if a search finds nothing valid, a worker keeps dying, or the disk refuses.
        """
        with interruptible(self.parts.engine, self._grace):
            self.notifier.tell_start(
                self.recorder, self.main, self.stop, resumed=self.resumed, finished=self.finished
            )
            try:
                result = self._result()
            except Exception as error:
                if isinstance(error, Interrupted):
                    self._clock("interrupt")
                self.notifier.tell_error(error)
                raise
        self.notifier.tell("on_end", result)
        return result

    def _result(self) -> dict[str, Any]:
        """Run what is left of the line, and return the result."""
        self._run_stages()
        self.stop.closed = True
        for search in self.searches[1:]:
            self._run_search(search, baseline_budget(search.name, self.parts.config.budget, self.main))
        if self.finished:  # by an earlier process: its observers need not have heard the verdict
            return self.recorder.read_result()
        self.notifier.tell("on_phase", Phase(VERDICT, seconds=self.recorder.seconds))
        result = conclude(self.parts, self.searches, self.recorder, self.openings + 1, self.stop.reason)
        self.openings, self.finished = self.openings + 1, True
        self._clock("finish")
        self._save()
        return result

    def _run_stages(self) -> None:
        """Run the main search to the end of its last stage, or until it is stopped."""
        self._run_search(self.main, self.stages.budget)
        while not (self.stages.is_last or self.stop.reason):
            require_evaluated(self.main, self.recorder)
            self.stages.advance()
            self._journal_stage()
            self._save()
            self._run_search(self.main, self.stages.budget)

    def _journal_stage(self) -> None:
        if self.parts.config.stage is not None:
            self.recorder.journal.append(self.stages.entry())

    def _stage_of(self, search: Search) -> str:
        return self.stages.title if search is self.main else ""

    def _run_search(self, search: Search, budget: BudgetSection) -> None:
        self.notifier.tell("on_phase", phase_of(search, budget, self.recorder.seconds, self._stage_of(search)))
        run_search(
            search,
            budget,
            self.recorder,
            lambda improved: self._after_generation(search, budget, improved),
            lambda: self.stop.reason if search is self.main else "",
        )

    def _after_generation(self, search: Search, budget: BudgetSection, improved: bool) -> None:
        """Tell a generation, make a request to stop part of the run, and save."""
        self.finished = False
        if improved and search is self.main and search.archive.best:
            self.recorder.write_best(search.archive.best.genome)
        usage = self.parts.engine.usage.to_record()
        headroom = headroom_entry(search, budget) if search is self.main else None
        if headroom:
            self.recorder.journal.append(headroom)
        stage = self._stage_of(search)
        progress = progress_of(search, budget, usage, self.recorder.seconds, improved, headroom, stage)
        self.notifier.tell_generation(search.asked, progress)
        if search is self.main and (entry := self.stop.settle(search)):
            self.recorder.journal.append(entry)
        self._clock("generation", search)
        self._save()
        self.notifier.tell("on_saved")

    # -- saving and telling --------------------------------------------------------------------------------

    def _save(self) -> None:
        self.recorder.write_checkpoint(
            {
                "searches": {search.name: search.state_dict() for search in self.searches},
                "stage": self.stages.state_dict(),
                "openings": self.openings,
                "finished": self.finished,
                "stop": self.stop.entry,
            }
        )

    def _clock(self, event: str, search: Search | None = None) -> None:
        self.recorder.clock(event, self.main.ledger.evaluations, search)

    def _tell_requests(self, done: int, total: int) -> None:
        purpose = OPERATORS if any(search.asking for search in self.searches) else SCORING
        self.notifier.tell("on_requests", done, total, purpose)

    def close(self) -> None:
        """Close files, cache and workers."""
        self.recorder.close()
        self.parts.engine.close()
