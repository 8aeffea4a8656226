"""Baselines: what the campaign's best must beat on the test split. A baseline is one file and one row here."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from evolm.baselines.bag_of_words import BAG_OF_WORDS
from evolm.baselines.base import BEST, Baseline, Contest, Contestant, is_outcomes
from evolm.baselines.few_shot import FEW_SHOT
from evolm.baselines.fine_tuning import FINE_TUNING
from evolm.baselines.founder import BEST_FOUNDER
from evolm.baselines.majority import MAJORITY
from evolm.baselines.prior_corrected import PRIOR_CORRECTED
from evolm.baselines.probe import PROBE
from evolm.baselines.random_search import RANDOM
from evolm.baselines.self_training import SELF_TRAINING
from evolm.baselines.single import SINGLE
from evolm.errors import ConfigError, nearest
from evolm.wording import listed

# In the order in which their answers are asked for; of equal scores the first counts as the strongest.
BASELINES: dict[str, Baseline] = {
    baseline.name: baseline
    for baseline in (
        BEST_FOUNDER,
        PRIOR_CORRECTED,
        FEW_SHOT,
        PROBE,
        RANDOM,
        FINE_TUNING,
        SELF_TRAINING,
        BAG_OF_WORDS,
        MAJORITY,
        SINGLE,
    )
}


def chosen_baselines(
    settings: Mapping[str, bool], learning: Collection[bool] = (False,), labelled: bool = True
) -> list[Baseline]:
    """Return the baselines that take part, in the order of ``BASELINES``.

    Args:
        settings: ``[baselines]``: name -> whether it takes part.
        learning: whether the strategy learns by gradient, for each stage of the campaign; a baseline takes part that
            would for one of them.
        labelled: whether there are labelled train rows; without, a baseline that learns from them must be named.

    Raises:
        ConfigError: for a name that is no baseline, or one that cannot be switched.
    """
    switchable = [name for name, baseline in BASELINES.items() if baseline.switchable]
    for name in settings:
        if name not in switchable:
            raise ConfigError(f"baselines: expected {listed(switchable)}, found {name!r}{nearest(name, switchable)}")
    able = [each for each in BASELINES.values() if labelled or not each.learns_labels or each.name in settings]
    return [each for each in able if any(each.takes_part(settings, learns) for learns in learning)]


def searching_baselines(
    settings: Mapping[str, bool], strategy: str, learning: Collection[bool] = (False,), labelled: bool = True
) -> list[Baseline]:
    """Return the baselines that take part and need a search of their own.

    Args:
        settings: ``[baselines]``.
        strategy: name of the main search's strategy; a baseline of the same strategy is left out.
        learning, labelled: see :func:`chosen_baselines`.
    """
    return [
        baseline
        for baseline in chosen_baselines(settings, learning, labelled)
        if baseline.strategy is not None and baseline.strategy["name"] != strategy
    ]


__all__ = [
    "BASELINES",
    "BEST",
    "Baseline",
    "Contest",
    "Contestant",
    "chosen_baselines",
    "is_outcomes",
    "searching_baselines",
]
