"""What the user allows a campaign file to reach, and the one place that turns a name into code."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from evolm.early import refuse_unknown
from evolm.errors import ConfigError, PermissionNeeded
from evolm.models.served.names import host_elsewhere

MODEL: Final = "model.name"
MODELS: Final = (MODEL, "operators.writer.model")  # keys of campaign.toml that name a model


@dataclass(frozen=True)
class Permissions:
    """What the user allows beyond a campaign's own folder and installed packages.

    Attributes:
        packages: packages whose code a campaign may name, and hosts whose served models.
        data_roots: folders that data may be read from.
        trusted_data: whether the user, not the campaign file, named the data.
        trusted_models: keys of :data:`MODELS` whose model the user, not the campaign file, named.
    """

    packages: tuple[str, ...] = ()
    data_roots: tuple[Path, ...] = ()
    trusted_data: bool = False
    trusted_models: tuple[str, ...] = ()


def refuse_servers(names: Mapping[str, str], permissions: Permissions) -> None:
    """Refuse servers of other machines, to which rows and the user's key would be sent.

    Args:
        names: key of :data:`MODELS` -> name of a model.
        permissions: hosts that the user allows.

    Raises:
        PermissionNeeded: naming the first host that is not allowed.
    """
    for key, name in names.items():
        host = host_elsewhere(name)
        if host and key not in permissions.trusted_models and host not in permissions.packages:
            raise PermissionNeeded(
                f"{key}: expected a model of this machine, found the server {host!r}, which would be sent the rows "
                f"and the key; admit it with --allow {host}"
            )


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
