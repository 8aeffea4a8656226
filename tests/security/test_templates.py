"""Templates of a campaign file: they reach nothing but the row, and compute a bounded amount."""

from __future__ import annotations

import jinja2
import pytest
from jinja2.sandbox import SecurityError

from evolm.tasks.sandbox import TooMuchWork, bounded_environment, rendered
from tests.support.sealed import little_memory

ENVIRONMENT = bounded_environment()
VALUES = {"text": "hello\nworld, it is ", "options": ["a", "b"], "big": "x\n" * 90_000}


def render(source: str) -> str:
    return rendered(ENVIRONMENT.from_string(source), len(source), VALUES)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ text }}", "hello\nworld, it is "),
        ("{{ options|join(', ') }}", "a, b"),
        ("{{ options }}", "['a', 'b']"),
        ("{% for o in options %}{{ loop.index }}. {{ o }}{{ ', ' if not loop.last }}{% endfor %}", "1. a, 2. b"),
        ("{{ text|replace('l', 'L')|trim|truncate(8) }}", "heLLo..."),
        ("{{ text|indent(2) }}", "hello\n  world, it is "),
        ("{{ text.split(',')[0]|upper ~ '!' }}", "HELLO\nWORLD!"),
        ("{% set n = text|length %}{{ n * 2 + 2 ** 3 }}", "46"),
        ("{% macro m(a) %}<{{ a }}>{% endmacro %}{{ m(options[1]) }}", "<b>"),
        ("{% set ns = namespace(n=0) %}{% for o in options %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}", "2"),
        ("{% for a, b in [('x', 1), ('y', 2)] %}{{ a }}{{ b }}{% endfor %}", "x1y2"),
        ("{% for o in options %}{{ loop.cycle('odd', 'even') }}{{ loop.length }}{% endfor %}", "odd2even2"),
        ("{{ options|map('upper')|list|tojson }}", '["A", "B"]'),
        ("{{ 'yes' if 'hello' in text else 'no' }}{{ range(3)|list }}", "yes[0, 1, 2]"),
        ("{% filter upper %}a{% endfilter %}{{ 20000|tojson }}", "A20000"),
    ],
)
def test_what_prompts_need_works(source: str, expected: str) -> None:
    assert render(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        "{{ text.__class__ }}",
        "{{ text|attr('__class__') }}",
        "{{ (1).to_bytes(9) }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ text.format(1) }}",
        "{{ '{0.__class__}'.format(1) }}",
        "{{ self.__init__.__globals__ }}",
        "{{ range.__self__ }}",
        "{{ options.append('c') }}",
        "{{ cycler.__init__.__globals__.os }}",
    ],
)
def test_python_s_internals_are_out_of_reach(source: str) -> None:
    with pytest.raises((SecurityError, jinja2.UndefinedError)):
        render(source)


GROWING = "{%% set ns = namespace(x=text) %%}{%% for i in range(60) %%}{%% set ns.x = %s %%}{%% endfor %%}{{ ns.x }}"
BOMBS = {
    "a power": "{{ 10 ** 10000 }}",
    "a repeated text": "{{ text * 10 ** 9 }}",
    "a repeated list": "{{ [text] * 10 ** 9 }}",
    "a padded text": "{{ text.ljust(10 ** 10) }}",
    "a padded number": "{{ '%%1000000000d' % 1 }}",
    "loops in loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "text that doubles": GROWING % "ns.x ~ ns.x",
    "text that is added": GROWING % "ns.x + ns.x",
    "lists in lists": GROWING % "[ns.x, ns.x]",
    "tables in tables": GROWING % "{'a': ns.x, 'b': ns.x}",
    "escapes of escapes": GROWING % "ns.x|tojson",
    "text in text": GROWING % "ns.x|replace('', ns.x)",
    "numbers that square": GROWING.replace("x=text", "x=3") % "ns.x * ns.x",
    "calls that branch": "{% macro f(n) %}{{ f(n - 1) if n }}{{ f(n - 1) if n }}{% endmacro %}{{ f(60) }}",
    "a block that is written": "{% set x %}{% for i in range(9999) %}{{ big }}{% endfor %}{% endset %}{{ x|length }}",
    "text that is written": "{% for i in range(19000) %}{{ big }}{% endfor %}",
    "a joined text": "{{ big|list|join(big) }}",
    "an indented text": "{{ big|indent(9999) }}",
    "a rounded number": "{{ 1|round(10 ** 9, 'floor') }}",
    "a filled batch": "{{ [1]|batch(10 ** 9, 'x')|list }}",
    "a constant": "{{ 'a'|batch(10 ** 9, 'x')|list }}",
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_would_take_all_memory_or_time_is_stopped(name: str) -> None:
    with little_memory(), pytest.raises((TooMuchWork, SecurityError)):
        render(BOMBS[name])


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in options recursive %}{{ loop(options) }}{% endfor %}",
        "{{ text|center(9) }}",
        "{{ '%d'|format(1) }}",
        "a" * 200_000,
    ],
)
def test_what_cannot_be_bounded_is_no_template(source: str) -> None:
    with pytest.raises(jinja2.TemplateSyntaxError):
        ENVIRONMENT.from_string(source)


def test_a_row_is_never_a_template() -> None:
    assert rendered(ENVIRONMENT.from_string("{{ text }}"), 10, {"text": "{{ 7 * 7 }}"}) == "{{ 7 * 7 }}"
