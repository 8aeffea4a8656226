"""What an exported campaign needs around it: its rows, its model, code of the user's."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from evolm.config import CampaignConfig
from evolm.data_access import PACKAGE
from evolm.errors import DataError
from evolm.scorers import SCORERS
from evolm.storage import RunLayout
from evolm.tasks.hub import DATASETS

ANYWHERE = (PACKAGE, DATASETS)  # sources that mean the same in any folder


@dataclass(frozen=True)
class Rows:
    """Where an exported campaign finds its rows.

    Attributes:
        data: what ``task.data`` says.
        about: a sentence about it.
        copies: name below the exported folder -> file to copy.
        options: what ``evolm run`` needs besides the folder.
    """

    data: str | dict[str, str]
    about: str
    copies: Mapping[str, Path] = field(default_factory=dict)
    options: str = ""

    @property
    def comment(self) -> str:
        """What the campaign file says about rows outside of its folder."""
        return f"# The rows lie outside of this folder: evolm run .{self.options}\n" if self.options else ""


def rows_of(layout: RunLayout, config: CampaignConfig, copy: bool) -> Rows:
    """Return where the exported campaign finds the run's rows.

    Raises:
        DataError: if a file that is to be copied is not there.
    """
    given = config.task.data
    sources = {"": given} if isinstance(given, str) else given.model_dump()
    if layout.data.exists():  # rows that came from Python
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
        f"The rows lie in {_shown(outside.values())}, outside of this folder, so start with `evolm run .{options}`; "
        "where they lie elsewhere, change `task.data`."
    )
    return Rows(_joined(sources), about, options=options)


def _shown(names: Iterable[object]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _joined(sources: Mapping[str, str]) -> str | dict[str, str]:
    return sources[""] if "" in sources else dict(sources)


def needs(config: CampaignConfig) -> Iterator[str]:
    """Yield a sentence for everything else that the campaign needs and that may be missing elsewhere."""
    if Path(config.model.name).is_absolute():
        yield f"The model is the folder or file `{config.model.name}` of this machine."
    functions = [name for name in config.scorers if name not in SCORERS and ":" not in name]
    if functions:
        yield (
            f"Its scorers {_shown(functions)} were functions of a Python program: give them to `evolm.evolve`, or "
            "take them out of `[scorers]`."
        )


def allowances(config: CampaignConfig) -> str:
    """Return the options that admit the code outside evolm which the campaign names."""
    names = [*config.scorers, str(config.strategy.get("name", ""))]
    packages = dict.fromkeys(name.partition(":")[0].split(".")[0] for name in names if ":" in name)
    return "".join(f" --allow {package}" for package in packages)
