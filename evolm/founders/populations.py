"""Founding populations: folders of data that ``evolm run`` takes, by path or by the name of a shipped one."""

from __future__ import annotations

from pathlib import Path

from evolm.config import FILE_NAME
from evolm.errors import ConfigError, nearest

PACKAGE = Path(__file__).parents[1]  # evolm
# In a wheel they lie inside the package, in a checkout beside it.
SHIPPED = (PACKAGE / "shipped_populations", PACKAGE.parent / "populations")


def shipped_populations() -> dict[str, Path]:
    """Return the shipped founding populations by name."""
    folders = [path for place in SHIPPED if place.is_dir() for path in sorted(place.iterdir())]
    return {path.name: path for path in folders if (path / FILE_NAME).exists()}


def find_population(name: str) -> Path:
    """Return the folder that ``name`` stands for: a folder with a campaign.toml, that file itself, or a shipped name.

    Raises:
        ConfigError: if there is none.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / FILE_NAME).exists():
            raise ConfigError(f"{name}: expected a {FILE_NAME} in this folder, found none")
        return path
    if path.name == FILE_NAME and path.exists():
        return path.parent
    shipped = shipped_populations()
    if name not in shipped:
        raise ConfigError(
            f"population {name!r}: expected a folder with a {FILE_NAME} or one of {sorted(shipped)}"
            f"{nearest(name, shipped)}"
        )
    return shipped[name]
