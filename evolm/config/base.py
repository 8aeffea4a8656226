"""What every table of the file shares: unknown keys are refused, and the first wrong value is one sentence."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from evolm.config.errors import sentence
from evolm.errors import ConfigError

AnySection = TypeVar("AnySection", bound=BaseModel)


class Section(BaseModel):
    """A table of the campaign file: unknown keys are refused, values cannot be changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)


def validate(model: type[AnySection], values: Mapping[str, Any], where: str) -> AnySection:
    """Return ``values`` as ``model``, or raise one sentence.

    Args:
        model: the section's pydantic model.
        values: as from a TOML file, or from Python: see :func:`plain`.
        where: the place that the error message names, e.g. ``"campaign.toml"`` or ``"[strategy]"``.

    Raises:
        ConfigError: for the first wrong or unknown key.
    """
    values = plain(values)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        one_line = sentence(model, error, values, where).replace("\r", "\\r").replace("\n", "\\n")  # of a key
        raise ConfigError(one_line) from None


def plain(value: Any) -> Any:
    """Return a value as a TOML file would hold it: scalars and arrays of NumPy as Python's, paths as text."""
    if isinstance(value, Mapping):
        return {plain(key): plain(each) for key, each in value.items()}
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value
