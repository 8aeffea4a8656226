"""Jinja2 for the templates of a campaign file: no code, and a bounded amount of work for each text.

Jinja2's sandbox keeps a template away from Python's internals, and does not bound what it computes: loops in loops,
texts that double, ``{{ 10 ** 10 ** 9 }}``. Here the size of every new value is bounded, and the work of a text:
iterations, calls, the sizes of new values and of what is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from functools import wraps
from typing import Any, Final

import jinja2
from jinja2 import nodes
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment, SecurityError
from jinja2.utils import Cycler, Joiner, Namespace
from jinja2.visitor import NodeTransformer

SIZE: Final = 2_000_000  # characters, elements, and bits of numbers, of any value
WORK: Final = 20_000_000  # for one text
STEP: Final = 1_000  # work of an iteration or a call
SOURCE: Final = 100_000  # characters of a template
DEPTH: Final = 20  # of lists in lists
EXPONENT: Final = 64
NUMBER: Final = 10_000  # largest argument of a filter, such as a width

# Methods whose result is no longer than the text.
OF_TEXTS: Final = frozenset(
    {
        *("capitalize", "casefold", "count", "endswith", "find", "index", "isalnum", "isalpha", "isascii"),
        *("isdecimal", "isdigit", "islower", "isnumeric", "isspace", "istitle", "isupper", "lower", "lstrip"),
        *("partition", "removeprefix", "removesuffix", "rfind", "rindex", "rpartition", "rsplit", "rstrip"),
        *("split", "splitlines", "startswith", "strip", "swapcase", "title", "upper"),
    }
)
OF_LISTS: Final = frozenset({"count", "index"})
OF_TABLES: Final = frozenset({"get", "items", "keys", "values"})
HELPERS: Final = (LoopContext, Cycler, Joiner, Namespace)
# Filters that format numbers to any width, or write markup.
LEFT_OUT: Final = ("center", "filesizeformat", "format", "pprint", "random", "urlize", "xmlattr")
MEASURED: Final = "measured"  # name of the filter around expressions that make new values
ITERATED: Final = "iterated"  # and of the one around what a loop goes through


class TooMuchWork(SecurityError):
    """A template computes more than one text may take."""


class Meter:
    """Counts the work of one text.

    Args:
        source: length of the template.
    """

    def __init__(self, source: int = 0) -> None:
        self.left = WORK
        self.step = STEP + source  # its literal text may be written in every iteration

    def charge(self, work: int) -> None:
        """Subtract work; TooMuchWork if none is left."""
        self.left -= work
        if self.left < 0:
            raise TooMuchWork("more work than one text may take")


_METER: ContextVar[Meter] = ContextVar("_METER")


def _meter() -> Meter:
    return _METER.get(None) or Meter()


def rendered(template: jinja2.Template, length: int, values: Mapping[str, Any]) -> str:
    """Return a template's text.

    Args:
        template: of an environment of :func:`bounded_environment`.
        length: of its source.
        values: its names.

    Raises:
        TooMuchWork: if it takes more than ``WORK``, or a value is larger than ``SIZE``.
        jinja2.TemplateError: and errors of its expressions.
    """
    token = _METER.set(Meter(length))
    try:
        return template.render(values)
    finally:
        _METER.reset(token)


# -- values --------------------------------------------------------------------------------------------------


def _size(value: Any, depth: int = 0) -> int:
    """Return a value's characters, elements or bits, what is in it included.

    Raises:
        TooMuchWork: if it is larger than ``SIZE``, or nested more deeply than ``DEPTH``.
    """
    size = 1
    if isinstance(value, str):
        size = 1 + len(value)
    elif isinstance(value, int):
        size = 1 + value.bit_length()
    elif isinstance(value, list | tuple | set | dict):
        if depth == DEPTH:
            raise TooMuchWork("lists that are nested too deeply")
        parts: Any = [each for pair in value.items() for each in pair] if isinstance(value, dict) else value
        for part in parts:
            size += _size(part, depth + 1)
            if size > SIZE:
                break
    if size > SIZE:
        raise TooMuchWork(f"a value of more than {SIZE:,} characters")
    return size


def _measured(value: Any) -> Any:
    """Return a value after its size was charged; an iterator's elements are charged one by one."""
    if isinstance(value, Iterator) and not isinstance(value, HELPERS):
        return _iterated(value)
    _meter().charge(_size(value))
    return value


def _iterated(values: Any) -> Iterator[Any]:
    """Yield the elements of a value, each for the work of an iteration."""
    meter = _meter()
    for value in values:
        meter.charge(meter.step)
        yield value


def _loop_over(values: Any) -> Any:
    """Return what a loop goes through: a list of the same elements, whose iterations are charged."""
    return list(_iterated(values))


def _written(value: Any) -> Any:
    """Return what is about to be written, after its length was charged."""
    _meter().charge(1 + len(str(value)))
    return value


# -- filters -------------------------------------------------------------------------------------------------


def _bounded(filter: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter whose numbers are bounded and whose result is charged."""
    before = 2 if hasattr(filter, "jinja_pass_arg") else 1  # the value, and what Jinja2 passes before it

    @wraps(filter)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        numbers = [each for each in (*args, *kwargs.values())[before:] if isinstance(each, int | float)]
        if any(not -NUMBER <= number <= NUMBER for number in numbers):
            raise TooMuchWork(f"a filter with a number beyond {NUMBER:,}")
        _meter().charge(STEP)
        return _measured(filter(*args, **kwargs))

    return bounded


def _check_product(count: int, length: int) -> None:
    if count * length > SIZE:
        raise TooMuchWork(f"a value of more than {SIZE:,} characters")


def _replace(text: Any, old: Any, new: Any, count: int | None = None) -> str:
    text, old, new = str(text), str(old), str(new)
    _check_product(text.count(old), len(new))
    return text.replace(old, new, -1 if count is None else count)


def _indent(text: Any, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    before = width if isinstance(width, str) else " " * width
    lines = str(text).split("\n")
    _check_product(len(lines), len(before))
    kept = [before + line if (line or blank) and (first or number) else line for number, line in enumerate(lines)]
    return "\n".join(kept)


def _join(environment: jinja2.Environment, values: Any, between: Any = "", attribute: Any = None) -> str:
    get = environment.getitem if attribute is not None else None
    parts = [str(get(value, attribute) if get else value) for value in _iterated_cheaply(values)]
    _check_product(len(parts), len(str(between)))
    _check_product(sum(map(len, parts)), 1)
    return str(between).join(parts)


def _iterated_cheaply(values: Any) -> Sequence[Any]:
    found = list(values)
    _meter().charge(len(found))
    return found


def _filters(known: Mapping[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    own: dict[str, Callable[..., Any]] = {"replace": _replace, "indent": _indent}
    own["join"] = jinja2.pass_environment(_join)
    kept = {name: filter for name, filter in {**known, **own}.items() if name not in LEFT_OUT}
    return {
        **{name: _bounded(filter) for name, filter in kept.items()},
        MEASURED: _measured,
        ITERATED: _loop_over,
    }


# -- environment ---------------------------------------------------------------------------------------------


class _Metering(NodeTransformer):
    """Puts filters around expressions that make new values, and around what loops go through."""

    def generic_visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> nodes.Node:
        node = super().generic_visit(node, *args, **kwargs)
        if isinstance(node, nodes.For):
            if node.recursive:
                raise jinja2.TemplateSyntaxError("a loop that calls itself", node.lineno)
            node.iter = _filtered(node.iter, ITERATED)
        makes = isinstance(node, nodes.Concat | nodes.List | nodes.Dict | nodes.Tuple)
        return _filtered(node, MEASURED) if makes and getattr(node, "ctx", "load") == "load" else node


def _filtered(node: Any, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """Jinja2's sandbox with bounded work."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        if len(source) > SOURCE:
            raise jinja2.TemplateSyntaxError(f"more than {SOURCE:,} characters", 1)
        tree: nodes.Template = _Metering().visit(super()._parse(source, name, filename))
        tree.set_environment(self)
        return tree

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Return whether a template may use an attribute: only those whose work is bounded."""
        if not super().is_safe_attribute(obj, attr, value):
            return False
        kinds = ((str, OF_TEXTS), (list | tuple, OF_LISTS), (dict, OF_TABLES))
        return isinstance(obj, HELPERS) or any(isinstance(obj, kind) and attr in known for kind, known in kinds)

    def wrap_str_format(self, value: Any) -> None:
        """Let ``str.format``, which writes numbers to any width, be an attribute like others."""
        return None

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a function, a macro or a method, for the work of an iteration and of the text that it reads."""
        meter = _meter()
        meter.charge(meter.step + len(owner) if isinstance(owner := getattr(__obj, "__self__", None), str) else STEP)
        return _measured(super().call(__context, __obj, *args, **kwargs))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Compute ``left operator right``: numbers, or texts and lists that are added."""
        numbers = isinstance(left, int | float) and isinstance(right, int | float)
        if operator != "+" and not numbers:
            raise SecurityError(f"the operator {operator} between values that are no numbers")
        if operator == "**" and not -EXPONENT <= right <= EXPONENT:
            raise TooMuchWork(f"a power beyond {EXPONENT}")
        return _measured(super().call_binop(context, operator, left, right))


def bounded_environment() -> BoundedEnvironment:
    """Return the environment of a campaign's templates; the same row always gives the same text."""
    environment = BoundedEnvironment(
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
        optimized=False,  # constants would be computed while the template is compiled
        finalize=_written,
    )
    del environment.globals["lipsum"]
    environment.filters = _filters(environment.filters)
    return environment


__all__ = ["TooMuchWork", "bounded_environment", "rendered"]
