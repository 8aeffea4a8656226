"""A commented campaign.toml: every key with its meaning beside it, a guess with its reason above it.

Meanings and defaults are those of the configuration's sections and of the catalogues.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import tomlkit
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from tomlkit.items import Item, Table

from evolm.config import AUTO, TaskSection
from evolm.named_tables import STRATEGY_TABLES, AutoStrategy, CampaignFile, OutsideStrategy
from evolm.tasks import KINDS

WIDTH = 118
# Keys with default values that are shown, as comments; tables in ALWAYS are shown even if no key is set.
SHOWN = {
    "": ("name", "seed"),
    "model": ("dtype", "chat_template"),
    "task": ("labels", "bins", "metric", "exclude", "max_chars"),
    "task.split": ("train", "dev", "test", "validation", "balanced"),
    "template": ("item", "answer", "system"),
    "generation": ("stop_strings", "temperature"),
    "space.prompt": ("demonstrations", "verbalizers", "max_tokens"),
    "budget": ("seconds", "plateau"),
}
OF_LABELS = {"task.labels", "task.split.balanced", "space.prompt.verbalizers"}  # shown only if rows share labels
ONLY_WITH_EXAMPLE = {"task.bins"}
ALWAYS = ("task.split", "template", "space.prompt")


Keys = dict[str, FieldInfo]


def campaign_text(tables: Mapping[str, Any], why: Mapping[str, str], examples: Mapping[str, Any]) -> str:
    """Return the text of a campaign file that reads back as ``tables``.

    Args:
        tables: the keys that are set.
        why: dotted key or table -> the reason for its value.
        examples: dotted key -> a value to show in a comment instead of the default.
    """
    return _Page(tables, why, examples).text()


def toml_value(value: Any) -> str:
    """Return a value as one line of TOML."""
    return _item(value).as_string()


def _item(value: Any) -> Item:
    """Return a value as an item that takes one line."""
    if isinstance(value, Mapping):
        inline = tomlkit.inline_table()
        for name, inner in value.items():
            inline.add(tomlkit.key(name), _item(inner))
        return inline
    if isinstance(value, (list, tuple)):
        array = tomlkit.array()
        for inner in value:
            array.append(_item(inner))
        return array
    return tomlkit.item(value)


# -- the keys of a file --------------------------------------------------------------------------------------


def _known_tables(tables: Mapping[str, Any]) -> Iterator[tuple[str, Keys]]:
    """Yield the dotted path of every table with the keys it may have, in the order of the configuration."""
    known: dict[str, type[BaseModel]] = {**STRATEGY_TABLES, AUTO: AutoStrategy}
    strategy = known.get(_at(tables, "strategy").get("name", ""), OutsideStrategy)
    for path, section in _sections(CampaignFile, ""):
        yield path, _keys(section)
        if path == "scorers":  # [strategy] is a union: its keys are those of the chosen name, which comes first
            yield "strategy", dict(sorted(_keys(strategy).items(), key=lambda key: key[0] != "name"))


def _sections(section: type[BaseModel], path: str) -> Iterator[tuple[str, type[BaseModel]]]:
    yield path, section
    for name, field in section.model_fields.items():
        inner = _not_none(field.annotation)
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _sections(inner, _place(path, name))


def _not_none(annotation: Any) -> Any:
    """Return the other half of an annotation that allows None."""
    one, *others = [kind for kind in get_args(annotation) if kind is not type(None)] or [annotation]
    return annotation if others else one


def _keys(section: type[BaseModel]) -> Keys:
    return {field.alias or name: field for name, field in section.model_fields.items()}


def _place(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _at(tables: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """Return the table of a path; an empty one if it is missing."""
    for part in filter(None, path.split(".")):
        tables = tables.get(part, {})
    return tables


# -- the text ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Page:
    """See :func:`campaign_text`."""

    tables: Mapping[str, Any]
    why: Mapping[str, str]
    examples: Mapping[str, Any]

    def text(self) -> str:
        """Return all tables, a blank line between them."""
        document = tomlkit.document()
        known = dict(_known_tables(self.tables))
        for path, keys in known.items():
            given = {name: value for name, value in _at(self.tables, path).items() if _place(path, name) not in known}
            if given or path in ALWAYS:
                table = _opened(document, path)
                self._fill(table, path, keys, given)
                table.add(tomlkit.nl())
        return tomlkit.dumps(document).rstrip("\n") + "\n"

    def _fill(self, table: Table | tomlkit.TOMLDocument, path: str, keys: Keys, given: Mapping[str, Any]) -> None:
        """Write the keys that are set, and as comments those that are worth knowing."""
        shown = {name for name in SHOWN.get(path, ()) if _place(path, name) not in self._hidden()}
        _reason(table, self.why.get(path))
        for name in [*keys, *(name for name in given if name not in keys)]:
            place, field = _place(path, name), keys.get(name)
            meaning = (field.description if field else "") or ""
            if name in given:
                _entry(table, name, given[name], meaning, self.why.get(place))
            elif name in shown and field:
                default = field.get_default(call_default_factory=True, validated_data={})
                line = _line(name, self.examples.get(place, default))
                _example(table, line, meaning)

    def _hidden(self) -> set[str]:
        kind = self.tables["task"].get("kind", TaskSection.model_fields["kind"].default)
        hidden = {key for key in ONLY_WITH_EXAMPLE if key not in self.examples}
        if "bins" in self.tables["task"]:
            hidden.add("task.labels")
        return hidden | (set() if KINDS[kind].labels else OF_LABELS)


def _opened(document: tomlkit.TOMLDocument, path: str) -> Table | tomlkit.TOMLDocument:
    """Return the new table of a path; its parents that have no keys get no header."""
    table: Any = document
    *parents, last = path.split(".")
    if not last:
        return document
    for name in parents:
        if name not in table:
            table.add(name, tomlkit.table(is_super_table=True))
        table = table[name]
    table.add(last, tomlkit.table())
    return table[last]


def _line(name: str, value: Any) -> str:
    return f"{tomlkit.key(name).as_string()} = {toml_value(value)}"


def _entry(table: Any, name: str, value: Any, meaning: str, why: str | None) -> None:
    """Write a key, its meaning behind it or, if that is too long, above it; the reason above the line."""
    item, beside = _item(value), len(f"{_line(name, value)}  # {meaning}") <= WIDTH
    if not beside:
        _comment(table, meaning)
    _reason(table, why)
    if beside and meaning:
        item.comment(meaning)
        item.trivia.comment_ws = "  "
    table.add(tomlkit.key(name), item)


def _example(table: Any, line: str, meaning: str) -> None:
    """Write a key as a comment."""
    if len(f"# {line}  # {meaning}") <= WIDTH:
        table.add(tomlkit.comment(f"{line}  # {meaning}"))
    else:
        _comment(table, meaning)
        table.add(tomlkit.comment(line))


def _reason(table: Any, why: str | None) -> None:
    if why:
        _comment(table, f"Here: {why}")


def _comment(table: Any, text: str) -> None:
    for line in textwrap.wrap(text, WIDTH - 2, break_long_words=False):
        table.add(tomlkit.comment(line))
