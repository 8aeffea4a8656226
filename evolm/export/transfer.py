"""A saved prompt and its delta on another model: whether they fit, and their score on the run's dev rows.

An adapter is often meant for another copy of the base than the one it was evolved on, such as the model before it was
quantised. Its effect there must be measured there; the scores on both models are computed on the same rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from evolm import config as configuration
from evolm import models
from evolm.artifacts import run_around
from evolm.data_access import DATASETS
from evolm.errors import DataError, ModelError
from evolm.export.predictor import Predictor
from evolm.models import PreparedModel
from evolm.models.specs import is_hub_id
from evolm.models.structure import Site, Structure
from evolm.storage import read_entries
from evolm.tasks import Item, Task, load_task
from evolm.wording import signed

SCORE_FILE = "score.json"
KEPT = ("score", "interval", "scored", "left_out", "unanswered")  # keys of a score's record

Record = dict[str, Any]


def base_at_hand(name: str, dtype: str) -> PreparedModel | None:
    """Return a base, ready to load; None for a hub id that is not on this machine. Nothing is downloaded.

    Args:
        name: folder, hub id, ``.gguf`` file or ``package:DIST/FILE``.
        dtype: the run's.

    Raises:
        ModelError: if the name is no hub id and the model is missing or damaged.
    """
    try:
        return models.prepare(name, dtype=dtype, download=False)
    except ModelError:
        if Path(name).is_dir() or not is_hub_id(name):
            raise
        return None


def refuse_other_structure(sites: Sequence[Site], base: Structure, name: str) -> None:
    """Raise ModelError if a base lacks a module that a delta changes, or has it in another shape."""
    known = {site.name: site for site in base.sites}
    for site in sites:
        found = known.get(site.name)
        if found != site:
            there = "none" if found is None else _shape(found)
            raise ModelError(f"base {name!r}: expected the module {site.name!r}, {_shape(site)}, found {there}")


def _shape(site: Site) -> str:
    return f"a {site.kind} of {site.outputs} x {site.inputs}{', transposed' if site.transposed else ''}"


def dev_items(path: Path) -> Sequence[Item]:
    """Return the dev items of the run that a ``prompt.json`` belongs to. Nothing is downloaded.

    Raises:
        DataError: if the file is in no run, the run has no gold labels, or its rows have changed.
    """
    task = task_of_run(path)
    if not task.knows_gold:
        raise DataError("the run has no gold labels")
    return task.dev


def task_of_run(path: Path) -> Task:
    """Return the task of the run that a ``prompt.json`` belongs to. Nothing is downloaded.

    Raises:
        DataError: if the file is in no run, or the run's rows have changed.
    """
    layout = run_around(path)
    if layout is None:
        raise DataError("the prompt is in no run's directory, so its dev rows are not known")
    config = configuration.load(layout.campaign)
    if str(config.task.data).startswith(DATASETS):
        raise DataError(f"the run's rows are on the hub, {config.task.data}")
    frame = layout.read_data(config.task.data)
    task = load_task(config.task, config.template, root=layout.directory, trusted=True, frame=frame)
    head = next(read_entries(layout.journal), {})
    if head.get("task", {}).get("fingerprint") != task.fingerprint:
        raise DataError("the run's rows changed since it began")
    return task


def rescored(opened: Predictor, other: PreparedModel, name: str, changed: bool = True) -> Record | str:
    """Return the content of ``score.json``, or why there is none.

    Args:
        opened: the prompt over its own model.
        other: the other model.
        name: ``"base"`` or ``"merged"``, the key of that model's score.
        changed: whether the prompt's delta changes that model.
    """
    try:
        items = dev_items(opened.path)
        with closing(opened.over(other, changed)) as there:
            scores = {key: _score(prompt, items) for key, prompt in (("run", opened), (name, there))}
    except (DataError, ModelError) as error:
        return str(error)
    return {
        "split": "dev",
        "metric": opened.config.task.metric,
        "prompt": opened.genome.digest,
        "delta": opened.delta.digest if opened.delta else None,
        **scores,
        "difference": scores[name]["score"] - scores["run"]["score"],
    }


def _score(prompt: Predictor, items: Sequence[Item]) -> Record:
    prepared = prompt.model.prepared
    model = {"name": prepared.name, "fingerprint": prepared.fingerprint, "dtype": prepared.dtype}
    record = prompt.score_items(items).to_record()
    return {"model": model, **{key: record[key] for key in KEPT}}


def score_sentence(record: Mapping[str, Any], name: str) -> str:
    """Return the content of ``score.json`` as a sentence."""
    run, other = record["run"], record[name]
    where = f"on {other['model']['name']}" if name == "base" else name
    metric = str(record["metric"]).replace("_", " ")
    return (
        f"On the run's {run['scored']} dev rows: {other['score']:.3f} {metric} {where}, {run['score']:.3f} on the "
        f"model that it was evolved on ({signed(record['difference'])})."
    )
