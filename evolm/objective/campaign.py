"""The campaign of an objective: its individuals are proposed from outside, batch by batch.

Evaluator, ledger, journal, archive, finals, baselines and verdict are those of every campaign. A batch is a
generation. There is no checkpoint, since one can cost more than the batch's evaluation: the journal holds everything.
A program that is started again gets the answers to the batches of the journal without being charged, as long as it
asks for the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum, auto
from pathlib import Path
from typing import Any

from evolm.campaign.budget import spent
from evolm.campaign.build import Components
from evolm.campaign.conclusion import conclude
from evolm.campaign.notifier import Notifier
from evolm.campaign.recorder import RunRecorder
from evolm.campaign.records import head_record, phase_of, progress_of
from evolm.campaign.search import Search
from evolm.campaign.searches import baseline_budget, baseline_searches, main_search, run_search
from evolm.campaign.stopping import SearchStop
from evolm.config import BudgetSection
from evolm.errors import EvolmError, Interrupted, RunError
from evolm.genomes import from_summary
from evolm.individual import Individual
from evolm.interrupts import interruptible
from evolm.objective.allowance import Allowance
from evolm.objective.replay import RecordedBatch, Replay, recorded_counts, recorded_individual
from evolm.observers import SCORING, VERDICT, Observer, Phase
from evolm.operators import Spent
from evolm.searches import MAIN
from evolm.storage import RunLayout, SharedLedger
from evolm.strategies.external import ExternalStrategy

CLOCKED = 1.0  # seconds between entries of the timing file: batches may be many and short


class State(Enum):
    """How far an objective's run is."""

    SEARCHING = auto()  # proposals are evaluated
    REOPENED = auto()  # finished by an earlier process; recorded batches are replayed
    CONCLUDING = auto()  # baselines, finals and the test split are at work
    CONCLUDED = auto()  # the result is written, and observers have to be told
    TOLD = auto()  # all observers of this process heard the verdict


FINISHED = (State.REOPENED, State.CONCLUDED, State.TOLD)


class ObjectiveCampaign:
    """Evaluates proposals, and judges the best in the end.

    Args:
        parts: the campaign's objects; its strategy is :class:`ExternalStrategy`.
        layout: its directory, locked by the caller.
        observers: told about every event.
        pool: the budget that it shares with other processes; None = its own.
        out: the directory by which the program continues the run; None = the run is temporary.
    """

    def __init__(
        self,
        parts: Components,
        layout: RunLayout,
        observers: Sequence[Observer] = (),
        pool: SharedLedger | None = None,
        out: Path | None = None,
    ) -> None:
        self.parts = parts
        self.recorder = RunRecorder(parts, layout)
        self.notifier = Notifier(observers, _resume_hint(out, shared=pool is not None))
        self.stop = SearchStop(parts.config.budget)
        self.main = main_search(parts, self.recorder, durable_genes=False)
        self.allowance = Allowance(parts.config.budget, self.main, self.recorder, self.stop, pool)
        self.state = State.SEARCHING
        self._resumed = False
        self._batches: deque[RecordedBatch] = deque()  # to be replayed
        self._replayed: list[Individual] = []  # of the first of them
        self._founders: set[str] = set()  # digests of the founders that were evaluated
        self._clocked = 0.0  # seconds of the timing file's last entry
        parts.engine.progress = lambda done, total: self.notifier.tell("on_requests", done, total, SCORING)

    @property
    def directory(self) -> Path:
        """The run's directory."""
        return self.recorder.layout.directory

    @property
    def strategy(self) -> ExternalStrategy:
        """The strategy that numbers proposals."""
        assert isinstance(self.main.strategy, ExternalStrategy)
        return self.main.strategy

    # -- opening -------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Begin, or continue after the last whole batch of the journal.

        Raises:
            RunError: if the run had other data, another model or other settings.
        """
        replay, head = Replay.read(self.recorder.layout.journal, MAIN), head_record(self.parts, self.main)
        if replay.begun:
            self.recorder.require_same(head)
            self._resume(replay)
        else:
            self.recorder.begin(head)
            self._clock("start")
            self.recorder.journal.sync()
        self.notifier.tell_start(
            self.recorder, self.main, self.stop, resumed=self._resumed, finished=self.state in FINISHED
        )
        self.notifier.tell("on_phase", phase_of(self.main, self.allowance.budget, self.recorder.seconds))

    def _resume(self, replay: Replay) -> None:
        self._resumed = True
        self._batches.extend(replay.batches)
        self.stop.restore(replay.stop)
        if replay.judged and self.recorder.layout.result.exists():
            self.state = State.REOPENED
        else:
            self.recorder.journal.truncate(replay.end)
        self.recorder.continue_counts(*recorded_counts(self.recorder.layout.timing))
        self._clock("resume")

    # -- evaluating ----------------------------------------------------------------------------------------

    def evaluate(self, proposals: Sequence[Individual], cost: Spent = Spent()) -> list[Individual]:
        """Evaluate, charge and journal proposals, as many as the budget allows; return these, in order.

        Args:
            proposals: see :meth:`ExternalStrategy.propose`; recorded batches must have been replayed.
            cost: of making them.

        Raises:
            RunError: if the test split was opened and the budget would allow more, or the disk refuses. A finished
                run whose batches are replayed answers as it did then: nothing is left.
            Interrupted: if a stop was requested.
        """
        if proposals and self._refuses_proposals():
            raise RunError(
                f"{self.directory}: its test split was opened: expected no more questions, found {len(proposals)}"
            )
        granted = proposals[: self.allowance.grant(len(proposals))]
        return self._evaluate(granted, cost) if granted else []

    def _refuses_proposals(self) -> bool:
        if self.state is State.REOPENED:
            return self.allowance.left != 0
        return self.state is not State.SEARCHING

    def _evaluate(self, proposals: Sequence[Individual], cost: Spent = Spent()) -> list[Individual]:
        search, before = self.main, self.main.ledger.tokens
        asked = self.strategy.propose(proposals)
        try:
            # A single prompt may fail on all items although the scorer is right.
            search.evaluate(asked, others_scored=True)
        except BaseException:
            self.strategy.withdraw()
            raise
        search.ledger.charge_operators(cost)
        improved = self._learn(asked)
        search.record(asked)
        self.allowance.add_tokens(search.ledger.tokens - before)
        if self.recorder.seconds - self._clocked >= CLOCKED:
            self._clocked = self.recorder.seconds
            self._clock("generation", search)
        self._tell_generation(search, self.allowance.budget, improved)
        self._settle_stop()
        return asked

    def _learn(self, asked: Sequence[Individual]) -> bool:
        """Tell search and archive about an evaluated batch; return whether the best is a new one."""
        self._founders.update(individual.digest for individual in asked if individual.is_founder)
        return self.main.learn(asked)

    def _tell_generation(self, search: Search, budget: BudgetSection, improved: bool) -> None:
        if self.notifier.hears_generations:
            usage = self.parts.engine.usage.to_record()
            progress = progress_of(search, budget, usage, self.recorder.seconds, improved)
            self.notifier.tell_generation(search.asked, progress)

    def _settle_stop(self) -> None:
        if entry := self.stop.settle(self.main):
            self.recorder.journal.append(entry)

    # -- replaying recorded batches ------------------------------------------------------------------------

    def replay(self, genomes: Sequence[Any]) -> list[Individual]:
        """Return the individuals of an earlier process for the first of these genomes, as far as it asked for them.

        They are neither charged nor journalled again. At the first genome that differs from the recorded one, the
        rest of the record is skipped.
        """
        known: list[Individual] = []
        for genome in genomes:
            if not self._batches or self._next_is_named_winner():
                break
            batch = self._batches[0]
            record = batch.individuals[len(self._replayed)]
            if record["digest"] != genome.digest:
                self.skip()
                break
            known.append(recorded_individual(record, genome))
            self._replayed.append(known[-1])
            if len(self._replayed) == len(batch.individuals):
                self._adopt_batch()
        if known:
            self._restore_cases(known)
        return known

    def _next_is_named_winner(self) -> bool:
        """Whether the last recorded batch is ``finish(x)``'s extra evaluation, made after the budget was spent."""
        batch, items_each = self._batches[0], len(self.main.items)
        last = len(self._batches) == len(batch.individuals) == 1
        return last and bool(spent(self.allowance.budget, self.main.ledger, items_each, seconds=0.0))

    def skip(self) -> None:
        """Adopt the rest of the recorded batches: the program does not ask for them again."""
        while self._batches:
            batch = self._batches[0]
            arrays = self.main.genes.read(MAIN, batch.generation["generation"]) if self.main.genes else {}
            for record in batch.individuals[len(self._replayed) :]:
                genome = from_summary(record["genome"], arrays.get(record["id"], {}))
                self._replayed.append(recorded_individual(record, genome))
            self._adopt_batch()

    def _adopt_batch(self) -> None:
        """Learn from the first recorded batch, as its own process did."""
        entry, individuals = self._batches.popleft().generation, self._replayed
        self._replayed = []
        self.strategy.adopt(entry["generation"], individuals)
        ledger = self.main.ledger
        ledger.evaluations, ledger.items, ledger.tokens = entry["evaluations"], entry["items"], entry["tokens"]
        ledger.writer_tokens = entry.get("writer_tokens", 0)
        for name, amount in entry.get("served", {}).items():
            setattr(ledger, name, amount)
        improved = self._learn(individuals)
        self.main.last, self.main.asked = entry, individuals
        if self._batches or self.stop.reason or self.state is not State.SEARCHING:
            return
        # The earlier process may have ended before it told its last batch.
        self._tell_generation(self.main, self.allowance.budget, improved)
        self._settle_stop()

    def _restore_cases(self, individuals: Sequence[Individual]) -> None:
        """Give individuals their per-item scores, which are too long for the journal, from the cached answers."""
        valid = [individual for individual in individuals if individual.fitness.valid]
        twins = [Individual(individual.id, individual.genome) for individual in valid]
        self.parts.evaluator.score_individuals(twins, self.main.items, others_scored=True)
        for individual, twin in zip(valid, twins, strict=True):
            individual.cases = twin.cases

    # -- the end -------------------------------------------------------------------------------------------

    def finish(self, proposal: Individual | None = None) -> dict[str, Any]:
        """Run the baselines, open the test split and return the result; a finished run returns its own result.

        Args:
            proposal: its genome is the winner, without a final; None = the best of the finalists. If it was never
                evaluated, it is scored and charged as one more evaluation, also beyond the budget: nothing was
                selected by it, and random search gets as many.

        Raises:
            EvolmError: if there is no best, or ``proposal`` fails.
            Interrupted: after Ctrl-C; it can be called again, and ends as if it had not been disturbed.
            RunError: if the run is finished and had another winner.
        """
        self.skip()
        if self.state in FINISHED:
            if self.state is State.REOPENED:
                self.state = State.CONCLUDED
            return self._tell_end(self._finished_result(proposal))
        winner = self._winner(proposal) if proposal else None
        if winner is None and self.main.archive.best is None:
            raise EvolmError("finish: expected at least one individual that was evaluated, found none")
        with self._all_or_nothing(), interruptible(self.parts.engine):
            result = self._conclude(winner)
        return self._tell_end(result)

    def _conclude(self, winner: Individual | None) -> dict[str, Any]:
        baselines = baseline_searches(self.parts, self.recorder)
        for search in baselines:
            self._run_baseline(search)
        self.notifier.tell("on_phase", Phase(VERDICT, seconds=self.recorder.seconds))
        self._judge_founders()
        searches = [self.main, *baselines]
        result = conclude(self.parts, searches, self.recorder, 1, self.stop.reason, winner)
        self.state = State.CONCLUDED
        self._clock("finish")
        self.recorder.journal.sync()
        return result

    def _run_baseline(self, search: Search) -> None:
        budget = baseline_budget(search.name, self.allowance.budget, self.main)
        self.notifier.tell("on_phase", phase_of(search, budget, self.recorder.seconds))

        def after_generation(improved: bool) -> None:
            self._tell_generation(search, budget, improved)
            self._clock("generation", search)

        run_search(search, budget, self.recorder, after_generation)

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Restore the end of the search if concluding fails, so that more can be asked or ``finish`` called again."""
        search, strategy, journal = self.main, self.strategy, self.recorder.journal
        offset, founder, numbered = journal.offset, search.founder, strategy.count
        self.state, self.stop.closed = State.CONCLUDING, True
        try:
            yield
        except BaseException as error:
            if self.state is State.CONCLUDING:
                journal.truncate(offset)
                search.founder = founder
                strategy.forget(numbered)
                self.state, self.stop.closed = State.SEARCHING, False
            if isinstance(error, Interrupted):
                self._clock("interrupt")
            if isinstance(error, Exception):
                self.notifier.tell_error(error)
            raise

    def _tell_end(self, result: dict[str, Any]) -> dict[str, Any]:
        """Tell the verdict, until all observers have heard it once in this process."""
        if self.state is not State.TOLD:
            self.notifier.tell("on_end", result)
            self.state = State.TOLD
        return result

    def _finished_result(self, proposal: Individual | None) -> dict[str, Any]:
        result = self.recorder.read_result()
        if proposal is not None and result["best"]["digest"] != proposal.digest:
            raise RunError(
                f"{self.directory}: its test split was opened for {result['best']['digest']}; expected the "
                f"same winner, found {proposal.digest}"
            )
        return result

    def _winner(self, proposal: Individual) -> Individual:
        """Return a named winner with its scores on dev."""
        id = self.strategy.first_ids.get(proposal.digest)
        winner = Individual(-1 if id is None else id, proposal.genome)
        if reason := self.parts.space.outside(proposal.genome):
            winner.fail(reason)
        elif id is None:
            self.allowance.charge_winner()
            (winner,) = self._evaluate([proposal])
        else:
            self.parts.evaluator.score_individuals([winner], self.main.items, others_scored=True)
        if not winner.fitness.valid:
            raise EvolmError(f"finish: expected a winner that can be scored, found one that failed: {winner.reason}")
        return winner

    def _judge_founders(self) -> None:
        """Evaluate the founders that the program never asked for: the verdict compares the winner with the best.

        They are not charged to the budget, and only the best of them is journalled.
        """
        labels = self.strategy.context.labels
        founders = [
            self.strategy.make(genome, operators=(labels.get(genome.digest, "founder"),))
            for genome in self.parts.founders.genomes
            if genome.digest not in self._founders
        ]
        self.parts.evaluator.score_individuals(founders, self.main.items, others_scored=True)
        self.main.keep_founder(founders)
        best = self.main.founder
        if best is None or best not in founders:
            return
        if self.main.genes is not None:
            self.main.genes.write(MAIN, self.strategy.generation, [best])
        self.recorder.journal.append({"type": "individual", "search": MAIN, **best.to_record()})

    def _clock(self, event: str, search: Search | None = None) -> None:
        self.recorder.clock(event, self.main.ledger.evaluations, search)

    def close(self) -> None:
        """Close files, cache and workers."""
        self.recorder.close()
        self.parts.engine.close()


def _resume_hint(out: Path | None, shared: bool) -> str:
    """Return what becomes of the run after an error, and how to continue it: ``evolm resume`` cannot."""
    if out is None:
        return "the run is temporary and cannot be gone on with: give it an out"
    return f"the run is saved, go on by starting the program again with out={out}{', shared=True' if shared else ''}"
