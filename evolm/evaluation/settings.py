"""From ``[evaluation]`` to the sizes of forward passes and the number of workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import joblib

from evolm.config import CampaignConfig
from evolm.errors import ConfigError
from evolm.models import PassSettings

if TYPE_CHECKING:
    from evolm.models import Model

FEWEST_REFUSED: Final = 64  # workers that a small machine may have, each with a model


def pass_settings(config: CampaignConfig) -> PassSettings:
    """Return the sizes of forward passes in ``[evaluation]``."""
    section = config.evaluation
    return PassSettings(section.slab_tokens, section.trunk_mb * 2**20, section.prefix_mb * 2**20)


def jobs(wanted: int | str, model: Model) -> int:
    """Return the number of workers: cores for ``"auto"``, 1 on a GPU."""
    if wanted == "auto":
        return 1 if model.profile.device != "cpu" else int(joblib.cpu_count())
    if int(wanted) < 1:
        raise ConfigError(f"evaluation.n_jobs: expected at least 1 or 'auto', found {wanted}")
    most = max(FEWEST_REFUSED, 4 * joblib.cpu_count())
    if int(wanted) > most:
        raise ConfigError(f"evaluation.n_jobs: expected at most {most} workers on this machine, found {wanted}")
    return int(wanted)
