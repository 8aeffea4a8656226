"""From individuals to fitness: every scorer's dialogue, all genomes side by side, equal requests asked once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import add
from typing import Any, Literal

import numpy as np

from evolm.errors import ContextExceeded, DataError, ScorerError
from evolm.evaluation.engine import Engine
from evolm.genomes import Expression
from evolm.individual import Individual
from evolm.models import Answer, Request, Tokenized, charge
from evolm.models.deltas import Delta
from evolm.scorers import Dialogue, Evaluation, ItemTerms, Scorer, item_terms_of
from evolm.tasks import Item, Task

TASK_SCORER = ""  # name of the task scorer if it is none of the campaign's scorers


@dataclass(frozen=True)
class Charge:
    """What an evaluation costs, before caching and sharing."""

    items: int
    tokens: int


@dataclass(frozen=True)
class Assessment:
    """What all scorers together say about one genome.

    Attributes:
        fitness: weighted sum and tie-break, or an objective per scorer; NaN if any item failed.
        score: what people are shown: the task's metric where the search may see gold, else the first of ``fitness``.
        cases: ``(n,)`` weighted sum of per-item scores.
        measures: every scorer's objective by its name, ``gold`` where gold is for the audit only, and more.
        failures: item index -> reason.
        task_evaluation: the task scorer's evaluation; None without gold labels.
        parts: of the first of ``fitness``; None where nobody asked for them.
    """

    fitness: tuple[float, ...]
    score: float
    cases: np.ndarray
    measures: Mapping[str, float]
    failures: Mapping[int, str]
    task_evaluation: Evaluation | None = None
    parts: ItemTerms | None = None


@dataclass
class Memory:
    """What was answered about one genome, so that whoever goes on with more items asks and pays for nothing twice.

    Attributes:
        known: answers so far.
        tokens: what they cost.
    """

    known: dict[Request, Answer] = field(default_factory=dict)
    tokens: int = 0


@dataclass
class _Hearing:
    """The dialogues about one genome."""

    dialogues: dict[str, Dialogue]
    delta: Delta | None = None
    memory: Memory = field(default_factory=Memory)
    begun: bool = False
    asked: dict[str, Sequence[Request]] = field(default_factory=dict)  # of dialogues that wait for answers
    open: dict[Request, Tokenized] = field(default_factory=dict)
    evaluations: dict[str, Evaluation] = field(default_factory=dict)
    reason: str = ""

    def ask(self, tokenize: Callable[[Sequence[Request]], list[Tokenized]]) -> list[Tokenized]:
        """Return the requests that are new in this round, as tokens."""
        try:
            if not self.begun:
                self.asked = {name: next(dialogue) for name, dialogue in self.dialogues.items()}
                self.begun = True
            new = [r for requests in self.asked.values() for r in requests if r not in self.memory.known]
            texts = list(dict.fromkeys(new))
            tokens = tokenize(texts)
            carried = [each.under(self.delta) for each in tokens] if self.delta else tokens
            self.open = dict(zip(texts, carried, strict=True))
        except (ContextExceeded, DataError) as error:
            self.asked, self.open, self.reason = {}, {}, str(error)
        return list(self.open.values())

    def hear(self, answers: Sequence[Answer]) -> None:
        """Take the answers to what was asked, and go on with every dialogue."""
        self.memory.tokens += sum(charge(r, a) for r, a in zip(self.open.values(), answers, strict=True))
        self.memory.known.update(zip(self.open, answers, strict=True))
        asked, self.asked = self.asked, {}
        for name, requests in asked.items():
            try:
                self.asked[name] = self.dialogues[name].send([self.memory.known[request] for request in requests])
            except StopIteration as end:
                self.evaluations[name] = end.value


class Evaluator:
    """Scores genomes on items.

    Args:
        engine: answers requests.
        task: whose items are scored.
        scorers: name -> (scorer, weight), at least one.
        task_scorer: the scorer whose score is the task's metric; reads gold labels; may be one of ``scorers``.
        prompt_tokens: genome -> tokens of its prompt.
        express: genome -> what the model sees of it; a prompt genome's is itself.
        combine: ``"sum"`` = one objective, the weighted sum; ``"pareto"`` = one per scorer.
    """

    def __init__(
        self,
        engine: Engine,
        task: Task,
        scorers: Mapping[str, tuple[Scorer, float]],
        task_scorer: Scorer,
        prompt_tokens: Callable[[Any], int],
        combine: Literal["sum", "pareto"] = "sum",
        express: Callable[[Any], Expression] = Expression,
    ) -> None:
        self.engine = engine
        self.task = task
        self.scorers = scorers
        self.task_scorer = task_scorer
        self._task_scorer_name = next(
            (name for name, (scorer, _) in scorers.items() if scorer is task_scorer), TASK_SCORER
        )
        self.prompt_tokens = prompt_tokens
        self.combine = combine
        self.express = express

    def assess(
        self,
        genomes: Sequence[Any],
        items: Sequence[Item],
        memories: Sequence[Memory] | None = None,
        everything: Sequence[Item] = (),
    ) -> list[tuple[Assessment | str, Charge]]:
        """Evaluate genomes on the same items.

        Args:
            genomes: what is evaluated.
            items: on what.
            memories: a genome's own answers to earlier items, in the order of ``genomes``; they are added to.
            everything: all items, where the parts of an objective over them are wanted; every scorer must have some.

        Returns:
            Per genome, in order: its assessment, or the reason why it cannot have one; and what it costs, earlier
            items that it remembers included.

        Raises:
            Interrupted: if a stop was requested.
        """
        scorers = {name: scorer for name, (scorer, _) in self.scorers.items()}
        if self.task.knows_gold:
            scorers[self._task_scorer_name] = self.task_scorer
        hearings = self._hear(scorers, genomes, items, memories)
        results: list[tuple[Assessment | str, Charge]] = []
        for genome, hearing in zip(genomes, hearings, strict=True):
            said: Assessment | str = hearing.reason or self._combined(genome, hearing.evaluations)
            if everything and isinstance(said, Assessment):
                said = replace(said, parts=self._parts(hearing.evaluations, items, everything))
            results.append((said, Charge(len(items), hearing.memory.tokens)))
        return results

    def task_evaluations(self, genomes: Sequence[Any], items: Sequence[Item]) -> list[Evaluation | str]:
        """Return the task scorer's evaluation of each genome, or the reason why it has none."""
        hearings = self._hear({TASK_SCORER: self.task_scorer}, genomes, items)
        return [hearing.reason or hearing.evaluations[TASK_SCORER] for hearing in hearings]

    def score_individuals(
        self,
        individuals: Sequence[Individual],
        items: Sequence[Item],
        memories: Sequence[Memory] | None = None,
        everything: Sequence[Item] = (),
        proven: bool = False,
    ) -> list[Charge]:
        """Give every individual its fitness or its failure; return what each costs.

        Args:
            individuals: who is evaluated.
            items, memories, everything: see :meth:`assess`.
            proven: whether others have been scored, so that it is not the scorer that is wrong.

        Raises:
            ScorerError: if all items of all individuals failed: then the scorer is wrong, not the prompts.
        """
        results = self.assess([individual.genome for individual in individuals], items, memories, everything)
        everything_failed = bool(individuals) and not proven
        for individual, (assessment, _) in zip(individuals, results, strict=True):
            individual.items = len(items)
            if isinstance(assessment, str):
                individual.fail(assessment)
                everything_failed = False
                continue
            if assessment.failures:
                index, reason = next(iter(sorted(assessment.failures.items())))
                count = len(assessment.failures)
                individual.fail(f"{count} of {len(items)} items failed; item {items[index].digest}: {reason}")
            else:
                parts = assessment.parts.values if assessment.parts else None
                individual.accept(assessment.fitness, assessment.score, assessment.cases, assessment.measures, parts)
            everything_failed &= len(assessment.failures) == len(items)
        if everything_failed:
            raise ScorerError(f"every item of every individual failed; the first: {individuals[0].reason}")
        return [charge for _, charge in results]

    def _hear(
        self,
        scorers: Mapping[str, Scorer],
        genomes: Sequence[Any],
        items: Sequence[Item],
        memories: Sequence[Memory] | None = None,
    ) -> list[_Hearing]:
        """Drive all dialogues to their ends, a round of all of them in one call of the engine."""
        hearings = []
        for genome, memory in zip(genomes, memories or [Memory() for _ in genomes], strict=True):
            shown = self.express(genome)
            dialogues = {name: scorer.dialogue(shown.prompt, items) for name, scorer in scorers.items()}
            hearings.append(_Hearing(dialogues, shown.delta, memory))
        waiting = hearings
        while waiting:
            asked = [hearing.ask(self.engine.tokenize) for hearing in waiting]
            answers = iter(self.engine.answer_tokenized([request for own in asked for request in own]))
            for hearing, own in zip(waiting, asked, strict=True):
                hearing.hear([next(answers) for _ in own])
            waiting = [hearing for hearing in waiting if hearing.asked]
        return hearings

    def _parts(
        self, evaluations: Mapping[str, Evaluation], items: Sequence[Item], everything: Sequence[Item]
    ) -> ItemTerms:
        """Return the parts of the weighted sum of objectives."""
        found = []
        for name, (scorer, weight) in self.scorers.items():
            of_scorer = item_terms_of(scorer)
            assert of_scorer is not None  # whoever wants parts has asked for them before
            found.append(of_scorer(evaluations[name], items, everything).weighted(weight))
        return reduce(add, found)

    def _combined(self, genome: Any, evaluations: Mapping[str, Evaluation]) -> Assessment:
        task_evaluation = evaluations.get(self._task_scorer_name) if self.task.knows_gold else None
        mine = [(name, evaluations[name], weight) for name, (_, weight) in self.scorers.items()]
        weighted = [weight * evaluation.objective for _, evaluation, weight in mine]
        fitness = tuple(weighted) if self.combine == "pareto" else (sum(weighted), mine[0][1].tie_break)
        measures: dict[str, float] = {"prefix_tokens": self.prompt_tokens(genome)}
        failures: dict[int, str] = {}
        for name, evaluation, _ in reversed(mine):  # what the first scorer says stands
            measures.update(evaluation.measures)
            measures[name] = evaluation.objective
            failures.update(evaluation.failures)
        if task_evaluation is not None and self.task.audited:
            measures["gold"] = task_evaluation.score
        return Assessment(
            fitness=fitness,
            score=task_evaluation.score if task_evaluation is not None and self.task.has_gold else fitness[0],
            cases=np.sum([weight * evaluation.scores for _, evaluation, weight in mine], axis=0),
            measures=measures,
            failures=failures,
            task_evaluation=task_evaluation,
        )
