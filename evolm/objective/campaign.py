"""A campaign whose search somebody else drives: what is asked for comes from outside, call by call.

Everything else is a campaign's own: evaluator, ledger, journal, archive, finals, baselines, verdict. A call is a
generation. There is no checkpoint, which would cost a call more than its evaluation may: the journal says all, and a
program that starts over is led through the calls that it made before, for free, as long as it asks for the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from evolm.campaign.budget import Ledger, allowed, spent
from evolm.campaign.build import Components
from evolm.campaign.campaign import Campaign
from evolm.campaign.observers import Observer
from evolm.config import BudgetSection
from evolm.errors import EvolmError, Interrupted, RunError
from evolm.genomes import from_record
from evolm.individual import Individual
from evolm.objective.replay import Record, RecordedBatch, Replay, clock_before
from evolm.searches import MAIN
from evolm.storage import GeneStore, RunLayout, SharedLedger
from evolm.strategies.external import ExternalStrategy

CLOCKED = 1.0  # seconds between entries of the clock: calls may be many and short


class ObjectiveCampaign(Campaign):
    """Evaluates what it is asked for, and judges the best in the end.

    Args:
        parts: the campaign's objects; its strategy is :class:`ExternalStrategy`.
        layout: its directory, locked by the caller.
        observers: told about every event.
        pool: the budget that it shares with other processes; None = its own.
        out: the directory that the program names to go on; None = the run is temporary.
    """

    def __init__(
        self,
        parts: Components,
        layout: RunLayout,
        observers: Sequence[Observer] = (),
        pool: SharedLedger | None = None,
        out: Path | None = None,
    ) -> None:
        super().__init__(parts, layout, observers)
        self.out = out
        self.pool = pool
        self.main.genes = GeneStore(layout.genes, durable=False)
        self._past: deque[RecordedBatch] = deque()
        self._again: list[Individual] = []  # of the first past call, what was asked for again
        self._founders: set[str] = set()  # digests of those that were asked for as such
        self._concluding = False
        self._end_told = False
        self._clocked = 0.0  # seconds when the clock was last written

    @property
    def strategy(self) -> ExternalStrategy:
        """What numbers proposals."""
        assert isinstance(self.main.strategy, ExternalStrategy)
        return self.main.strategy

    @property
    def way_on(self) -> str:
        """What becomes of this run where something fails, and what people do: ``evolm resume`` cannot go on."""
        if self.out is None:
            return "the run is temporary and cannot be gone on with: give it an out"
        shared = ", shared=True" if self.pool else ""
        return f"the run is saved, go on by starting the program again with out={self.out}{shared}"

    # -- budget --------------------------------------------------------------------------------------------

    @property
    def left(self) -> int | None:
        """Evaluations that the budget still allows; None = no limit on their number."""
        return self._left(self.pool.counts() if self.pool else {})

    @property
    def over(self) -> str:
        """Why nothing more may be asked for, or ``""``."""
        counts = self.pool.counts() if self.pool else {}
        return self.stopped or spent(self.budget, self._ledger(counts), len(self.main.items), self.seconds)

    @property
    def budget(self) -> BudgetSection:
        """The limits."""
        return self.budget_of(self.main)

    def _left(self, counts: Mapping[str, int]) -> int | None:
        ledger, items_each = self._ledger(counts), len(self.main.items)
        if self.stopped or spent(self.budget, ledger, items_each, self.seconds):
            return 0
        return allowed(self.budget, ledger, items_each)

    def _ledger(self, counts: Mapping[str, int]) -> Ledger:
        """What counts against the limits: what this process spent, or all that share them."""
        return replace(self.main.ledger, **counts)

    def _granted(self, wanted: int) -> int:
        if self.pool:
            return self.pool.reserve(wanted, len(self.main.items), self._left)
        left = self.left
        return wanted if left is None else min(wanted, left)

    # -- being asked ---------------------------------------------------------------------------------------

    def open(self) -> None:
        """Begin, or go on behind the last whole call of the journal.

        Raises:
            RunError: if the run had other data, another model or other settings.
        """
        past = Replay.read(self.layout.journal, MAIN)
        if past.begun:
            self._require_same(self._head())
            self._past.extend(past.calls)
            self.resumed = True
            self._take_stop(past.stop)
            self.finished = past.judged and self.layout.result.exists()
            if not self.finished:
                self.journal.truncate(past.end)
            self._seconds_before, self.parts.engine.usage = clock_before(self.layout.timing)
            self._clock("resume")
        else:
            super().open()
        self._tell("on_start", self)
        self._tell("on_phase", MAIN)

    def evaluate(self, proposals: Sequence[Individual], tokens: int = 0) -> list[Individual]:
        """Evaluate, charge and journal proposals, as many as the budget allows; return these, in order.

        Args:
            proposals: see :meth:`ExternalStrategy.propose`; the past must have been recalled.
            tokens: what it cost to come up with them.

        Raises:
            RunError: if the test split was opened and the budget would allow more, or the disk refuses. A finished
                run that is led through its past is answered as it was then: nothing is left.
            Interrupted: if a stop was requested.
        """
        if proposals and (self._concluding or (self.finished and self.left != 0)):
            raise RunError(
                f"{self.layout.directory}: its test split was opened: expected no more questions, found "
                f"{len(proposals)}"
            )
        granted = proposals[: self._granted(len(proposals))]
        return self._evaluated(granted, tokens) if granted else []

    def _evaluated(self, proposals: Sequence[Individual], tokens: int = 0) -> list[Individual]:
        search, before = self.main, self.main.ledger.tokens
        asked = self.strategy.propose(proposals)
        try:
            # A single prompt may well fail on all items; the scorer need not be wrong.
            search.evaluate(asked, others_scored=True)
        except BaseException:
            self.strategy.withdraw()
            raise
        search.ledger.tokens += tokens
        improved = self._learn(asked)
        search.record(asked)
        if self.pool:
            self.pool.add_tokens(search.ledger.tokens - before)
        if self.seconds - self._clocked >= CLOCKED:
            self._clocked = self.seconds
            self._clock("generation", search)
        if self.observers:
            self._announce(search, improved)
        return asked

    def _learn(self, asked: Sequence[Individual]) -> bool:
        """Take what became of a call; return whether the best is a new one."""
        self._founders.update(individual.digest for individual in asked if individual.is_founder)
        return self.main.learn(asked)

    # -- what was asked before -----------------------------------------------------------------------------

    def recall(self, genomes: Sequence[Any]) -> list[Individual]:
        """Return what became of the first of these genomes in an earlier process, as long as it asked for the same.

        They are neither charged nor journalled again. At the first one that was not asked for in this place, what is
        left of the past is taken as it is.
        """
        known: list[Individual] = []
        for genome in genomes:
            if not self._past or self._was_refused():
                break
            call = self._past[0]
            record = call.individuals[len(self._again)]
            if record["digest"] != genome.digest:
                self.catch_up()
                break
            known.append(_revived(record, genome))
            self._again.append(known[-1])
            if len(self._again) == len(call.individuals):
                self._adopt_call()
        if known:
            self._give_cases(known)
        return known

    def _was_refused(self) -> bool:
        """Whether the past's last call is a winner that was named beyond the budget: no question got so far."""
        call, items_each = self._past[0], len(self.main.items)
        last = len(self._past) == len(call.individuals) == 1
        return last and bool(spent(self.budget, self.main.ledger, items_each, seconds=0.0))

    def catch_up(self) -> None:
        """Take what is left of the past as it is: the program does not ask for it again."""
        while self._past:
            call = self._past[0]
            vectors = self.main.genes.read(MAIN, call.generation["generation"]) if self.main.genes else {}
            for record in call.individuals[len(self._again) :]:
                self._again.append(_revived(record, from_record(_whole(record["genome"], vectors.get(record["id"])))))
            self._adopt_call()

    def _adopt_call(self) -> None:
        """Learn from a call of the past, as its own process did."""
        call, individuals = self._past.popleft(), self._again
        entry, self._again = call.generation, []
        self.strategy.adopt(entry["generation"], individuals)
        ledger = self.main.ledger
        ledger.evaluations, ledger.items, ledger.tokens = entry["evaluations"], entry["items"], entry["tokens"]
        improved = self._learn(individuals)
        self.main.last, self.main.asked = entry, individuals
        if not (self._past or self.stopped or self.finished):  # the process may have ended before it was announced
            self._announce(self.main, improved)

    def _give_cases(self, individuals: Sequence[Individual]) -> None:
        """Give individuals their per-item scores, which no journal has room for, from the answers kept."""
        valid = [individual for individual in individuals if individual.fitness.valid]
        twins = [Individual(individual.id, individual.genome) for individual in valid]
        self.parts.evaluator.score_individuals(twins, self.main.items, others_scored=True)
        for individual, twin in zip(valid, twins, strict=True):
            individual.cases = twin.cases

    # -- the end -------------------------------------------------------------------------------------------

    def finish(self, proposal: Individual | None = None) -> dict[str, Any]:
        """Run the baselines, open the test split and return the result; a finished run's is the one it has.

        Args:
            proposal: whose genome shall win, without a final; None = the best of the finalists. One that was never
                asked for is scored and charged as one more evaluation, also beyond the budget: nothing was
                selected by it, and random search is given as many.

        Raises:
            EvolmError: if there is no best, or ``proposal`` fails.
            Interrupted: after Ctrl-C; it can be called again, and ends as if it had not been disturbed.
            RunError: if the run is finished and had another winner.
        """
        self.catch_up()
        if self.finished:
            self._concluding = True
            return self._tell_end(self._finished(proposal))
        winner = self._winner(proposal) if proposal else None
        if winner is None and self.main.archive.best is None:
            raise EvolmError("no individual could be evaluated, so there is no best to finish with")
        with self._whole_end(), self._interruptible():
            for search in self.searches[1:]:
                self._tell("on_phase", search.name)
                self.run_search(search)
            self._tell("on_phase", "verdict")
            self._judge_founders()
            result = self.conclude(winner)
        return self._tell_end(result)

    @contextmanager
    def _whole_end(self) -> Iterator[None]:
        """Conclude, or where that is cut short, stand where the search had ended: to ask more, or to finish again."""
        search, strategy = self.main, self.strategy
        offset, founder, numbered = self.journal.offset, search.founder, strategy.count
        self._concluding, self._searching = True, False
        try:
            yield
        except BaseException as error:
            if not self.finished:
                self.journal.truncate(offset)
                search.founder = founder
                strategy.forget(numbered)
                self.searches = [search, *self._baselines()]
                self._concluding, self._searching = False, True
            if isinstance(error, Interrupted):
                self._clock("interrupt")
            raise

    def _tell_end(self, result: dict[str, Any]) -> dict[str, Any]:
        """Tell the verdict, until all observers have heard it once in this process."""
        if not self._end_told:
            self._tell("on_end", result)
            self._end_told = True
        return result

    def _finished(self, proposal: Individual | None) -> dict[str, Any]:
        result = self._read_result()
        if proposal is not None and result["best"]["digest"] != proposal.digest:
            raise RunError(
                f"{self.layout.directory}: its test split was opened for {result['best']['digest']}; expected the "
                f"same winner, found {proposal.digest}"
            )
        return result

    def _winner(self, proposal: Individual) -> Individual:
        id = self.strategy.first_ids.get(proposal.digest)
        winner = Individual(-1 if id is None else id, proposal.genome)
        if reason := self.parts.space.outside(proposal.genome):
            winner.fail(reason)
        elif id is None:
            if self.pool:
                self.pool.reserve(1, len(self.main.items), lambda counts: None)
            (winner,) = self._evaluated([proposal])
        else:
            self.parts.evaluator.score_individuals([winner], self.main.items, others_scored=True)
        if not winner.fitness.valid:
            raise EvolmError(f"finish: expected a winner that can be scored, found one that failed: {winner.reason}")
        return winner

    def _judge_founders(self) -> None:
        """Find the best of all founders, also of those that the program asked nothing about: the verdict compares
        with it. These are nobody's expense, and of them only the best is journalled.
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
        self.journal.append({"type": "individual", "search": MAIN, **best.to_record()})

    def _checkpoint(self) -> None:
        """Only make sure of the journal, which says all."""
        self.journal.sync()


def _revived(record: Record, genome: Any) -> Individual:
    """Return an individual as a journal's entry has it; its per-item scores are not there."""
    missing = {"parent_fitness": None, "cases": None}
    return Individual.from_state({**record, **missing, "genome": genome.to_record()})


def _whole(summary: Record, genes: Any) -> Record:
    """Return a genome's record from its summary and its vector, if it has one."""
    if genes is None:
        return summary
    if "delta" in summary:
        return {**summary, "delta": _whole(summary["delta"], genes)}
    learning = summary["learning"] and {**summary["learning"], "first": 0 * genes, "second": 0 * genes}
    return {**summary, "genes": genes, "learning": learning}
