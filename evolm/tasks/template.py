"""Templates of items and answers, in sandboxed Jinja2.

Only the templates of ``[template]`` are code. A row's text is always a value: a cell with the text ``{{ 7*7 }}`` is
rendered as those nine characters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from string import ascii_uppercase as LETTERS
from typing import Any

import jinja2
from jinja2 import meta
from jinja2.sandbox import SecurityError

from evolm.config import TemplateSection
from evolm.errors import ConfigError, DataError, nearest
from evolm.tasks.items import LABEL, OPTIONS
from evolm.tasks.kinds import KINDS
from evolm.tasks.sandbox import TooMuchWork, bounded_environment, rendered
from evolm.wording import listed

LETTER = "letter"

# Errors that a template may raise on a row: Jinja2's own, and those of its expressions.
_FAILURES = (
    jinja2.TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


# Errors of Jinja2 and of Python while a template is compiled: nested too deeply, or a number of too many digits.
_UNCOMPILED = (RecursionError, SyntaxError, MemoryError, ValueError, OverflowError)

_ENVIRONMENT = bounded_environment()


@lru_cache(maxsize=256)
def _compiled(source: str) -> jinja2.Template:
    return _ENVIRONMENT.from_string(source)


@dataclass(frozen=True)
class Template:
    """The templates of a task: plain data, so it compares, hashes and pickles by its sources.

    Attributes:
        fields: names that the item template may use.
        item_source: Jinja2 source of the item; in a choice task it may use ``options``, a list of texts.
        answer_source: Jinja2 source of the answer; ``label`` is the label's word, the option or the target text,
            and in a choice task ``letter`` is the option's letter.
        separator: literal text between instruction, demonstrations and item.
        system: literal system message; empty = none.
    """

    fields: tuple[str, ...]
    item_source: str
    answer_source: str
    separator: str
    system: str

    @classmethod
    def from_section(cls, section: TemplateSection, fields: Sequence[str], kind: str = "classification") -> Template:
        """Check ``[template]`` for a task of a kind.

        Args:
            section: the table of campaign.toml.
            fields: names in ``task.columns``; those of gold and options are removed.
            kind: a name in ``KINDS``.

        Raises:
            ConfigError: for a field name that Jinja2 cannot use, a syntax error, an unknown name, an item
                that uses no field or uses the label, or an answer without the label.
        """
        extra = (OPTIONS,) if KINDS[kind].options else ()
        known = tuple(field for field in fields if field not in (LABEL, *extra))
        for field in known:
            _check_field_name(field)
        source = section.item or _default_item(known, KINDS[kind].ending)
        _check_item(source, known, extra)
        _check_answer(section.answer, (LABEL, LETTER) if KINDS[kind].options else (LABEL,))
        return cls(known, source, section.answer, section.separator, section.system)

    def item(self, fields: Mapping[str, str], options: Sequence[str] = ()) -> str:
        """Return the text of an item.

        Args:
            fields: the item's fields.
            options: the item's own options, if it has some.

        Raises:
            DataError: if the template fails on this row.
            ConfigError: if the template does something that the sandbox forbids.
        """
        return _rendered("template.item", self.item_source, tuple(fields.items()), tuple(options))

    def answer(self, word: str, index: int | None = None) -> str:
        """Return the text that follows the item if ``word`` is the answer; errors as for :meth:`item`.

        Args:
            word: the label's word, the option or the target text.
            index: the answer's place among labels or options; its letter is ``A`` for 0.
        """
        letter = () if index is None or index >= len(LETTERS) else ((LETTER, LETTERS[index]),)
        return _rendered("template.answer", self.answer_source, ((LABEL, word), *letter))


@lru_cache(maxsize=16384)
def _rendered(where: str, source: str, pairs: tuple[tuple[str, str], ...], options: tuple[str, ...] = ()) -> str:
    """Render a template; cached, since all individuals are scored on the same rows."""
    values: dict[str, Any] = dict(pairs)
    if options:
        values[OPTIONS] = list(options)
    try:
        return rendered(_compiled(source), len(source), values)
    except TooMuchWork as error:
        raise ConfigError(f"{where}: expected a template that computes less for a text, found {error}") from None
    except SecurityError as error:
        raise ConfigError(f"{where}: expected a template without code, found {str(error).rstrip('.')}") from None
    except _FAILURES as error:
        shown = {name: value[:60] for name, value in values.items()}
        raise DataError(f"{where}: fails on the row {shown}: {error}") from None


def forget_rendered() -> None:
    """Forget all texts that were rendered, and the rows that they were made of."""
    _rendered.cache_clear()


def _default_item(fields: Sequence[str], ending: str) -> str:
    lines = [f"{_title(field)}: {{{{ {field} }}}}\n" for field in fields]
    return "".join(lines) + ending


def _title(field: str) -> str:
    spaced = field.replace("_", " ")
    return spaced[:1].upper() + spaced[1:]


def _names(where: str, source: str) -> set[str]:
    """Return the names that a template reads, without Jinja2's own functions."""
    try:
        tree = _ENVIRONMENT.parse(source)
        _compiled(source)
    except jinja2.TemplateSyntaxError as error:
        reason = (error.message or "").rstrip(".")
        raise ConfigError(f"{where}: expected a Jinja2 template, line {error.lineno}: {reason}") from None
    except _UNCOMPILED as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"{where}: expected a Jinja2 template that is nested less deeply: {reason}") from None
    if any(True for _ in meta.find_referenced_templates(tree)):
        raise ConfigError(f"{where}: expected one template, found a reference to another one")
    return meta.find_undeclared_variables(tree)


def _check_field_name(field: str) -> None:
    try:
        usable = field.isidentifier() and _names("", f"{{{{ {field} }}}}") == {field}
    except ConfigError:
        usable = False
    if not usable:
        raise ConfigError(f"task.columns: expected a field name that a template can use, found {field!r}")


def _check_item(source: str, fields: Sequence[str], extra: Sequence[str]) -> None:
    used = _names("template.item", source)
    if LABEL in used:
        raise ConfigError("template.item: expected no `label` (the answer is template.answer), found it used")
    _refuse_unknown("template.item", used, [*fields, *extra])
    if used.isdisjoint(fields):
        raise ConfigError(f"template.item: expected at least one of the fields {listed(fields)}, found none used")


def _check_answer(source: str, known: Sequence[str]) -> None:
    used = _names("template.answer", source)
    if used.isdisjoint(known):
        wanted = " or ".join(f"`{{{{ {name} }}}}`" for name in known)
        raise ConfigError(f"template.answer: expected {wanted} in it, found {source!r}")
    _refuse_unknown("template.answer", used, known)


def _refuse_unknown(where: str, used: set[str], known: Sequence[str]) -> None:
    for name in sorted(used - set(known) - set(_ENVIRONMENT.globals)):
        raise ConfigError(f"{where}: unknown field {name!r}, expected {listed(known)}{nearest(name, known)}")
