"""What a campaign can do with a served model, which gives access neither to weights nor to hidden states."""

from __future__ import annotations

from collections.abc import Sequence

from evolm.baselines.probe import PROBE
from evolm.campaign.stages import Stage
from evolm.config import CampaignConfig
from evolm.errors import ConfigError
from evolm.genomes import DELTA
from evolm.models.contract import REFUSED
from evolm.models.served.names import is_served
from evolm.readout_kinds import KINDS_OF_READOUTS


def without_states(config: CampaignConfig) -> CampaignConfig:
    """Return the campaign; if its model is served, without the baseline that reads hidden states by default."""
    if not is_served(config.model.name) or PROBE.name in config.baselines:
        return config
    return config.model_copy(update={"baselines": {**config.baselines, PROBE.name: False}})


def refuse_served(config: CampaignConfig, stages: Sequence[Stage]) -> None:
    """Raise ConfigError if the model is served and the campaign changes weights, reads states or learns."""
    if not is_served(config.model.name):
        if config.budget.requests:
            raise ConfigError(
                f"budget.requests: expected a served model, found {config.model.name!r}; limit evaluations or tokens"
            )
        return
    readout = config.space.readout
    read = [kind for kind in (readout.kinds if readout else ()) if KINDS_OF_READOUTS[kind].states]
    wanted = {
        "space.delta": DELTA in config.space.tables,
        f"space.readout.kinds: {read[:1]}": bool(read),
        "strategy": any(stage.choice.kind.learns for stage in stages),
        f"baselines.{PROBE.name}": config.baselines.get(PROBE.name, False),
    }
    for what, found in wanted.items():
        if found:
            raise ConfigError(f"{what}: expected a local model, found the server {config.model.name!r}, {REFUSED}")
