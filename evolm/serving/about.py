"""What is served, as ``GET /`` tells it: task, columns, labels, model, prompt, and how the prompt was chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evolm import __version__
from evolm.artifacts.locations import run_around
from evolm.export.predictor import Predictor
from evolm.models.served.names import is_served
from evolm.report.reading import RunRecord
from evolm.serving.limits import Limits
from evolm.tasks.items import LABEL
from evolm.tasks.kinds import KINDS


def about(predictor: Predictor, use: str, limits: Limits) -> dict[str, Any]:
    """Return the description of a served prompt.

    Args:
        predictor: the prompt.
        use: which prompt of a run it is.
        limits: of requests.
    """
    task = predictor.config.task
    columns = columns_of(predictor)
    return {
        "status": "ok",
        "evolm": __version__,
        "name": name_of(predictor),
        "task": {"kind": task.kind, "metric": task.metric, "columns": columns, "labels": list(task.words)},
        "model": _model(predictor),
        "prompts": _prompts(predictor),
        "digest": predictor.digest,
        "chosen": _chosen(predictor, use),
        "limits": {"rows": limits.rows, "bytes": limits.body, "waiting": limits.waiting},
        "requests": _requests(predictor, columns),
    }


def columns_of(predictor: Predictor) -> list[str]:
    """Return the columns that a row must have."""
    task = predictor.config.task
    shown = {field: column for field, column in task.columns.items() if field != LABEL}
    return list(task.model_copy(update={"columns": shown}).column_names)


def name_of(predictor: Predictor) -> str:
    """Return the name under which a prompt is served: its task's, or that of the run's or the exported folder."""
    run = run_around(predictor.path)
    folder = run.directory if run else predictor.path.parent
    return predictor.config.task.name or folder.resolve().name or "evolm"


def summary(description: Mapping[str, Any]) -> str:
    """Return the task in a few words."""
    task, members = description["task"], len(description["prompts"])
    form = f"a committee of {members}" if members > 1 else f"a prompt with the readout {_readout(description)}"
    return f"{task['kind']} of {', '.join(task['columns'])}: {form if task['kind'] != 'generation' else 'a prompt'}"


def _readout(description: Mapping[str, Any]) -> str:
    return str(description["prompts"][0]["readout"])


def _model(predictor: Predictor) -> dict[str, Any]:
    prepared = predictor.model.prepared
    name = prepared.name if is_served(prepared.name) else prepared.name.rstrip("/").rpartition("/")[2]
    return {"name": name, "fingerprint": prepared.fingerprint, "dtype": prepared.dtype}


def _prompts(predictor: Predictor) -> list[dict[str, Any]]:
    closed = not KINDS[predictor.config.task.kind].open
    return [
        {
            "instruction": member.genome.instruction,
            "demonstrations": len(member.genome.demonstrations),
            "readout": member.readout.kind if closed else None,
            "delta": member.delta is not None,
            "weight": weight,
        }
        for member, weight in zip(predictor.members, predictor.weights, strict=True)
    ]


def _chosen(predictor: Predictor, use: str) -> dict[str, Any]:
    """Return the run that chose a prompt, the score on the test split and the verdict, if there are such."""
    layout = run_around(predictor.path)
    if layout is None:
        return {"from": "a saved prompt", "use": use}
    record = RunRecord.read(layout.directory)
    test = record.test or {}
    return {
        "from": "a run",
        "use": use,
        "run": layout.directory.resolve().name,
        "status": record.status,
        "metric": record.metric,
        "test": test.get(use),
        "test_items": test.get("items"),
        "verdict": (record.result or {}).get("claim"),
    }


def _requests(predictor: Predictor, columns: list[str]) -> dict[str, Any]:
    """Return an example of a body for each route that takes one."""
    row = dict.fromkeys(columns, "...")
    found: dict[str, Any] = {"POST /predict": {"rows": [row]}}
    if KINDS[predictor.config.task.kind].open:
        message = {"role": "user", "content": "..."}
        found["POST /v1/chat/completions"] = {"model": name_of(predictor), "messages": [message]}
    return found
