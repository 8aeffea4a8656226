"""From ``[space.NAME]`` to the spaces of chromosomes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from evolm.campaign.permissions import Permissions, lookup
from evolm.config import CampaignConfig, validate
from evolm.genomes import CHROMOSOMES, READOUT, ChromosomeSpace, ReadoutSpace, require_space
from evolm.tasks import Task

if TYPE_CHECKING:
    from evolm.models import LanguageModel


def chromosome_tables(
    config: CampaignConfig, permissions: Permissions
) -> dict[str, tuple[type[ChromosomeSpace], Any]]:
    """Return kind of chromosome -> class of its space and its checked table, in the order of the catalogue.

    Without ``[space.prompt]`` the genome has a prompt, too: the founder's, which does not evolve.

    Raises:
        ConfigError: for an unknown kind or key, or outside code that is not a ``ChromosomeSpace``.
        PermissionNeeded: for code of a package that is not allowed.
    """
    tables = config.space.tables
    kinds = {name: lookup(name, CHROMOSOMES, permissions, "space") for name in tables}
    known = [name for name in CHROMOSOMES if name in kinds]
    found = {}
    for name in [*known, *sorted(kinds.keys() - CHROMOSOMES.keys())]:
        kind = require_space(kinds[name], f"space.{name}")
        found[name] = (kind, validate(kind.Params, tables[name], f"[space.{name}]"))
    return found


def dormant_spaces(
    parts: Mapping[str, ChromosomeSpace], task: Task, model: LanguageModel
) -> dict[str, ChromosomeSpace]:
    """Return the spaces of chromosomes that baselines may have though the search does not: kind -> space.

    Args:
        parts: the spaces of the search.
        task, model: of the campaign.
    """
    if READOUT in parts or len(task.taught_labels) < 2:
        return {}
    return {READOUT: ReadoutSpace.build(ReadoutSpace.Params(), task, model)}
