"""Taking a run home: its prompt, or a founding population made of its best, as a new folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tomli_w

from evolm import config as configuration
from evolm.campaign.applying import saved_prompt
from evolm.campaign.founder_sources import FROM, FROM_A_RUN, best_of_run, founders_file
from evolm.campaign.needs import allowances, needs, rows_of
from evolm.campaign.saved import SavedRecord, find_prompt
from evolm.config import FILE_NAME, Campaign
from evolm.errors import ConfigError, GenomeError, nearest
from evolm.export.folder import write_folder
from evolm.export.population import FOUNDERS, README, campaign_tables, population_readme, without_demonstrations
from evolm.export.prompt import FILE, FILES
from evolm.genomes import from_record
from evolm.report.reading import RunRecord
from evolm.storage import RunLayout
from evolm.wording import counted, listed

FORMS = ("prompt", "population")

Record = dict[str, Any]


def export(
    place: Path,
    target: Path,
    to: str = "prompt",
    *,
    use: str = "best",
    without_examples: bool = False,
    copy: bool = False,
) -> list[str]:
    """Write a new folder and return sentences about it.

    Args:
        place: a run's directory; for a prompt, any place that has one.
        target: the folder.
        to: ``"prompt"`` = a prompt that ``evolm predict`` and ``evolm score`` apply elsewhere; ``"population"`` = the
            run's best prompts as a founding population for ``evolm run``.
        use: which prompt of a run: ``"best"``, or a baseline.
        without_examples: leave demonstrations, which are rows of the data, out.
        copy: copy the campaign's rows into a founding population.

    Raises:
        ConfigError: if the form is unknown, or what is asked for contradicts it.
        RunError: if ``place`` has nothing to export, or something lies at ``target``.
    """
    if to not in FORMS:
        raise ConfigError(f"export: expected one of {listed(FORMS)}, found {to!r}{nearest(to, FORMS)}")
    if to == "prompt" and copy:
        raise ConfigError("export: rows can be copied into a population, not beside a prompt")
    if to == "population" and use != "best":
        raise ConfigError(f"export: a population is made of the best of a whole run, so {use!r} cannot be chosen")
    if copy and without_examples:
        raise ConfigError("export: expected the rows to be copied or examples to be left out, found both")
    if to == "prompt":
        return _export_prompt(find_prompt(place, use), target, without_examples)
    return _export_population(RunLayout(place), target, without_examples, copy)


# -- a prompt ------------------------------------------------------------------------------------------------


def _export_prompt(path: Path, target: Path, without_examples: bool) -> list[str]:
    said = [f"Written: {target}", f"Next: evolm score {target} ROWS, or evolm predict {target} ROWS --out FILE.csv"]
    shown = len(from_record(SavedRecord.read(path).genome).demonstrations)
    if not (without_examples and shown):
        write_folder(target, _saved_files(path))
        return said
    with saved_prompt(path) as opened:
        write_folder(target, opened.files(without_examples=True))
    return [
        *said,
        f"Without its {counted(shown, 'demonstration')} this is another prompt than the one that was scored.",
    ]


def _saved_files(path: Path) -> dict[str, Path]:
    """Return the files of a saved prompt: name -> where it lies."""
    beside = [name for name in FILES if name != FILE and path.name == FILE and path.with_name(name).exists()]
    return {FILE: path} | {name: path.with_name(name) for name in beside}


# -- a founding population -----------------------------------------------------------------------------------


def _export_population(layout: RunLayout, target: Path, without_examples: bool, copy: bool) -> list[str]:
    layout.require_run()
    config, run = configuration.load(layout.campaign), RunRecord.read(layout.directory)
    founders, seen = _founders(layout, config, without_examples), layout.read_seen()
    shown = sum(bool(record.get("demonstrations")) for record in founders)
    rows = rows_of(layout, config, copy)
    page = population_readme(
        run,
        founders=len(founders),
        shown=shown,
        keys=len(seen),
        left_out=without_examples,
        surroundings=" ".join([rows.about, *needs(config)]),
    )
    tables = campaign_tables(config, rows.data, run.task.get("name", ""))
    head = f"# Exported from a run of evolm; {README} tells what came of it.\n{rows.comment}"
    texts = {
        FILE_NAME: head + tomli_w.dumps(tables),
        FOUNDERS: founders_file(founders, seen),
        README: page,
    }
    write_folder(target, {**texts, **rows.copies})
    examples = "without demonstrations" if without_examples else f"{shown} of them with demonstrations"
    keys = f"{counted(len(seen), 'content key')} of what they have seen"
    return [
        f"Written: {target}, {counted(len(founders), 'founder')}, {examples}.",
        f"With them go {keys}; {README} says what that reveals.",
        f"Next: evolm run {target}{rows.options}{allowances(config)}",
    ]


def _founders(layout: RunLayout, config: Campaign, without_examples: bool) -> list[Record]:
    placed = best_of_run(layout, layout.directory.resolve().name)
    if not placed:
        raise GenomeError(f"{layout.directory}: expected a run with evaluated individuals, found none")
    if without_examples:
        placed = without_demonstrations(placed, config.space.prompt.demonstrations[0])
    return [{**record, FROM: where} for record, where in placed[:FROM_A_RUN]]
