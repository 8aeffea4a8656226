"""``evolm export``: checks the options and hands over to the form that is exported, one file each."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from evolm.artifacts import find_prompt
from evolm.choices import ExportForm
from evolm.errors import ConfigError, nearest
from evolm.storage import RunLayout
from evolm.storage.files import require_new
from evolm.wording import listed

FORMS = get_args(ExportForm)


def export(
    place: Path,
    target: Path,
    to: ExportForm = "prompt",
    *,
    use: str = "best",
    without_examples: bool = False,
    copy: bool = False,
    base: str | None = None,
    model: str | None = None,
) -> list[str]:
    """Write a new folder and return sentences about it.

    Args:
        place: a run's directory; for a prompt or a delta, any place that :func:`find_prompt` takes.
        target: the folder.
        to: ``"prompt"`` = a prompt that ``evolm predict`` and ``evolm score`` apply elsewhere, its delta included;
            ``"peft"`` = the delta as an adapter for PEFT; ``"merged"`` = a model with the delta in its weights;
            ``"population"`` = the run's best as a founding population for ``evolm run``.
        use: which prompt of a run: ``"best"``, or a baseline.
        without_examples: leave demonstrations, which are rows of the data, out.
        copy: copy the campaign's rows into a founding population.
        base: another copy of the run's model that an adapter is for; the adapter is scored on it if it is on this
            machine.
        model: the place of the run's model, if it has moved; the export names this place.

    Raises:
        ConfigError: if the form is unknown, or an option contradicts it.
        RunError: if ``place`` has nothing to export, or ``target`` exists.
    """
    _check_options(to, use, without_examples, copy, base)
    if to == "population":
        from evolm.export.population import export_population

        return export_population(RunLayout(place), target, without_examples, copy, model)
    require_new(target, "folder")
    path = find_prompt(place, use)
    if to == "peft":
        from evolm.export.adapter import export_adapter

        return export_adapter(path, target, without_examples, base, model)
    if to == "merged":
        from evolm.export.merged import export_merged

        return export_merged(path, target, without_examples, model)
    from evolm.export.prompt import export_prompt

    return export_prompt(path, target, without_examples, model)


def _check_options(to: str, use: str, without_examples: bool, copy: bool, base: str | None) -> None:
    """Raise ConfigError if options contradict each other."""
    if to not in FORMS:
        raise ConfigError(f"export: expected one of {listed(FORMS)}, found {to!r}{nearest(to, FORMS)}")
    if to != "population" and copy:
        raise ConfigError(f"export: rows can only be copied into a population, found --copy with {to!r}")
    if to == "population" and use != "best":
        raise ConfigError(
            f"export: expected no --use with --to population, which is made of a run's best, found {use!r}"
        )
    if copy and without_examples:
        raise ConfigError("export: expected --copy (rows) or --without-examples (no rows), found both")
    if to != "peft" and base is not None:
        raise ConfigError(f"export: a base is what an adapter is for (--to peft), found --base {base} with {to!r}")
