"""Every example of the documentation is executed, on the tiny model."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.documents import DOCS, ROOT, RUN, Page, pages
from tests.support.page_runner import PageRunner


def marked(page: Page) -> object:
    """Return the page as a test's case, with the marks of its tier."""
    tiers = [getattr(pytest.mark, page.marks["tier"])] if "tier" in page.marks else []
    return pytest.param(page, id=page.name, marks=[*tiers, *([pytest.mark.extras] if "extras" in page.marks else [])])


HERE = [page for page in pages() if page.runs and "tested by" not in page.marks]


@pytest.mark.parametrize("page", map(marked, HERE))
def test_the_examples_of_the_page_run(
    page: Page, tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in page.marks.get("extras", "").split():
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    PageRunner(page, tmp_path, tiny_model_folder).run()


@pytest.mark.parametrize("page", [page for page in pages() if "tested by" in page.marks], ids=lambda page: page.name)
def test_a_page_that_is_tested_elsewhere_is_named_there(page: Page) -> None:
    assert page.path.relative_to(DOCS).parent.as_posix() in (ROOT / page.marks["tested by"]).read_text(
        encoding="utf-8"
    )


def test_an_example_that_is_not_run_says_why() -> None:
    for page in pages():
        for fence in page.fences:
            assert fence.mark in ("", "file", "not run"), f"{page.name}: {fence.mark}"
            assert fence.language in (*RUN, "text", "json", "bash", "yaml"), f"{page.name}: {fence.language}"
            assert fence.mark != "not run" or len(fence.value) > 8, page.name
            assert fence.language != "bash" or "tested by" in page.marks, page.name
