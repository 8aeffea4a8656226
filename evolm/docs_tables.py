"""Tables of the documentation, generated from the code.

A line ``<!-- generated: strategies -->`` in a page of ``docs/`` is replaced by that table when the site is built
(``docs/_ext/generated_blocks.py``).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from typer.testing import CliRunner

from evolm.baselines import BASELINES
from evolm.config import CampaignConfig, Section
from evolm.operators import OPERATORS
from evolm.readout_kinds import KINDS_OF_READOUTS
from evolm.readouts import OPTION_READOUTS, READOUTS
from evolm.scorers import SCORERS, Scorer
from evolm.strategies import STRATEGIES
from evolm.tasks import CLOSED, Form, kinds_with
from evolm.tasks.metrics import METRICS
from evolm.wording import headline, markdown_table


def _literal(value: Any) -> str:
    return "" if value is PydanticUndefined else f"`{json.dumps(value, ensure_ascii=False)}`"


def _section_of(annotation: Any) -> type[Section] | None:
    candidates = [annotation, *get_args(annotation)]
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, Section)), None)


def _keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    for name, field in model.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        section = _section_of(field.annotation)
        if section is not None and not field.description:
            yield from _keys(section, f"{key}.")
            continue
        default = field.get_default(call_default_factory=True, validated_data={})
        default = default.model_dump(exclude_none=True) if isinstance(default, BaseModel) else default
        required = field.is_required()
        yield f"`{key}`", "**required**" if required else _literal(default), field.description or ""


def _key_table(rows: Iterable[tuple[str, str, str]]) -> str:
    return markdown_table(("key", "default", "meaning"), list(rows))


def _sections(bodies: Mapping[str, str]) -> str:
    return "\n\n".join(f"## {title}\n\n{body}" for title, body in bodies.items())


def keys() -> str:
    """Every key of campaign.toml, under a heading for each table."""
    tables: dict[str, list[tuple[str, str, str]]] = {}
    for row in _keys(CampaignConfig):
        table, dot, _ = row[0].strip("`").partition(".")
        tables.setdefault(f"[{table}]" if dot else "Top level", []).append(row)
    return _sections({title: _key_table(rows) for title, rows in tables.items()})


def strategies() -> str:
    """Every strategy and its keys, under a heading for each."""
    sentences = {name: headline(sys.modules[kind.__module__].__doc__) for name, kind in STRATEGIES.items()}
    overview = markdown_table(("strategy", "what it is"), [(f"[`{n}`](#{n})", s) for n, s in sentences.items()])
    tables = {name: _key_table(_keys(kind.Params)) for name, kind in STRATEGIES.items()}
    return f"{overview}\n\n" + _sections({name: f"{sentences[name]}\n\n{tables[name]}" for name in tables})


def operators() -> str:
    """Every operator."""
    rows = [(f"`{o.name}`", o.role, f"{o.weight:g}", o.summary) for o in OPERATORS.values()]
    return markdown_table(("operator", "role", "weight", "what it does"), rows)


# A class's ``needs_gold`` -> its cell. Any other property depends on the scorer's settings.
_NEEDS_GOLD = {True: "yes", False: "no", Scorer.needs_gold: "no"}


def scorers() -> str:
    """Every scorer and its keys; ``weight``, which all have, is said once."""
    rows, sections = [], {}
    for name, scorer in SCORERS.items():
        needed, sentence = _NEEDS_GOLD.get(scorer.needs_gold, "depends"), headline(scorer.__doc__)
        own = [row for row in _keys(scorer.Params) if "weight" not in row[0]]
        shown = f"[`{name}`](#{name})" if own else f"`{name}`"
        rows.append((shown, ", ".join(kinds_with(*scorer.forms)), needed, sentence))
        if own:
            sections[name] = _key_table(own)
    overview = markdown_table(("scorer", "tasks", "needs gold labels", "what it is"), rows)
    return f"{overview}\n\nEvery scorer has the key `weight`.\n\n{_sections(sections)}"


def readouts() -> str:
    """Every kind of readout, the tasks that it fits and what it is fitted on."""
    rows = []
    for name, kind in KINDS_OF_READOUTS.items():
        fitted = ("train rows" if kind.gold else "train rows, without gold") if kind.fitted else "nothing"
        labels, options = READOUTS[name], OPTION_READOUTS.get(name)
        forms = (Form.LABELS,) if kind.labels or options else CLOSED
        rows.append((f"`{name}`", headline(labels.__doc__), ", ".join(kinds_with(*forms)), fitted))
        if options:
            rows.append((f"`{name}`", headline(options.__doc__), ", ".join(kinds_with(Form.OPTIONS)), fitted))
    return markdown_table(("readout", "how a label or option is read", "tasks", "fitted on"), rows)


def baselines() -> str:
    """Every baseline, and whether ``[baselines]`` can switch it."""
    rows = []
    for name, baseline in BASELINES.items():
        default = _literal(baseline.default) if baseline.switchable else "always"
        if baseline.default_if_learning is not None:
            default += f", {_literal(baseline.default_if_learning)} if the strategy learns"
        rows.append((f"`{name}`", default, baseline.title, baseline.summary))
    return markdown_table(("baseline", "default", "title in tables", "what it is"), rows)


def metrics() -> str:
    """Every metric of a task, and the kinds of tasks that it fits."""
    rows = [(f"`{name}`", ", ".join(kinds_with(*metric.forms)), metric.summary) for name, metric in METRICS.items()]
    return markdown_table(("metric", "tasks", "what it is"), rows)


def commands() -> str:
    """Every command's own help, under a heading for each."""
    from evolm.cli import app

    runner = CliRunner(env={"COLUMNS": "110", "TERMINAL_WIDTH": "110", "NO_COLOR": "1"})
    names = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
    helps = {name: runner.invoke(app, [name, "--help"], prog_name="evolm").output.strip() for name in names}
    return _sections({f"evolm {name}": f"```text\n{text}\n```" for name, text in helps.items()})


BLOCKS = {
    "keys": keys,
    "strategies": strategies,
    "operators": operators,
    "scorers": scorers,
    "readouts": readouts,
    "baselines": baselines,
    "metrics": metrics,
    "commands": commands,
}
