"""From ``[space.NAME]`` to the spaces of chromosomes."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from evolm.campaign.permissions import Permissions, lookup
from evolm.config import CampaignConfig, ReadoutSpaceSection, validate
from evolm.genomes import CHROMOSOMES, PROMPT, READOUT, ChromosomeSpace, require_space
from evolm.readout_kinds import CALIBRATION
from evolm.tasks import KINDS


def chromosome_tables(
    config: CampaignConfig, permissions: Permissions
) -> dict[str, tuple[type[ChromosomeSpace], Any]]:
    """Return kind of chromosome -> class of its space and its checked table, in the order of the catalogue.

    Without ``[space.prompt]`` the genome has a prompt, too: the founder's, which does not evolve. Without
    ``[space.readout]``, labels and options are read by their words, calibrated or not.

    Raises:
        ConfigError: for an unknown kind or key, or outside code that is not a ``ChromosomeSpace``.
        PermissionNeeded: for code of a package that is not allowed.
    """
    tables = config.space.tables
    if READOUT not in tables and not KINDS[config.task.kind].open:
        tables |= {READOUT: ReadoutSpaceSection(kinds=CALIBRATION)}
    kinds = {name: lookup(name, CHROMOSOMES, permissions, "space") for name in tables}
    known = [name for name in CHROMOSOMES if name in kinds]
    found = {}
    for name in [*known, *sorted(kinds.keys() - CHROMOSOMES.keys())]:
        kind = require_space(kinds[name], f"space.{name}")
        found[name] = (kind, validate(kind.Params, tables[name], f"[space.{name}]"))
    return found


def evolving_kinds(config: CampaignConfig, kinds: Collection[str]) -> tuple[str, ...]:
    """Return those of a campaign's kinds of chromosomes that evolve, in the same order.

    Readouts without a table of their own evolve with prompts; under a fixed prompt they are the founder's.
    """
    named = config.space.evolving
    calibrating = PROMPT in named and config.space.readout is None
    return tuple(kind for kind in kinds if kind in named or (kind == READOUT and calibrating))
