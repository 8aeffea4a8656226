"""Errors that the FAQ explains name its anchor; every anchor exists, and every pattern is a message of evolm's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from docutils.nodes import make_id

from evolm import errors
from evolm.cli.faq import ANSWERS, PAGE, Answer, hint
from tests.support.command_line import HINT, evolm
from tests.test_messages import MESSAGES, VALUE

FAQ = Path(__file__).parents[1] / "docs" / "faq.md"
ANCHORS = {make_id(question) for question in re.findall(r"^## (.+)$", FAQ.read_text(encoding="utf-8"), re.MULTILINE)}


@pytest.mark.parametrize("answer", ANSWERS, ids=[each.anchor for each in ANSWERS])
def test_every_answer_is_a_question_of_the_faq_and_explains_an_error_that_exists(answer: Answer) -> None:
    assert answer.anchor in ANCHORS
    pattern = re.compile(answer.pattern)
    found = [each for each in MESSAGES if pattern.search(each.text.replace(VALUE, "3"))]
    assert any(issubclass(getattr(errors, each.kind), answer.kind) for each in found)


def test_an_error_that_the_faq_does_not_explain_has_no_hint() -> None:
    assert hint(errors.ConfigError("budget.evaluations: expected a number, found 'x'")) == ""
    assert hint(errors.ConfigError("'a:b' is code outside evolm")) == ""  # of another class


def test_the_command_line_prints_the_anchor_below_the_sentence(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("text,label\na,b\n", encoding="utf-8")
    (tmp_path / "campaign.toml").write_text(
        '[model]\nname = "none"\n[task]\ndata = "/elsewhere.csv"\ncolumns = {text = "text", label = "label"}\n',
        encoding="utf-8",
    )
    result = evolm("run", tmp_path, "--dry-run")
    assert result.exit_code == 2
    sentence, where = result.stderr.splitlines()
    assert sentence.startswith("error: ") and "outside" in sentence
    assert where == f"{HINT}why-is-data-outside-the-campaign-s-folder-refused"
    assert PAGE == "faq.html"
