"""``strategy = "auto"``: the stages that suit a task, chosen once, before anything is built.

1. Prompts, and readouts if train rows are labelled, by ``genetic``; individuals race if the scorers allow it.
2. If the budget is not a single evaluation, there are train rows with gold to learn from, and no probe may read
   hidden states or the campaign has a table ``[space.delta]``: a delta under the best prompts, by ``memetic``. Labels
   are read by their words: a map that is fitted on rows that taught the delta trusts it too much, and a probe reads
   layers below those that learn.

Where a probe may read, learning did not pay on TREC: probes are fitted once more on all rows but test, and a
committee of these and of deltas was worse than the probes alone (docs/results/tried.md).

Labels and options are taught to the last fifth of the layers, whose lower layers' states are kept and shared. Written
text is taught to all layers, in small minibatches: on past tenses that reached 0.78 where the last six layers stayed
at 0.60 with twice the tokens. It is taught under the instruction of the best prompt, without its demonstrations: a
step costs a fraction, and the delta learns more than they show (docs/results/tried.md). Tables of ``[space]`` that
the campaign has are kept.
"""

from __future__ import annotations

from typing import Any, Final

from evolm.campaign.stages import with_spaces
from evolm.config import (
    AUTO,
    DEFAULT_STRATEGY,
    CampaignConfig,
    DeltaSpaceSection,
    PromptSpaceSection,
    ReadoutSpaceSection,
    SpaceSection,
    StageSection,
)
from evolm.evaluation.racing import looks
from evolm.genomes import DELTA, PROMPT, READOUT
from evolm.models.served.names import is_served
from evolm.readout_kinds import KINDS_OF_READOUTS, WORDS
from evolm.scorers.task_scorer import task_scorer_name
from evolm.tasks import KINDS, METRICS, Task

FEWEST_LESSONS: Final = 32  # labelled train rows: a minibatch
SEARCHED: Final = 0.7  # share of the budget that prompts and readouts get before labels are learnt
SEARCHED_FOR_TEXTS: Final = 0.4  # share that prompts get before texts are learnt
POPULATION, LEARNERS = 12, 6  # largest populations of the two stages
EVALUATIONS_EACH = 4  # generations that a stage should have
TAUGHT = 3  # most prompts under which a delta learns
STEPS = 16  # of gradient between two evaluations: with labels, they cost about as much as one
READOUTS: Final = ("probe", "linear", "contextual", "words")  # a server gives no states for the first one

OF_LABELS: Final[dict[str, Any]] = {
    "encoding": "lowrank",
    "layers": "auto",
    "target_modules": ["all-linear"],
    "rank": 2,
}
OF_TEXTS: Final[dict[str, Any]] = {**OF_LABELS, "layers": "all", "rank": 8}


def expanded(config: CampaignConfig, task: Task) -> CampaignConfig:
    """Return the campaign with stages in the place of the strategy ``auto``; any other campaign as it is.

    Args:
        config: a validated campaign.
        task: its task.
    """
    if config.strategy.get("name") != AUTO:
        return config
    served = is_served(config.model.name)
    fits = READOUT in config.space.evolving or len(task.taught_labels) > 1
    written = KINDS[task.kind].open
    evaluations = config.budget.evaluations
    teachable = not served and len(task.demonstrable) >= FEWEST_LESSONS and evaluations != 1
    learns = teachable and (written or DELTA in config.space.evolving or not _may_probe(config, fits))
    kinds = [kind for kind in config.space.evolving if kind != DELTA]
    searched = list(dict.fromkeys([PROMPT, *kinds, *([READOUT] if fits else [])]))
    searching = (SEARCHED_FOR_TEXTS if written else SEARCHED) if learns else 1.0
    first = round(evaluations * searching)
    stages: list[dict[str, Any]] = [
        {
            "strategy": {"name": DEFAULT_STRATEGY, "population_size": _population(first, POPULATION)},
            "space": searched,
            "share": searching,
            "racing": "race" if _can_race(config, task) else None,
        }
    ]
    space = config.space
    if fits and space.readout is None:
        space = space.model_copy(update={"readout": ReadoutSpaceSection(kinds=READOUTS[served:])})
    if learns:
        strategy = _learning(written, _population(evaluations - first, LEARNERS))
        stages.append(
            {
                "strategy": strategy,
                "space": [DELTA],
                "share": 1 - searching,
                "racing": None if config.evaluation.racing != "off" else "off",
                "founders": 1 if written else min(strategy["population_size"], TAUGHT),
                "readout": WORDS if space.readout and WORDS in space.readout.kinds else "",
                "demonstrations": not (written and _may_show_none(space)),
            }
        )
        if space.delta is None:
            space = space.model_copy(
                update={"delta": DeltaSpaceSection.model_validate(OF_TEXTS if written else OF_LABELS)}
            )
    elif space.delta is not None:
        stages[0]["space"].append(DELTA)
    return with_spaces(
        config.model_copy(
            update={
                "strategy": {"name": DEFAULT_STRATEGY},
                "stage": [StageSection.model_validate(stage) for stage in stages],
                "space": space,
            }
        )
    )


def _may_show_none(space: SpaceSection) -> bool:
    """Return whether prompts may lack demonstrations."""
    return (space.prompt or PromptSpaceSection()).demonstrations[0] == 0


def _learning(written: bool, size: int) -> dict[str, Any]:
    """Return the ``[strategy]`` of the stage that learns.

    Args:
        written: whether answers are texts: two survive, since most of the cost is learning, and no noise is added.
        size: of the population otherwise.
    """
    if written:
        return {
            "name": "memetic",
            "population_size": 2,
            "mutation_prob": 0.0,
            "gradient_steps": STEPS,
            "batch_size": 8,
        }
    return {"name": "memetic", "population_size": size, "learning_rate": 0.01, "gradient_steps": STEPS}


def _may_probe(config: CampaignConfig, fits: bool) -> bool:
    """Return whether labels may be read from hidden states.

    Args:
        config: the campaign.
        fits: whether readouts evolve that may be fitted.
    """
    given = config.space.readout
    kinds = given.kinds if given else READOUTS if fits else ()
    return any(KINDS_OF_READOUTS[kind].states for kind in kinds if kind in KINDS_OF_READOUTS)


def _population(evaluations: int, largest: int) -> int:
    """Return a size of population that leaves a few generations; ``largest`` if evaluations have no limit."""
    return max(2, min(largest, evaluations // EVALUATIONS_EACH)) if evaluations else largest


def _can_race(config: CampaignConfig, task: Task) -> bool:
    """Whether individuals may race that are scored by the task's own scorer alone; a campaign may race anyway."""
    if config.evaluation.racing != "off" or config.fitness.combine != "sum":
        return False
    name = task_scorer_name(task)
    by_metric = set(config.scorers or {name: 1.0}) == {name} and METRICS[task.metric].weights is not None
    return by_metric and not KINDS[task.kind].open and bool(looks(config.evaluation.race_block, len(task.dev)))
