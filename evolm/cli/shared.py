"""What several verbs do alike."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from evolm.terminal import Console


def say_loading() -> None:
    """Say at a terminal what takes the first seconds."""
    console = Console(stderr=True)
    if console.is_terminal:
        console.print(Text("Loading torch and transformers ...", style="dim"))


def conclude(directory: Path, console: Console) -> None:
    """Print a finished run's summary, how to apply its best prompt, and where its files are."""
    from evolm.report import advice, render_summary
    from evolm.storage import RunLayout

    console.print(render_summary(directory))
    if command := advice(directory):
        console.print(Text(f"Apply it: {command}"), soft_wrap=True)
    layout = RunLayout(directory)
    if layout.prompt.exists():
        console.print(Text(f"Best prompt: {layout.prompt}"), soft_wrap=True)
    elif layout.member_prompts:
        console.print(Text(f"Committee: {layout.best}"), soft_wrap=True)
    console.print(Text(f"Report: {layout.report}"), soft_wrap=True)


def read_settings(assignments: Sequence[str], no_header: bool) -> dict[str, Any]:
    """Return the keys of ``[task.read]`` that options give for one file.

    Raises:
        ConfigError: for another key.
    """
    from evolm.config import own_read

    return own_read(assignments) | ({"header": False} if no_header else {})


def named_models(overrides: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the keys of campaign.toml whose models the user names on the command line."""
    operators = overrides.get("operators", {})
    written = isinstance(operators, Mapping) and "model" in (operators.get("writer") or {})
    model = overrides.get("model", {})
    named = isinstance(model, Mapping) and "name" in model
    return (*(["model.name"] if named else []), *(["operators.writer.model"] if written else []))


def file_name(name: str) -> str:
    """Return a campaign's name without the characters that a folder's name should not have."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-") or "campaign"
