"""What a campaign will ask of the model: phases with their evaluations and the tokens that pass through it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from evolm.baselines import Baseline
from evolm.baselines.few_shot import FEW_SHOT
from evolm.campaign import committee, relearning, soup
from evolm.campaign.budget import individuals
from evolm.campaign.build import Components
from evolm.campaign.search import CANDIDATES, FINALISTS
from evolm.campaign.stages import Stage
from evolm.genomes import DELTA, PROMPT, READOUT
from evolm.models import require_local
from evolm.operators import POLICY_GRADIENT
from evolm.readout_kinds import KINDS_OF_READOUTS
from evolm.strategies import Strategy
from evolm.tasks.outlook import shows_demonstrations
from evolm.wording import words

PhaseRow: TypeAlias = tuple[str, int, float]  # name, evaluations, tokens
BACKWARD = 3  # a token forward and backward, in tokens forward


def guard_tokens(parts: Components) -> int:
    """Return the tokens of general text that are scored for each delta; 0 without a guard."""
    guard = parts.evaluator.guard
    passages: list[Any] = parts.engine.tokenize(guard.passages) if guard else []
    return sum(passage.tokens for passage in passages)


@dataclass(frozen=True)
class PassEstimate:
    """Estimates of a campaign's passes.

    Attributes:
        parts: the campaign's objects.
        prefix: mean tokens of a founder's prompt.
        per_item: mean tokens of an item and its answers.
    """

    parts: Components
    prefix: float
    per_item: float

    def phases(self) -> list[PhaseRow]:
        """Return every search, the finals and the test split."""
        parts, task = self.parts, self.parts.task
        searched = self._stages()
        searching = parts.searching_baselines
        phases = [*searched, *(self._rival(each, searched) for each in searching)]
        if task.validation:
            finalists = (1 + len(searching)) * (CANDIDATES if committee.allowed(parts) else FINALISTS)
            soups = parts.config.finals.soup - 1 if soup.allowed(parts) else 0
            tokens = self.passed(finalists, len(task.validation)) + soups * self._own_share() * self._each(
                len(task.dev)
            )
            tokens += self._relearnt(searched[-1][1])
            phases.append(("finals", finalists + soups, tokens))
        shows = shows_demonstrations(parts.config.space.prompts, task)
        compared = [each for each in parts.baselines if shows or each is not FEW_SHOT]
        seats = parts.config.finals.committee if committee.allowed(parts) else 1
        prompts = seats * (1 + len(searching)) + sum(each.prompts for each in compared if each not in searching)
        prompts += min(parts.config.finals.on_test, FINALISTS - 1)
        if task.test and task.knows_gold:
            phases.append(("test split", prompts, self.passed(prompts, len(task.test))))
        return phases

    def _stages(self) -> list[PhaseRow]:
        """Return the main search, stage by stage."""
        parts, dev = self.parts, len(self.parts.task.dev)
        rows: list[PhaseRow] = []
        for number, stage in enumerate(parts.stages, 1):
            evaluations = individuals(stage.budget(parts.config.budget), dev) - sum(row[1] for row in rows)
            tokens = self.passed(evaluations, dev, stage) + evaluations * self._learnt(
                parts.stage_strategy(number - 1)
            )
            name = f"stage {number} ({stage.name})" if len(parts.stages) > 1 else "search"
            rows.append((name, evaluations, tokens))
        return rows

    def _rival(self, baseline: Baseline, searched: list[PhaseRow]) -> PhaseRow:
        """Return a baseline's search, with the evaluations of the main search or, charged in full, its tokens."""
        parts, dev = self.parts, len(self.parts.task.dev)
        table = dict(baseline.strategy or {})
        strategy = parts.strategy(table, parts.config.seed)
        evaluations = sum(row[1] for row in searched)
        if baseline.equal == "tokens":
            mine = [parts.stage_strategy(index) for index in range(len(parts.stages))]
            charged = sum(row[1] * self._items(each) for row, each in zip(searched, mine, strict=True))
            evaluations = round(charged / self._items(strategy))
        tokens = self.passed(evaluations, dev, parts.stage_for(table)) + evaluations * self._learnt(strategy)
        return words(baseline.name), evaluations, tokens

    def _items(self, strategy: Strategy) -> float:
        """Return the items that are charged for an individual, those that it learns from included."""
        learning = strategy.learning_settings()
        passes = BACKWARD + self._sampled(strategy)
        return len(self.parts.task.dev) + (passes * learning.batch * learning.steps if strategy.learns else 0)

    def _sampled(self, strategy: Strategy) -> int:
        """Return the texts that are drawn for an item of a lesson."""
        sampling = strategy.learns_by == POLICY_GRADIENT and self.parts.scoring.labels is None
        return self.parts.config.learning.samples if sampling else 0

    def _learnt(self, strategy: Strategy) -> float:
        """Return the tokens that pass while an individual learns."""
        learning = strategy.learning_settings()
        lesson = self.prefix + learning.batch * self.per_item
        passes = BACKWARD + self._sampled(strategy)
        return passes * self._own_share() * learning.steps * lesson if strategy.learns else 0.0

    def _relearnt(self, evaluations: int) -> float:
        """Return the tokens of taking a schedule twice more, given the evaluations of the stage that has made it."""
        strategy = self.parts.stage_strategy(len(self.parts.stages) - 1)
        if not (relearning.switched_on(self.parts) and relearning.by_gradient(strategy)):
            return 0.0
        generations = evaluations / getattr(strategy.params, "population_size", 1)
        return 2 * generations * self._learnt(strategy)

    def passed(self, count: int, items: int, stage: Stage | None = None) -> float:
        """Return tokens of a whole pass: what all deltas of a prompt share once, and the rest for each individual.

        Args:
            count: individuals whose prompts are passed.
            items: for each, beside those that its readout is fitted on.
            stage: of the search; None = the finals or the test.
        """
        parts = self.parts
        each = self._each(items) + (guard_tokens(parts) if stage else 0)
        own, prompts = self._own_share(), 1
        if len(parts.stages) > 1:
            under_few = stage is not None and DELTA in stage.kinds and PROMPT not in stage.kinds
            own, prompts = (own, min(stage.founders, count)) if stage and under_few else (1.0, 1)
        return count * each if own == 1 else prompts * each * (1 - own) + count * each * own

    def _each(self, items: int) -> float:
        """Return the tokens of one prompt, some items behind it and the rows that a readout is fitted on."""
        return self.prefix + (items + self._fitted_rows()) * self.per_item

    def _own_share(self) -> float:
        """Return the share of the layers that is passed for every individual anew."""
        deltas = self.parts.space.get(DELTA)
        if deltas is None or not self.parts.model.passes.trunk_bytes:
            return 1.0
        return 1 - deltas.depth / require_local(self.parts.model, "space.delta").structure.layers

    def _fitted_rows(self) -> int:
        """Return the train rows that most readouts are fitted on; 0 if none is fitted."""
        readouts = self.parts.space.get(READOUT)
        if readouts is None or not any(KINDS_OF_READOUTS[kind].fitted for kind in readouts.kinds):
            return 0
        return min(len(self.parts.task.train), readouts.rows)
