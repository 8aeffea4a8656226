"""The campaign: searches, then the verdict; every step journalled, every generation a checkpoint.

A campaign is a straight line: the main search, random search at the same budget, the finals, the test split.
Where it stands follows from its checkpoint alone, so a run that was killed at any moment goes on from its last
generation, finds the answers it already had in the cache, and writes the same journal, byte for byte.
"""

from __future__ import annotations

import json
import logging
import platform
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evolm.archives import Front
from evolm.artifacts import best_files
from evolm.baselines import searching_baselines
from evolm.campaign.build import Components
from evolm.campaign.checks import rules_of
from evolm.campaign.finals import Final, finals_of
from evolm.campaign.observers import Observer, Progress
from evolm.campaign.search import Search
from evolm.campaign.verdict import claim, run_verdict
from evolm.config import BudgetSection
from evolm.errors import ConfigError, EvolmError, Interrupted, RunError, ScorerError
from evolm.evaluation.usage import Usage
from evolm.genomes import deltas_of
from evolm.individual import Individual
from evolm.randomness import derive_seed
from evolm.report import write_report
from evolm.searches import MAIN
from evolm.storage import (
    GeneStore,
    Journal,
    RunLayout,
    read_checkpoint,
    read_entries,
    write_atomically,
    write_checkpoint,
)

logger = logging.getLogger("evolm")


class Campaign:
    """Runs built parts in a directory.

    Args:
        parts: the campaign's objects.
        layout: its directory, locked by the caller.
        observers: told about every event.
    """

    def __init__(self, parts: Components, layout: RunLayout, observers: Sequence[Observer] = ()) -> None:
        self.parts = parts
        self.layout = layout
        self.observers = observers
        self.journal = Journal(layout.journal)
        self.timing = Journal(layout.timing)
        config = parts.config
        self.searches = [self._search(MAIN, config.strategy), *self._baselines()]
        self.openings = 0
        self.finished = False
        self.resumed = False
        self._stop: dict[str, Any] | None = None  # the journal's entry about a callback that ended the main search
        self._wish = ""  # the same before the generation at hand is saved
        self._searching = True
        self._seconds_before = 0.0
        self._began = time.monotonic()
        parts.engine.progress = self._on_requests

    def _search(self, name: str, table: dict[str, Any]) -> Search:
        parts, config = self.parts, self.parts.config
        return Search(
            name,
            parts.strategy(table, derive_seed(name, config.seed)),
            parts.evaluator,
            parts.task.dev,
            self.journal,
            config.fitness.pick if config.fitness.combine == "pareto" else None,
            GeneStore(self.layout.genes),
            rules_of(config.evaluation),
        )

    def _baselines(self) -> list[Search]:
        """Return searches that nothing was asked of yet."""
        config = self.parts.config
        own = searching_baselines(config.baselines, config.strategy.get("name", ""))
        return [self._search(baseline.name, dict(baseline.strategy or {})) for baseline in own]

    # -- where it stands -----------------------------------------------------------------------------------

    @property
    def main(self) -> Search:
        """The search that the campaign is about."""
        return self.searches[0]

    @property
    def seconds(self) -> float:
        """Seconds spent, interruptions excluded."""
        return self._seconds_before + time.monotonic() - self._began

    @property
    def way_on(self) -> str:
        """What becomes of this run where something fails, and what people do to go on with it."""
        return f"the run is saved, go on with 'evolm resume {self.layout.directory}'"

    @property
    def stopped(self) -> str:
        """Why a callback ended the main search; ``""`` where none did."""
        return str(self._stop["reason"]) if self._stop else ""

    def stop(self, reason: str) -> None:
        """End the main search after the generation at hand; for callbacks.

        Baselines then get what was spent, and the verdict is reached. The reason is in the checkpoint, the journal,
        the result and the report; the first one counts. A baseline cannot be stopped: it would get less than the
        search that is compared with it. A raised budget takes the stop back.

        Raises:
            ConfigError: if no reason is given.
        """
        if not isinstance(reason, str) or not reason.strip():
            raise ConfigError(f"campaign.stop: expected a reason in words, found {reason!r}")
        if not self._searching:
            logger.info("Not stopped (%s): the main search is over, and baselines get what it spent", reason)
            return
        self._wish = self._wish or reason

    def budget_of(self, search: Search) -> BudgetSection:
        """Return a search's limits: the campaign's own, or for a baseline what the main search spent."""
        budget = self.parts.config.budget
        if search is self.main:
            return budget
        spent = self.main.ledger
        tokens = spent.tokens if budget.tokens else 0
        if self.main.race and budget.items:  # which buy the more evaluations the more of them are cut short
            return BudgetSection(evaluations=budget.evaluations, items=spent.items, tokens=tokens)
        return BudgetSection(evaluations=spent.evaluations, tokens=tokens)

    def open(self) -> None:
        """Begin, or go on from the checkpoint.

        Raises:
            RunError: if the directory's run had other data, another model or other settings.
        """
        state = read_checkpoint(self.layout.checkpoint)
        head = self._head()
        if state is None:
            self.journal.truncate(0)
            self.journal.append(head)
            self._clock("start")
            self._checkpoint()
            return
        self._require_same(head)
        self.resumed = True
        self.journal.truncate(state["offset"])
        for search in self.searches:
            if search.name in state["searches"]:
                search.load_state_dict(state["searches"][search.name])
        self.openings, self.finished = state["openings"], state["finished"]
        self._take_stop(state.get("stop"))
        self._seconds_before = state["seconds"]
        self.parts.engine.usage = Usage(**state["usage"])
        self._clock("resume")

    def _head(self) -> dict[str, Any]:
        parts, config = self.parts, self.parts.config
        scorers = {
            name: {"weight": weight, "needs_gold": scorer.needs_gold, **scorer.describe()}
            for name, (scorer, weight) in parts.evaluator.scorers.items()
        }
        return {
            "type": "run",
            "schema": 1,
            "name": config.name or parts.task.name,
            "seed": config.seed,
            "model": self._model_record(),
            "profile": parts.model.profile.to_record(),
            "task": {
                **self._task_record(),
                "fingerprint": parts.task.fingerprint,
                "notes": list(parts.task.notes),
            },
            "strategy": {
                "name": config.strategy.get("name", "genetic"),
                **self.main.strategy.params.model_dump(),
            },
            "scorers": scorers,
            "fitness": config.fitness.model_dump(),
            "normalization": parts.scoring.labels.normalization if parts.scoring.labels else None,
            "chat_template": parts.model.chat,
            "founders": len(parts.founders.genomes),
            "operators": {operator.name: weight for operator, weight in self.main.strategy.variation.operators},
            "space": deltas.describe() if (deltas := deltas_of(parts.space)) else None,
            "budget": config.budget.model_dump(),
            "racing": self.main.race.rules.to_record() if self.main.race else None,
        }

    def _model_record(self) -> dict[str, str]:
        prepared = self.parts.model.prepared
        return {"name": prepared.name, "fingerprint": prepared.fingerprint, "dtype": prepared.dtype}

    def _task_record(self) -> dict[str, Any]:
        task = self.parts.task
        return {
            "name": task.name,
            "kind": task.kind,
            "metric": task.metric,
            "gold": "audit" if task.audited else "use" if task.has_gold else None,
            "labels": list(task.labels),
            "splits": task.splits(),
        }

    def _require_same(self, head: dict[str, Any]) -> None:
        """Refuse to go on where the journal's head says that something else was run."""
        before = next(read_entries(self.layout.journal), {})
        head = json.loads(json.dumps(head))  # as the journal says it: tuples are lists
        where = self.layout.directory
        for section, key, what in (
            ("task", "fingerprint", "the data"),
            ("model", "fingerprint", "the model"),
            ("model", "dtype", "the model's dtype"),
        ):
            was, found = before.get(section, {}).get(key), head[section][key]
            if was != found:
                raise RunError(
                    f"{where}: {what} changed since the run began: expected {str(was)[:16]}, found {str(found)[:16]}"
                )
        for key in ("strategy", "scorers", "operators", "space", "seed", "founders", "racing"):
            if before.get(key) != head[key]:
                raise RunError(
                    f"{where}: {key} changed since the run began: expected {before.get(key)}, found {head[key]}"
                )
        if before.get("profile") != head["profile"]:
            logger.warning(
                "This machine or its libraries differ from those the run began on: scores may differ in their "
                "last bits, and answers are computed anew."
            )

    # -- the line ------------------------------------------------------------------------------------------

    def run(self) -> dict[str, Any]:
        """Run to the end and return the result.

        Raises:
            Interrupted: after Ctrl-C, everything saved.
            EvolmError: if a search finds nothing valid, a worker keeps dying, or the disk refuses.
        """
        with self._interruptible():
            self._tell("on_start", self)
            try:
                for search in self.searches:
                    self._tell("on_phase", search.name)
                    self.run_search(search)
                    self._searching = False
                if self.finished:  # an observer may not have heard of it: its tracker was down, or it is a new one
                    result = self._read_result()
                else:
                    self._tell("on_phase", "verdict")
                    result = self.conclude()
            except Interrupted:
                self._clock("interrupt")
                raise
            except ScorerError:
                write_report(self.layout.directory)
                raise
        self._tell("on_end", result)
        return result

    def run_search(self, search: Search) -> None:
        """Run a search until its budget is spent."""
        while True:
            budget = self.budget_of(search)
            # Whatever the clock says, a search has a first generation: without one there is nothing to judge.
            reason = search.over(budget, self.seconds if search.ledger.evaluations else 0.0)
            if search is self.main:
                reason = self.stopped or reason
            if reason:
                logger.info("%s: %s", search.name, reason)
                return
            self.finished = False
            improved = search.step(budget)
            if improved and search is self.main and search.archive.best:
                self._write_prompt(search.archive.best.genome, self.layout.best)
            self._announce(search, improved)
            self._clock("generation", search)
            self._checkpoint()
            write_report(self.layout.directory)

    def _announce(self, search: Search, improved: bool) -> None:
        """Tell of a generation, and make a callback's wish to stop part of the run, to be saved with it."""
        for individual in search.asked:
            self._tell("on_evaluation", individual)
        self._tell("on_generation", self._progress(search, improved))
        if not self._wish or search is not self.main:
            return
        self._stop = {
            "type": "stop",
            "search": search.name,
            "generation": search.strategy.generation,
            "evaluations": search.ledger.evaluations,
            "budget": self.parts.config.budget.model_dump(),
            "reason": self._wish,
        }
        self.journal.append(self._stop)

    def _take_stop(self, entry: dict[str, Any] | None) -> None:
        """Stay stopped where an earlier process was, unless the budget was raised since."""
        if entry and entry["budget"] == self.parts.config.budget.model_dump():
            self._stop = entry

    def _progress(self, search: Search, improved: bool) -> Progress:
        best = search.archive.best
        return Progress(
            search=search.name,
            generation=search.strategy.generation,
            best=float("nan") if best is None or best.score is None else best.score,
            mean=search.mean,
            diversity=float(search.last.get("diversity", 0.0)),
            evaluations=search.ledger.evaluations,
            evaluations_allowed=self.budget_of(search).evaluations,
            usage=self.parts.engine.usage.to_record(),
            seconds=self.seconds,
            improved=improved,
            saved=_share_saved(search),
            tokens=search.ledger.tokens,
        )

    def conclude(self, winner: Individual | None = None) -> dict[str, Any]:
        """Finals, test split, result, report.

        Args:
            winner: of the main search, where it has no final.
        """
        if winner is None and self.main.archive.best is None:
            raise EvolmError("no individual could be evaluated, so there is no best; see the report for the reasons")
        finals = finals_of(self.searches, self.parts, {} if winner is None else {MAIN: winner})
        for search in self.searches:
            rates = search.strategy.variation.state_dict()
            if search is self.main:
                self.journal.append({"type": "operators", "search": search.name, "rates": rates})
            if search.name in finals and finals[search.name].entry:
                self.journal.append(finals[search.name].entry or {})
        openings = self.openings + 1
        verdict = run_verdict(self.parts, self.main, finals, openings)
        result = self._result(finals[MAIN], verdict.record if verdict else None)
        self.journal.append({"type": "verdict", **result})
        result["budget"]["seconds"] = round(self.seconds, 3)
        self._write_prompt(finals[MAIN].winner.genome, self.layout.best)
        # A verdict may say "keep the founder" or "keep random search": what it names can be taken home too.
        if verdict:
            for name, genome in verdict.applied.items():
                self._write_prompt(genome, self.layout.baselines / name)
            write_atomically(self.layout.test, json.dumps(verdict.outcomes, ensure_ascii=False) + "\n")
        write_atomically(self.layout.result, json.dumps(result, ensure_ascii=False, indent=2) + "\n")
        self.openings, self.finished = openings, True
        self._clock("finish")
        self._checkpoint()
        write_report(self.layout.directory)
        return result

    def _result(self, final: Final, test: dict[str, Any] | None) -> dict[str, Any]:
        founder = self.main.founder or final.winner
        ledger = self.main.ledger
        best = {
            "id": final.winner.id,
            "digest": final.winner.digest,
            "genome": final.winner.genome.summary(),
        }
        return {
            "seed": self.parts.config.seed,
            "model": self._model_record(),
            "task": self._task_record(),
            "budget": {"evaluations": ledger.evaluations, "items": ledger.items, "tokens": ledger.tokens},
            "racing": self._racing(),
            "stopped": self.stopped or None,
            "dev": {"founder": founder.score, "best": final.winner.score},
            "validation": None if final.validation is None else {"best": final.validation},
            "test": test,
            "claim": claim(test, self.parts.task.metric),
            "best": best,
            "front": self._front(),
            "founder": {"id": founder.id, "digest": founder.digest, "genome": founder.genome.summary()},
        }

    def _racing(self) -> dict[str, Any] | None:
        """How the main search raced, and what that saved; None where all items were scored for everybody."""
        search = self.main
        if search.race is None:
            return None
        saved = {"items_saved": search.items_saved, "share_saved": _share_saved(search)}
        return {**search.race.rules.to_record(), "dropped": search.ledger.dropped, **saved}

    def _front(self) -> dict[str, Any] | None:
        """The main search's front and the rule that picked its best; None where there is one objective."""
        archive = self.main.archive
        if not isinstance(archive, Front):
            return None
        names = list(self.parts.evaluator.scorers)
        members = [
            {
                "id": member.id,
                "digest": member.digest,
                "objectives": {name: member.measures[name] for name in names},
                "genome": member.genome.summary(),
            }
            for member in sorted(archive, key=lambda member: member.id)
        ]
        return {"rule": archive.rule, "members": members}

    # -- saving and telling --------------------------------------------------------------------------------

    def _checkpoint(self) -> None:
        self.journal.sync()
        state = {
            "offset": self.journal.offset,
            "searches": {search.name: search.state_dict() for search in self.searches},
            "openings": self.openings,
            "finished": self.finished,
            "stop": self._stop,
            "seconds": self.seconds,
            "usage": self.parts.engine.usage.to_record(),
        }
        write_checkpoint(self.layout.checkpoint, state)

    def _write_prompt(self, genome: Any, folder: Path) -> None:
        parts = self.parts
        labels, ask = parts.scoring.labels, parts.engine.answer
        files = best_files(genome, parts.space, parts.task, parts.model, parts.config, labels, ask)
        for name, content in files.items():
            write_atomically(folder / name, content)

    def _clock(self, event: str, search: Search | None = None) -> None:
        self.timing.append(
            {
                "event": event,
                "time": datetime.now(UTC).isoformat(timespec="seconds"),
                "search": search.name if search else None,
                "generation": search.strategy.generation if search else None,
                "seconds": round(self.seconds, 3),
                "evaluations": self.main.ledger.evaluations,
                **self.parts.engine.usage.to_record(),
                "n_jobs": self.parts.engine.executor.n_jobs,
                "host": platform.node(),
            }
        )

    def _read_result(self) -> dict[str, Any]:
        return json.loads(self.layout.result.read_text())

    def _on_requests(self, done: int, total: int) -> None:
        self._tell("on_requests", done, total)

    def _tell(self, event: str, *arguments: Any) -> None:
        for observer in self.observers:
            try:
                getattr(observer, event)(*arguments)
            except Exception as error:  # goes on as it is; people only want to know whose it is
                where = f"{type(observer).__name__}.{event}"
                error.add_note(f"In the callback {where}; {self.way_on}")
                raise

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Turn the first Ctrl-C into a request to stop after the batch; a second one ends at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def ask_to_stop(number: int, frame: Any) -> None:
            self.parts.engine.stop_requested = True
            logger.warning("Stopping after the batch at hand; press Ctrl-C again to stop at once.")
            signal.signal(signal.SIGINT, before)

        before = signal.signal(signal.SIGINT, ask_to_stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
            self.parts.engine.stop_requested = False

    def close(self) -> None:
        """Close files, cache and workers."""
        self.journal.close()
        self.timing.close()
        self.parts.engine.close()


def _share_saved(search: Search) -> float | None:
    """Return the share of items that racing saved a search; None where nobody races."""
    if search.race is None:
        return None
    return search.items_saved / max(search.items_saved + search.ledger.items, 1)
