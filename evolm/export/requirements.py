"""The requirements of an exported campaign: its rows, its model, the user's code."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from evolm.config import FRAME, CampaignConfig
from evolm.data_access import DATASETS, PACKAGE
from evolm.errors import DataError
from evolm.scorers import SCORERS
from evolm.storage import RunLayout

ANYWHERE = (PACKAGE, DATASETS)  # prefixes of sources that do not depend on the folder


@dataclass(frozen=True)
class Rows:
    """The rows of an exported campaign.

    Attributes:
        data: value of ``task.data``.
        about: a sentence about it.
        copies: name below the exported folder -> file to copy.
        options: options that ``evolm run`` needs besides the folder.
    """

    data: str | dict[str, str]
    about: str
    copies: Mapping[str, Path] = field(default_factory=dict)
    options: str = ""

    @property
    def comment(self) -> str:
        """The campaign file's comment on rows outside of its folder."""
        return f"# The rows are outside of this folder: evolm run .{self.options}\n" if self.options else ""


def rows_of(layout: RunLayout, config: CampaignConfig, copy: bool) -> Rows:
    """Return the rows of the exported campaign.

    Raises:
        DataError: if a file to copy is missing.
    """
    given = config.task.data
    sources = {"": given} if isinstance(given, str) else given.model_dump()
    if layout.data.exists() or given == FRAME:  # rows that came from Python
        sources = {"": str(layout.data.resolve())}
    outside = {name: Path(source) for name, source in sources.items() if source and not source.startswith(ANYWHERE)}
    if not outside:
        return Rows(_joined(sources), f"The rows are those of {_shown(filter(None, sources.values()))}.")
    return _copied(sources, outside) if copy else _left(sources, outside)


def _copied(sources: Mapping[str, str], outside: Mapping[str, Path]) -> Rows:
    for path in outside.values():
        if not path.is_file():
            raise DataError(f"{path}: expected the run's rows, found no file")
    names = {name: f"data/{name}{path.suffix}" if name else f"data/{path.name}" for name, path in outside.items()}
    copies = {names[name]: path for name, path in outside.items()}
    return Rows(_joined({**sources, **names}), f"The rows are copied from {_shown(outside.values())}.", copies)


def _left(sources: Mapping[str, str], outside: Mapping[str, Path]) -> Rows:
    folders = dict.fromkeys(path.parent for path in outside.values())
    options = "".join(f" --data-root {shlex.quote(str(folder))}" for folder in folders)
    about = (
        f"The rows are in {_shown(outside.values())}, outside of this folder: start with `evolm run .{options}`. If "
        "they are elsewhere, change `task.data`."
    )
    return Rows(_joined(sources), about, options=options)


def _shown(names: Iterable[object]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _joined(sources: Mapping[str, str]) -> str | dict[str, str]:
    return sources[""] if "" in sources else dict(sources)


def needs(config: CampaignConfig) -> Iterator[str]:
    """Yield a sentence on every other requirement that may be missing on another machine."""
    if Path(config.model.name).is_absolute():
        yield f"The model is the folder or file `{config.model.name}` of this machine."
    functions = [name for name in config.scorers if name not in SCORERS and ":" not in name]
    if functions:
        yield (
            f"Its scorers {_shown(functions)} were functions of a Python program: pass them to `evolm.evolve`, or "
            "remove them from `[scorers]`."
        )


def allowances(config: CampaignConfig) -> str:
    """Return the ``--allow`` options for the code outside evolm that the campaign names."""
    names = [*config.scorers, str(config.strategy.get("name", ""))]
    packages = dict.fromkeys(name.partition(":")[0].split(".")[0] for name in names if ":" in name)
    return "".join(f" --allow {package}" for package in packages)
