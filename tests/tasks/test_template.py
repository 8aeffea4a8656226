"""Templates: rendering, and everything a campaign file may not do with them."""

import pickle

import pytest

from evolm.config import TemplateSection
from evolm.errors import ConfigError, DataError
from evolm.tasks.template import Template


def template(
    item: str = "", answer: str = " {{ label }}", fields: tuple[str, ...] = ("text",), kind: str = "classification"
) -> Template:
    return Template.from_section(TemplateSection(item=item, answer=answer), fields, kind)


def test_the_default_item_has_a_line_per_field_and_ends_with_label() -> None:
    built = template(fields=("text", "sender_name", "label"))
    assert built.item({"text": "hi", "sender_name": "Bo"}) == "Text: hi\nSender name: Bo\nLabel:"
    assert built.answer("ham") == " ham"
    assert built.fields == ("text", "sender_name")


def test_an_item_renders_as_written_to_the_last_newline() -> None:
    assert template("Q: {{ text|upper }}\n").item({"text": "hi"}) == "Q: HI\n"


@pytest.mark.parametrize("cell", ["{{ 7*7 }}", "{% for x in y %}", "{# gone #}", "<b>&</b>", "{{ text }}"])
def test_text_of_a_row_is_never_a_template(cell: str) -> None:
    built = template("T: {{ text }}")
    assert built.item({"text": cell}) == f"T: {cell}"
    assert built.answer(cell) == f" {cell}"


def test_separator_and_system_are_literal_text() -> None:
    section = TemplateSection(separator="{{ 7*7 }}", system="{{ text }}")
    built = Template.from_section(section, ["text"])
    assert (built.separator, built.system) == ("{{ 7*7 }}", "{{ text }}")


def test_a_template_survives_pickling_and_compares_by_its_sources() -> None:
    built = template("A {{ text }}")
    copy = pickle.loads(pickle.dumps(built))
    assert copy == built and copy.item({"text": "b"}) == "A b"
    assert template("B {{ text }}") != built


@pytest.mark.parametrize(
    ("item", "named"),
    [
        ("{{ text", "template.item: expected a Jinja2 template, line 1"),
        ("{{ text }}\n{% if %}", "line 2"),
        ("{{ text|nofilter }}", "nofilter"),
        ("{{ text|random }}", "random"),
        ("{{ text }}{{ lipsum() }}", "lipsum"),
        ("{{ txet }}", "unknown field 'txet', expected 'text'; did you mean 'text'?"),
        ("no field at all", "at least one of the fields 'text'"),
        ("{{ text }} {{ label }}", "expected no `label`"),
        ("{{ text }}{% include 'other' %}", "reference to another"),
        ("{% extends text %}", "reference to another"),
    ],
)
def test_a_wrong_item_template_is_refused(item: str, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        template(item)
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        ("yes", "template.answer: expected `{{ label }}`"),
        ("{{ label }} {{ text }}", "unknown field 'text'"),
        ("{{ label", "template.answer: expected a Jinja2 template"),
    ],
)
def test_a_wrong_answer_template_is_refused(answer: str, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        template(answer=answer)
    assert named in str(caught.value)


@pytest.mark.parametrize("field", ["the text", "true", "not", "self", "a-b", "1st", ""])
def test_a_field_name_that_no_template_can_use_is_refused(field: str) -> None:
    with pytest.raises(ConfigError, match=r"task\.columns: expected a field name"):
        template(fields=(field,))


@pytest.mark.parametrize(
    "item",
    [
        "{{ text.__class__.__mro__ }}",
        "{{ ''.__class__ }}{{ text }}",
        "{{ text }}{{ range.__globals__ }}",
        "{{ text }}{{ self._TemplateReference__context }}",
        "{{ '{0.__class__}'.format(text) }}",
    ],
)
def test_the_sandbox_is_closed(item: str) -> None:
    with pytest.raises(ConfigError, match="unsafe"):
        template(item).item({"text": "a"})


def test_a_template_that_fails_on_a_row_names_the_row() -> None:
    built = template("{{ 10 // text|int }}")
    assert built.item({"text": "5"}) == "2"
    with pytest.raises(DataError, match=r"template\.item: fails on the row .*'zero'"):
        built.item({"text": "zero"})


def test_a_missing_field_is_an_error_not_an_empty_text() -> None:
    with pytest.raises(DataError, match="text"):
        template().item({})


# -- options -------------------------------------------------------------------------------------------------

QUESTION = "{{ text }}\n{% for option in options %}- {{ option }}\n{% endfor %}Answer:"


def test_a_choice_template_may_show_options_and_answer_by_letter() -> None:
    built = template(QUESTION, " {{ letter }}", ("text", "options", "label"), "choice")
    assert built.fields == ("text",)
    assert built.item({"text": "Who?"}, ("Tom", "{{ 7*7 }}")) == "Who?\n- Tom\n- {{ 7*7 }}\nAnswer:"
    assert [built.answer("Tom", 0), built.answer("Jerry", 25)] == [" A", " Z"]
    assert template("", " {{ letter }}. {{ label }}", kind="choice").answer("Tom", 1) == " B. Tom"


def test_an_answer_by_letter_needs_the_options_place() -> None:
    with pytest.raises(DataError, match="letter"):
        template("", " {{ letter }}", kind="choice").answer("Tom")


@pytest.mark.parametrize("kind", ["choice", "generation"])
def test_the_default_item_of_other_kinds_ends_with_answer(kind: str) -> None:
    assert template(kind=kind).item({"text": "Who?"}) == "Text: Who?\nAnswer:"


@pytest.mark.parametrize(
    ("item", "answer", "kind", "named"),
    [
        (QUESTION, " {{ label }}", "classification", "unknown field 'options', expected 'text'"),
        (QUESTION, " {{ label }}", "generation", "unknown field 'options'"),
        ("{{ options }}", " {{ label }}", "choice", "at least one of the fields 'text'"),
        ("", " {{ letter }}", "classification", "expected `{{ label }}` in it, found ' {{ letter }}'"),
        ("", " {{ letter }} {{ label }}", "generation", "unknown field 'letter'"),
        ("", " x", "choice", "expected `{{ label }}` or `{{ letter }}` in it, found ' x'"),
    ],
)
def test_options_and_letters_are_for_choice_tasks_only(item: str, answer: str, kind: str, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        template(item, answer, kind=kind)
    assert named in str(caught.value)


def test_a_template_cannot_change_the_options_of_an_item() -> None:
    built = template("{{ text }}{{ options.append('x') }}", kind="choice")
    with pytest.raises(ConfigError, match="template.item"):
        built.item({"text": "Who?"}, ("Tom", "Jerry"))
