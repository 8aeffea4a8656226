"""The site's copies for programs."""

from __future__ import annotations

import re
import sys

import pytest

from tests.support.documents import DOCS, Page, pages

sys.path.append(str(DOCS / "_ext"))

import machine_copies
import page_texts


@pytest.mark.parametrize("page", pages()[1:], ids=lambda page: page.name)
def test_a_copy_is_plain_markdown_with_everything_expanded(page: Page) -> None:
    copy = machine_copies.plain(page.text, page.path.parent)
    assert copy.startswith("# ")
    assert not re.search(r"^```\{|^<!-- generated|^\.\. auto", copy, re.MULTILINE)
    assert len(copy) > 100


def test_the_copy_of_the_python_api_has_signatures_and_docstrings() -> None:
    page = next(page for page in pages() if page.name == "docs/reference/api.md")
    copy = machine_copies.plain(page.text, page.path.parent)
    assert "evolve(task:" in copy
    assert "## evolm.Objective" in copy
    assert "### predict" in copy


@pytest.mark.parametrize("page", pages()[1:], ids=lambda page: page.name)
def test_every_page_begins_with_a_sentence_that_says_what_it_is_about(page: Page) -> None:
    copy = machine_copies.plain(page.text, page.path.parent)
    summary = page_texts.summary(copy)
    assert len(summary.split()) >= 4, summary
