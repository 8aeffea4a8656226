"""A model on another host than the campaign's, found there by its identity."""

from __future__ import annotations

import platform
from dataclasses import replace
from pathlib import Path

from evolm.errors import EvolmError, ModelError
from evolm.models.checkpoint_folder import is_whole
from evolm.models.conversion import cache_folder
from evolm.models.loading import prepare
from evolm.models.specs import PreparedModel


def cached_folder(prepared: PreparedModel) -> Path:
    """Return the folder in this host's cache that holds a model in its dtype, or would hold it."""
    return cache_folder() / "models" / f"{prepared.fingerprint[:16]}-{prepared.dtype}"


def on_this_host(prepared: PreparedModel) -> PreparedModel:
    """Return the same model with its folder on this host; convert it first if there is none.

    The folder of converted models is shared by all processes of a host, and a lock lets one of them convert.

    Args:
        prepared: the campaign's, whose folder may be missing here.

    Raises:
        ModelError: if the model's name leads to no model here, or to another one; it names host and model.
    """
    cached = cached_folder(prepared)
    for folder in (cached, Path(prepared.folder)):
        if folder.name == cached.name and is_whole(folder):
            return replace(prepared, folder=str(folder))
    source = prepared.folder if Path(prepared.folder).is_dir() else prepared.name
    try:
        found = prepare(source, dtype=prepared.dtype, device=prepared.device)
    except EvolmError as error:
        raise ModelError(
            f"host {platform.node()!r}: expected the model {prepared.name!r} ({prepared.fingerprint[:16]}), found "
            f"none: {error}"
        ) from None
    if found.fingerprint != prepared.fingerprint:
        raise ModelError(
            f"host {platform.node()!r}: expected the model {prepared.name!r} with fingerprint "
            f"{prepared.fingerprint[:16]}, found {found.fingerprint[:16]}"
        )
    return replace(found, name=prepared.name)


__all__ = ["cached_folder", "on_this_host"]
