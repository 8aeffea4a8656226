"""The gallery of founding populations, from their campaign files and READMEs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from evolm.config import FILE_NAME
from evolm.founders.populations import shipped_populations
from evolm.wording import markdown_table


def _summary(folder: Path) -> str:
    first = (folder / FILE_NAME).read_text(encoding="utf-8").splitlines()[0]
    return re.sub(r"[;.]? ?[Ss]ee README\.md.*$", "", first.removeprefix("# ")).rstrip(".:") + "."


def _row(name: str, folder: Path) -> tuple[str, ...]:
    tables = tomllib.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
    space = ", ".join(tables.get("space", {"prompt": {}}))
    budget = ", ".join(f"{value} {limit}" for limit, value in tables.get("budget", {}).items())
    return f"[`{name}`](#{name})", _summary(folder), tables["task"].get("kind", "classification"), space, budget


def _readme(name: str, folder: Path) -> str:
    path = folder / "README.md"
    return path.read_text(encoding="utf-8") if path.exists() else f"# {name}\n\n{_summary(folder)}"


def measured(name: str) -> str:
    """Return the result in a population's README: the command, its output, what it means."""
    text = (shipped_populations()[name] / "README.md").read_text(encoding="utf-8")
    return text.partition("<!-- result -->\n")[2].partition("<!-- /result -->")[0].strip()


def gallery() -> str:
    """Return a table of the shipped populations and the README of each."""
    found = shipped_populations()
    rows = [_row(name, folder) for name, folder in found.items()]
    table = markdown_table(("`evolm run ...`", "what it is", "kind", "space", "budget"), rows)
    described = [re.sub(r"^#", "##", _readme(name, folder), flags=re.MULTILINE) for name, folder in found.items()]
    return "\n\n".join([table, *described])
