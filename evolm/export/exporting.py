"""Taking a run home: its prompt, its delta, or a founding population made of its best, as a new folder."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any, get_args

from evolm import config as configuration
from evolm.artifacts.prompt_files import FILE, FILES, pretty
from evolm.artifacts.prompt_record import PromptRecord, find_prompt
from evolm.choices import ExportForm
from evolm.config import FILE_NAME, CampaignConfig
from evolm.errors import ConfigError, GenomeError, nearest
from evolm.export.exporting_deltas import HERE, export_adapter, export_merged, left_out
from evolm.export.folder import require_nothing, write_folder
from evolm.export.population import README, campaign_tables, population_readme, without_demonstrations
from evolm.export.predictor import saved_prompt
from evolm.export.requirements import allowances, needs, rows_of
from evolm.founders.files import FROM, founders_files
from evolm.founders.sources import FROM_A_RUN, best_of_run
from evolm.genomes import Prompt
from evolm.report.reading import RunRecord
from evolm.storage import RunLayout
from evolm.wording import counted, listed

FORMS = get_args(ExportForm)

Record = dict[str, Any]


def export(
    place: Path,
    target: Path,
    to: ExportForm = "prompt",
    *,
    use: str = "best",
    without_examples: bool = False,
    copy: bool = False,
    base: str | None = None,
) -> list[str]:
    """Write a new folder and return sentences about it.

    Args:
        place: a run's directory; for a prompt or a delta, any place that has one.
        target: the folder.
        to: ``"prompt"`` = a prompt that ``evolm predict`` and ``evolm score`` apply elsewhere, its delta included;
            ``"peft"`` = the delta as an adapter for PEFT; ``"merged"`` = a model with the delta in its weights;
            ``"population"`` = the run's best as a founding population for ``evolm run``.
        use: which prompt of a run: ``"best"``, or a baseline.
        without_examples: leave demonstrations, which are rows of the data, out.
        copy: copy the campaign's rows into a founding population.
        base: another copy of the run's model that an adapter is for, and is scored on where it is at hand.

    Raises:
        ConfigError: if the form is unknown, or what is asked for contradicts it.
        RunError: if ``place`` has nothing to export, or something lies at ``target``.
    """
    _check_wishes(to, use, without_examples, copy, base)
    if to == "population":
        return _export_population(RunLayout(place), target, without_examples, copy)
    require_nothing(target)
    path = find_prompt(place, use)
    if to == "peft":
        return export_adapter(path, target, without_examples, base)
    if to == "merged":
        return export_merged(path, target, without_examples)
    return _export_prompt(path, target, without_examples)


def _check_wishes(to: str, use: str, without_examples: bool, copy: bool, base: str | None) -> None:
    """Raise ConfigError where wishes contradict each other."""
    if to not in FORMS:
        raise ConfigError(f"export: expected one of {listed(FORMS)}, found {to!r}{nearest(to, FORMS)}")
    if to != "population" and copy:
        raise ConfigError("export: rows can be copied into a population, not beside a prompt")
    if to == "population" and use != "best":
        raise ConfigError(f"export: a population is made of the best of a whole run, so {use!r} cannot be chosen")
    if copy and without_examples:
        raise ConfigError("export: expected the rows to be copied or examples to be left out, found both")
    if to != "peft" and base is not None:
        raise ConfigError(f"export: a base is what an adapter is for (--to peft), found --base {base} with {to!r}")


# -- a prompt ------------------------------------------------------------------------------------------------


def _export_prompt(path: Path, target: Path, without_examples: bool) -> list[str]:
    said = [f"Written: {target}", f"Next: evolm score {target} ROWS, or evolm predict {target} ROWS --out FILE.csv"]
    record = PromptRecord.read(path)
    shown = len(Prompt.from_record(record.genome).demonstrations)
    if not (without_examples and shown):
        write_folder(target, _saved_files(path, record))
        return said
    with saved_prompt(path) as opened:
        write_folder(target, opened.without_examples().files())
    return [*said, left_out(shown)]


def _saved_files(path: Path, record: PromptRecord) -> dict[str, Path | str | bytes]:
    """Return the files of a saved prompt: name -> where it lies, or its content where it cannot be left as it is."""
    beside = [name for name in FILES if name != FILE and path.name == FILE and path.with_name(name).exists()]
    files: dict[str, Path | str | bytes] = {FILE: path, **{name: path.with_name(name) for name in beside}}
    if record.model.name == HERE:  # of a merged model, which stays where it is
        found = json.loads(path.read_text(encoding="utf-8"))
        files[FILE] = pretty({**found, "model": {**found["model"], "name": str(path.parent.resolve())}})
    return files


# -- a founding population -----------------------------------------------------------------------------------


def _export_population(layout: RunLayout, target: Path, without_examples: bool, copy: bool) -> list[str]:
    layout.require_run()
    config, run = configuration.load(layout.campaign), RunRecord.read(layout.directory)
    founders, seen = _founders(layout, config, without_examples), layout.read_seen()
    shown = sum(bool(record.get("prompt", record).get("demonstrations")) for record in founders)
    rows = rows_of(layout, config, copy)
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
    head = f"# Exported from a run of evolm; {README} tells what came of it.\n{rows.comment}"
    texts = {FILE_NAME: head + configuration.toml_text(tables), README: page}
    write_folder(target, {**texts, **founders_files(founders, seen), **rows.copies})
    examples = "without demonstrations" if without_examples else f"{shown} of them with demonstrations"
    keys = f"{counted(len(seen), 'content key')} of what they have seen"
    return [
        f"Written: {target}, {counted(len(founders), 'founder')}, {examples}.",
        f"With them go {keys}; {README} says what that reveals.",
        f"Next: evolm run {target}{rows.options}{allowances(config)}",
    ]


def _founders(layout: RunLayout, config: CampaignConfig, without_examples: bool) -> list[Record]:
    placed = best_of_run(layout, layout.directory.resolve().name)
    if without_examples:
        placed = without_demonstrations(placed, config.space.prompts.demonstrations[0])
    founders = [{**record, FROM: where} for record, where in islice(placed, FROM_A_RUN)]
    if not founders:
        raise GenomeError(f"{layout.directory}: expected a run with evaluated individuals, found none")
    return founders
