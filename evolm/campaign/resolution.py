"""Resolving a configuration: every place in it becomes absolute and is checked against the user's permissions.

This happens once, before anything is built. A resolved configuration means the same from any folder, so it is what a
run's directory keeps.
"""

from __future__ import annotations

from pathlib import Path

from evolm.campaign.permissions import MODELS, Permissions, refuse_servers
from evolm.campaign.stages import with_spaces
from evolm.config import CampaignConfig, DataFiles
from evolm.data_access import DATASETS, PACKAGE, locate, model_place
from evolm.founders.sources import find_source


def resolved(
    config: CampaignConfig, root: Path, permissions: Permissions = Permissions(), framed: bool = False
) -> CampaignConfig:
    """Return the configuration with absolute places and the spaces that its stages name.

    Resolving it again changes nothing.

    Args:
        config: a validated campaign file.
        root: the folder that its relative paths start from.
        permissions: what it may read beyond that folder.
        framed: whether the rows come from Python, so that ``task.data`` is no file.

    Raises:
        PermissionNeeded: if data or founders lie where the campaign may not read, or a model is served elsewhere.
        ConfigError: for an empty or malformed place, or a space that no stage names.
        DataError: if a distribution, or a file in it, is missing.
        GenomeError: if a place of founders is missing.
    """
    written = [config.operators.writer.model] if config.operators.writer else []
    refuse_servers(dict(zip(MODELS, [config.model.name, *written], strict=False)), permissions)
    data = config.task.data
    if isinstance(data, DataFiles):
        places = {split: _data_place(place, root, permissions) for split, place in data if place}
        data = data.model_copy(update=places)
    elif not framed:
        data = _data_place(data, root, permissions)
    operators, writer = config.operators, config.operators.writer
    if writer is not None:
        writer = writer.model_copy(update={"model": model_place(writer.model, root)})
        operators = operators.model_copy(update={"writer": writer})
    guard = config.guard
    if guard and guard.data:
        guard = guard.model_copy(update={"data": _data_place(guard.data, root, permissions)})
    unlabelled = _data_place(config.task.unlabelled, root, permissions) if config.task.unlabelled else ""
    founders = [str(find_source(place, root, permissions.data_roots)) for place in config.founders]
    return with_spaces(
        config.model_copy(
            update={
                "model": config.model.model_copy(update={"name": model_place(config.model.name, root)}),
                "task": config.task.model_copy(update={"data": data, "unlabelled": unlabelled}),
                "founders": founders,
                "operators": operators,
                "guard": guard,
            }
        )
    )


def _data_place(place: str, root: Path, permissions: Permissions) -> str:
    """Return a table's absolute path; names of distributions and hub data sets mean the same everywhere."""
    if place.startswith(DATASETS):
        return place
    locate(place, root, permissions.data_roots, permissions.trusted_data)
    # A link keeps its own name: the ending of the file that it leads to may say nothing.
    return place if place.startswith(PACKAGE) else str(root.resolve() / place)
