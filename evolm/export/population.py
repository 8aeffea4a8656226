"""Exporting the best of a run as a founding population: its founders, its campaign and a README.

The founders bring the content keys of all items that their lineage has seen, also without demonstrations: a later
campaign could not refuse a test split with the same rows otherwise. A key is a plain hash. No row can be read from
it, but a reader who has a row, or guesses it, can tell that it was seen; the README says so, and how to remove the
keys.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from evolm import config as configuration
from evolm.config import EXTERNAL, FILE_NAME, SCHEMA, CampaignConfig
from evolm.errors import GenomeError
from evolm.export.folder import write_folder
from evolm.export.population_readme import README, population_readme
from evolm.export.requirements import allowances, needs, rows_of
from evolm.founders.files import FROM, founders_files
from evolm.founders.sources import FROM_A_RUN, best_of_run
from evolm.genomes import PROMPT
from evolm.models.moved import moved_section
from evolm.report.reading import RunRecord
from evolm.report.run_files import readable
from evolm.storage import RunLayout
from evolm.storage.layout import FOUNDERS
from evolm.wording import counted, shell_word

Record = dict[str, Any]
Placed = tuple[Record, str]  # a genome's record, and its origin


def export_population(
    layout: RunLayout, target: Path, without_examples: bool, copy: bool, model: str | None = None
) -> list[str]:
    """Write a founding population into a new folder; return sentences about it.

    Args:
        layout: the run.
        target: the folder.
        without_examples: leave demonstrations out.
        copy: copy the run's rows.
        model: the place of the run's model, if it has moved; the population names this place.

    Raises:
        RunError: if there is no run, or ``target`` exists.
        GenomeError: if the run has no evaluated individual.
        DataError: if a file of rows to copy is missing.
        ModelError: if another model is at that place.
    """
    layout.require_run()
    config, run = configuration.load(layout.campaign), RunRecord.read(layout.directory)
    if model is not None:
        section = moved_section(config.model, model, run.fingerprint)
        config = config.model_copy(update={"model": section})
    founders, seen = _founders(layout, config, without_examples), layout.read_seen()
    shown = sum(bool(record.get("prompt", record).get("demonstrations")) for record in founders)
    rows = rows_of(layout, config, copy)
    with readable(layout.directory):
        page = population_readme(
            run,
            founders=len(founders),
            shown=shown,
            changed=sum("delta" in record for record in founders),
            keys=len(seen),
            left_out=without_examples,
            surroundings=" ".join([rows.about, *needs(config)]),
        )
        tables = campaign_tables(config, rows.data, run.task.get("name", ""))
    head = f"# Exported from a run of evolm; {README} has its result.\n{rows.comment}"
    texts = {FILE_NAME: head + configuration.toml_text(tables), README: page}
    write_folder(target, {**texts, **founders_files(founders, seen), **rows.copies})
    examples = "without demonstrations" if without_examples else f"{shown} of them with demonstrations"
    keys = counted(len(seen), "content key")
    return [
        f"Written: {target}, {counted(len(founders), 'founder')}, {examples}.",
        f"The folder holds {keys} of the items that the founders have seen; {README} says what the keys reveal.",
        f"Next: evolm run {shell_word(target)}{rows.options}{allowances(config)}",
    ]


def _founders(layout: RunLayout, config: CampaignConfig, without_examples: bool) -> list[Record]:
    placed = best_of_run(layout, layout.directory.resolve().name)
    if without_examples:
        placed = without_demonstrations(placed, config.space.prompts.demonstrations[0])
    founders = [{**record, FROM: where} for record, where in islice(placed, FROM_A_RUN)]
    if not founders:
        raise GenomeError(f"{layout.journal}: expected evaluated individuals, found none")
    return founders


def without_demonstrations(placed: Iterable[Placed], fewest: int) -> Iterator[Placed]:
    """Yield founders' records without demonstrations, in order; equal ones without arrays once.

    Args:
        placed: records and their origins.
        fewest: demonstrations that a prompt of this campaign needs; a campaign that starts from these founders draws
            as many from its train rows.
    """
    known = set()
    for record, where in placed:
        bare = {**record, PROMPT: _bare(record[PROMPT], fewest)} if PROMPT in record else _bare(record, fewest)
        digest = json.dumps(bare, sort_keys=True, default=lambda array: array.tobytes().hex())
        if digest not in known:
            known.add(digest)
            yield bare, where


def _bare(prompt: Record, fewest: int) -> Record:
    bare = {key: value for key, value in prompt.items() if key != "demonstrations"}
    return {**bare, "demonstrations": fewest} if fewest else bare


def campaign_tables(config: CampaignConfig, data: Any, name: str) -> Record:
    """Return the tables of a founding population's campaign file: the keys that differ from the defaults.

    Args:
        config: the run's resolved campaign.
        data: ``task.data``.
        name: ``task.name``; its default follows from the data's place, which may have changed.
    """
    tables = config.model_dump(by_alias=True, mode="json", exclude_defaults=True, exclude={"evaluation"})
    tables["task"] |= {"name": name, "data": data}
    if config.strategy.get("name") == EXTERNAL:  # a campaign cannot name it; the default is used
        tables.pop("strategy", None)
    return {"schema": SCHEMA} | tables | {"founders": [FOUNDERS]}
