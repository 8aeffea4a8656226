"""A campaign.toml for people: every key with its meaning beside it, a guess with its reason above it.

Meanings and defaults are those of the sections and catalogues, so they cannot differ from what the program does.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from evolm.baselines import BASELINES
from evolm.config import CampaignConfig, Section, TaskSection
from evolm.operators import OPERATORS
from evolm.scorers import SCORERS
from evolm.strategies import STRATEGIES
from evolm.tasks import KINDS
from evolm.wording import headline

WIDTH = 118
# Keys that are shown where they keep their defaults, as comments; the tables of ALWAYS even if no key is set.
SHOWN = {
    "": ("name", "seed"),
    "model": ("dtype", "chat_template"),
    "task": ("labels", "metric", "exclude", "max_chars"),
    "task.split": ("train", "dev", "test", "validation", "balanced"),
    "template": ("item", "answer", "system"),
    "generation": ("stop_strings", "temperature"),
    "space.prompt": ("demonstrations", "verbalizers", "max_tokens"),
    "budget": ("seconds", "plateau"),
}
OF_LABELS = {"task.labels", "task.split.balanced", "space.prompt.verbalizers"}  # shown where rows share labels
ALWAYS = ("task.split", "template", "space.prompt")


@dataclass(frozen=True)
class Key:
    """A key that a table may have: its default and its meaning."""

    default: Any
    meaning: str


def campaign_text(tables: Mapping[str, Any], why: Mapping[str, str], examples: Mapping[str, Any]) -> str:
    """Return the text of a campaign file that reads back as ``tables``.

    Args:
        tables: the keys that are set.
        why: dotted key or table -> the reason for its value.
        examples: dotted key -> what to show in a comment instead of the default.
    """
    return _Page(tables, why, examples).text()


def _place(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def toml_value(value: Any) -> str:
    """Return a value as it stands in one line of TOML."""
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_quoted(key)} = {toml_value(inner)}" for key, inner in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    # Texts, numbers and truth values are written as in JSON, but for one control character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else toml_value(name)


# -- what a file may say -------------------------------------------------------------------------------------


def _known_tables(tables: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Key]]]:
    """Yield the path of every table with the keys it may have, in the order of the configuration."""
    named = {"scorers": _scorer_keys(), "strategy": _strategy_keys(tables), "operators": _operator_keys()}
    named["baselines"] = _baseline_keys()
    inner = _inner(CampaignConfig)
    yield "", {name: key for name, key in _keys(CampaignConfig).items() if name not in named}
    for name in CampaignConfig.model_fields:
        if name in named:
            yield name, named[name]
        elif name in inner:
            yield from _sections(inner[name], name)


def _sections(section: type[BaseModel], path: str) -> Iterator[tuple[str, dict[str, Key]]]:
    yield path, _keys(section)
    for name, inner in _inner(section).items():
        yield from _sections(inner, _place(path, name))


def _inner(section: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Keys that are tables of their own, those that may be left out among them."""
    kinds = {name: _not_none(field.annotation) for name, field in section.model_fields.items()}
    return {name: kind for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, Section)}


def _not_none(annotation: Any) -> Any:
    """Return the other half of an annotation that allows None."""
    one, *others = [kind for kind in get_args(annotation) if kind is not type(None)] or [annotation]
    return annotation if others else one


def _keys(section: type[BaseModel]) -> dict[str, Key]:
    return {field.alias or name: _key(field) for name, field in section.model_fields.items()}


def _key(field: FieldInfo) -> Key:
    default = None if field.is_required() else field.get_default(call_default_factory=True, validated_data={})
    return Key(default, field.description or "")


def _strategy_keys(tables: Mapping[str, Any]) -> dict[str, Key]:
    name = _at(tables, "strategy").get("name", "")
    own = _keys(STRATEGIES[name].Params) if name in STRATEGIES else {}
    return {"name": Key(name, " | ".join(STRATEGIES)), **own}


def _scorer_keys() -> dict[str, Key]:
    return {name: Key(1.0, headline(scorer.__doc__)) for name, scorer in SCORERS.items()}


def _operator_keys() -> dict[str, Key]:
    return {operator.name: Key(operator.weight, operator.summary) for operator in OPERATORS.values()}


def _baseline_keys() -> dict[str, Key]:
    return {name: Key(each.default, each.summary) for name, each in BASELINES.items() if each.switchable}


# -- lines ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Page:
    """See :func:`campaign_text`."""

    tables: Mapping[str, Any]
    why: Mapping[str, str]
    examples: Mapping[str, Any]

    def text(self) -> str:
        """Return all tables, a blank line between them."""
        known = dict(_known_tables(self.tables))
        blocks = []
        for path, keys in known.items():
            given = {name: value for name, value in _at(self.tables, path).items() if _place(path, name) not in known}
            if given or path in ALWAYS:
                blocks.append("\n".join(self._table(path, keys, given)))
        return "\n\n".join(blocks) + "\n"

    def _table(self, path: str, keys: Mapping[str, Key], given: Mapping[str, Any]) -> list[str]:
        """A table's header and keys: those that are set, and those worth knowing as comments."""
        shown = {name for name in SHOWN.get(path, ()) if _place(path, name) not in self._hidden()}
        lines = [*([f"[{path}]"] if path else []), *_reason(self.why.get(path))]
        for name in [*keys, *(name for name in given if name not in keys)]:
            place, key = _place(path, name), keys.get(name, Key(None, ""))
            if name in given:
                lines += _entry(_line(name, given[name]), key.meaning, self.why.get(place))
            elif name in shown:
                lines += _entry(f"# {_line(name, self.examples.get(place, key.default))}", key.meaning)
        return lines

    def _hidden(self) -> set[str]:
        kind = self.tables["task"].get("kind", TaskSection.model_fields["kind"].default)
        return set() if KINDS[kind].labels else OF_LABELS


def _at(tables: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """Return the table of a path; an empty one where there is none."""
    for part in filter(None, path.split(".")):
        tables = tables.get(part, {})
    return tables


def _line(name: str, value: Any) -> str:
    return f"{_quoted(name)} = {toml_value(value)}"


def _entry(line: str, meaning: str, why: str | None = None) -> list[str]:
    """A key's line, its meaning behind it or, where that is too long, above it; the reason above the line."""
    beside = f"{line}  # {meaning}" if meaning else line
    if len(beside) <= WIDTH:
        return [*_reason(why), beside]
    return [*_comment(meaning), *_reason(why), line]


def _reason(why: str | None) -> list[str]:
    return _comment(f"Here: {why}") if why else []


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, WIDTH - 2, break_long_words=False)]
