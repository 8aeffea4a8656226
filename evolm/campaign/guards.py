"""From ``[guard]`` to the guard of a campaign."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evolm.config import CampaignConfig
from evolm.data_access import locate
from evolm.errors import ConfigError, DataError
from evolm.evaluation.guard import Guard, passages_of, sample_text
from evolm.genomes import DELTA
from evolm.models import require_local
from evolm.scorers import Scoring
from evolm.typed import text_of


def check_guard(config: CampaignConfig, tables: Mapping[str, Any]) -> None:
    """Raise ConfigError if the guard is to be an objective and there is no front, or nothing changes the model."""
    if config.guard is None or config.guard.use == "constraint":
        return
    if config.fitness.combine != "pareto":
        raise ConfigError("guard.use = 'objective': expected fitness.combine = 'pareto', found 'sum'")
    if DELTA not in tables:
        raise ConfigError(
            "guard.use = 'objective': expected weights that evolve ([space.delta]), found none: prompts and readouts "
            "leave the model as it is"
        )


def make_guard(config: CampaignConfig, tables: Mapping[str, Any], scoring: Scoring) -> Guard | None:
    """Return the guard of a resolved campaign; None without one, or if nothing changes the model.

    Args:
        config: the campaign.
        tables: kinds of its chromosomes.
        scoring: what scorers are made from.

    Raises:
        ConfigError: for a text that is too short, and see :func:`check_guard`.
        DataError: for a text that cannot be read.
    """
    if config.guard is None:
        return None
    check_guard(config, tables)
    text = _text(config.guard.data) if config.guard.data else sample_text()
    passages = passages_of(text, require_local(scoring.model, "guard"), config.guard.tokens)
    return Guard(scoring, config.guard, passages) if DELTA in tables else None


def _text(place: str) -> str:
    path = locate(place, Path(), trusted=True)  # the resolved place was checked
    try:
        text = text_of(path)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"guard.data: {place}: expected a text in UTF-8: {error}") from None
    if "\0" in text:
        raise DataError(f"guard.data: {place}: expected a text in UTF-8, found bytes that are no text")
    return text
