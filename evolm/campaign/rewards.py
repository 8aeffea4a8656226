"""From ``[learning]`` to what gradients maximise: the loss of gold answers and the reward of the model's own."""

from __future__ import annotations

from collections.abc import Sequence

from evolm.campaign.permissions import Permissions
from evolm.campaign.scorers import ScoreFunctions, ScorerChoice, choose_scorer, choose_scorers
from evolm.campaign.strategies import StrategyChoice
from evolm.config import CampaignConfig
from evolm.errors import ConfigError
from evolm.operators import POLICY_GRADIENT, Reward, SupervisedLoss
from evolm.scorers import SCORERS, FunctionScorer, Scorer, Scoring, is_scorer
from evolm.tasks import KINDS, Task
from evolm.wording import listed

DEFAULT_REWARD = "exact_match"


def learns_from_rewards(choice: StrategyChoice) -> bool:
    """Return whether a strategy may use the policy gradient."""
    return any(operator.name == POLICY_GRADIENT for operator, _ in choice.operators)


def supervised_loss(config: CampaignConfig, task: Task) -> SupervisedLoss:
    """Return the loss of gold answers.

    Raises:
        ConfigError: for the margin in a generation task, which names no wrong answers.
    """
    learning = config.learning
    if learning.loss == "margin" and KINDS[task.kind].open:
        raise ConfigError(
            "learning.loss: expected 'cross_entropy' for a generation task, which has no wrong answers to keep a "
            "margin from, found 'margin'"
        )
    return SupervisedLoss(learning.loss, learning.margin)


def choose_rewards(
    config: CampaignConfig, task: Task, permissions: Permissions, functions: ScoreFunctions
) -> list[ScorerChoice]:
    """Return the scorers of ``learning.reward``.

    An empty table stands for the campaign's own scorers if all of them can reward single answers, else for
    ``exact_match``.

    Args:
        config: the campaign.
        task: the campaign's task.
        permissions: packages that the table may name code of.
        functions: scorers given from Python, by their names in the table.

    Raises:
        ConfigError: for an unknown name or key, a weight of 0, or a scorer that cannot reward single answers of this
            task.
        PermissionNeeded: for code of a package that is not allowed.
    """
    tables = config.learning.reward
    if not tables:
        own = choose_scorers(config, task, permissions, functions)
        if all(_rewards(choice, task) for choice in own):
            return own
        tables = {DEFAULT_REWARD: 1.0}
    choices = [
        choose_scorer(name, table, permissions, functions, "learning.reward") for name, table in tables.items()
    ]
    for choice in choices:
        if not _rewards(choice, task):
            form = KINDS[task.kind].form
            able = listed(name for name, scorer in SCORERS.items() if form in scorer.reward_forms)
            raise ConfigError(
                f"learning.reward: expected some of {able}, which can score single answers of a {task.kind} task, "
                f"found {choice.name!r}, which cannot"
            )
    return choices


def make_reward(config: CampaignConfig, choices: Sequence[ScorerChoice], scoring: Scoring) -> Reward:
    """Return the reward.

    Args:
        config: the campaign: its ``[learning]``.
        choices: from :func:`choose_rewards`.
        scoring: what the scorers are made from.

    Raises:
        ConfigError: if a scorer needs gold labels that the search must not see.
    """
    scorers = tuple((choice.make(scoring), float(choice.params.weight)) for choice in choices)
    for choice, (scorer, _) in zip(choices, scorers, strict=True):
        if scorer.needs_gold and not scoring.task.has_gold:
            raise ConfigError(
                f"learning.reward: expected a scorer without gold labels, which the search does not see, found "
                f"{choice.name!r}"
            )
    return Reward(scorers, config.learning.samples, config.learning.kl)


def _rewards(choice: ScorerChoice, task: Task) -> bool:
    scorer: type[Scorer] = choice.kind if is_scorer(choice.kind) else FunctionScorer
    return KINDS[task.kind].form in scorer.reward_forms
