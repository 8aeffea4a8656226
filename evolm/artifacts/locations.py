"""From a place on the disk to the prompt or committee that it has, and from there to the run around it."""

from __future__ import annotations

from pathlib import Path

from evolm.artifacts.committee import COMMITTEE_FILE
from evolm.artifacts.prompt_files import PROMPT_FILE
from evolm.errors import RunError, nearest
from evolm.storage import RunLayout
from evolm.wording import listed

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"  # PEFT's names


def find_prompt(place: Path, use: str = "best") -> Path:
    """Return the ``prompt.json`` of a place, or its ``committee.json``.

    Args:
        place: a run's directory, an exported folder, or the file itself.
        use: of a run: ``"best"``, or a folder's name in ``baselines/``.

    Raises:
        RunError: if there is none.
    """
    layout = RunLayout(place)
    if layout.journal.exists() or (layout.campaign.exists() and layout.best.exists()):
        layout.require_run()
        return _prompt_of_run(layout, use)
    path = place if place.is_file() else _saved_in(place)
    if not path.exists() and (place / ADAPTER_CONFIG).exists():
        raise RunError(f"{place}: expected an adapter with its {PROMPT_FILE}, found an adapter without")
    if not path.exists():
        raise RunError(f"{place}: expected a run, a folder with {PROMPT_FILE} or that file, found none of them")
    if use != "best":
        raise RunError(f"{place}: expected a run to take {use!r} from, found a single prompt")
    return path


def _prompt_of_run(layout: RunLayout, use: str) -> Path:
    path = _saved_in(layout.best if use == "best" else layout.baselines / use)
    if path.exists():
        return path
    baselines = sorted(folder.name for folder in layout.baselines.glob("*") if _saved_in(folder).exists())
    known = ["best", *baselines] if _saved_in(layout.best).exists() else baselines
    raise RunError(f"{path}: expected a prompt {use!r}, found {listed(known)}{nearest(use, known)}")


def _saved_in(folder: Path) -> Path:
    """Return the place of a folder's committee if it has one, else of its prompt."""
    committee = folder / COMMITTEE_FILE
    return committee if committee.exists() else folder / PROMPT_FILE


def run_around(path: Path) -> RunLayout | None:
    """Return the run that a ``prompt.json`` or ``committee.json`` belongs to; None if it is in no run's directory."""
    above = (RunLayout(folder) for folder in path.resolve().parents[1:5])  # baselines/NAME/members/1/prompt.json
    return next((layout for layout in above if layout.journal.exists() and layout.items.exists()), None)


def seen_by_run(path: Path) -> frozenset[str] | None:
    """Return the content keys of the items that the run of a ``prompt.json`` selected on or learned from.

    None if the file is in no run's directory.
    """
    layout = run_around(path)
    return None if layout is None else frozenset(layout.read_seen())
