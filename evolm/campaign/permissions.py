"""What the user allows a campaign file to reach, and the one place that turns a name into code."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolm.early import refuse_unknown
from evolm.errors import ConfigError, PermissionNeeded


@dataclass(frozen=True)
class Permissions:
    """What the user allows beyond a campaign's own folder and installed packages.

    Attributes:
        packages: packages whose code a campaign may name.
        data_roots: folders that data may be read from.
        trusted_data: whether the user, not the campaign file, named the data.
    """

    packages: tuple[str, ...] = ()
    data_roots: tuple[Path, ...] = ()
    trusted_data: bool = False


def lookup(name: str, catalogue: Mapping[str, Any], permissions: Permissions, where: str) -> Any:
    """Return the catalogue's row ``name``, or the object ``package.module:attribute`` of an allowed package.

    Args:
        name: a key of the catalogue, or ``package.module:attribute``.
        catalogue: name -> class.
        permissions: the packages that may be imported from.
        where: the key of campaign.toml that error messages name.

    Raises:
        ConfigError: if the name is unknown or the code cannot be imported.
        PermissionNeeded: if the package is not allowed; nothing of it is imported then.
    """
    refuse_unknown(name, catalogue, where)
    if name in catalogue:
        return catalogue[name]
    module, _, attribute = name.partition(":")
    package = module.split(".")[0]
    if package not in permissions.packages:
        raise PermissionNeeded(f"{where}: {name!r} is code outside evolm; admit it with --allow {package}")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{where}: {name!r} cannot be imported: {error}") from None
