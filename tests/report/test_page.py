"""The page: complete, escaped, self-contained, and there from the first line of the journal on."""

from __future__ import annotations

import json
import re
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from evolm.report import RunRecord, write_report
from evolm.report.svg import spread

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Outline(HTMLParser):
    """Tags and attributes of a page; checks that what is opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open[-1] in {"p", "li", "td", "tr"} and self.open[-1] != tag:
            self.open.pop()
        assert self.open.pop() == tag


def outline(html: str) -> Outline:
    parser = Outline()
    parser.feed(html)
    assert parser.open == []
    return parser


def page(directory: Path) -> str:
    return write_report(directory).read_text(encoding="utf-8")


def test_a_finished_run_shows_every_section_in_order(run: Path) -> None:
    html = page(run)
    headings = re.findall(r"<h2>(.*?)</h2>", html)
    assert headings == [
        "The search",
        "From dev to test",
        "Where the best is right and wrong",
        "The best beside the founder",
        "How the best came to be",
        "What the operators did",
        "What it cost",
        "Individuals that failed",
        "To reproduce",
    ]
    claim = json.loads((run / "result.json").read_text())["claim"]
    assert f"<h1>{claim}</h1>" in html
    assert html.index("<h1>") < html.index("strongest baseline") < html.index("<h2>")


def test_hostile_text_is_escaped_everywhere(run: Path) -> None:
    html = page(run)
    parser = outline(html)
    assert "script" not in parser.tags
    assert "img" not in parser.tags
    assert not [name for name, _ in parser.attributes if name.startswith("on")]
    assert "&lt;script&gt;" in html


def test_hostile_names_and_labels_are_escaped_in_text_and_figures(run: Path) -> None:
    hostile = "<script>$\\frac$ '\""
    result = json.loads((run / "result.json").read_text())
    result["task"]["labels"] = ["ham", hostile]
    result["test"]["per_class"][1]["label"] = hostile
    (run / "result.json").write_text(json.dumps(result))
    lines = (run / "journal.jsonl").read_text().splitlines()
    first = json.loads(lines[0])
    first["name"] = first["task"]["metric"] = hostile
    (run / "journal.jsonl").write_text("\n".join([json.dumps(first), *lines[1:]]) + "\n")
    assert "script" not in outline(page(run)).tags


def test_the_page_is_self_contained_and_offline(run_factory: Callable[..., Path]) -> None:
    html = page(run_factory(hostile=False))
    assert not re.search(r"https?://", html)
    assert "@import" not in html
    parser = outline(html)
    references = [value for name, value in parser.attributes if name in {"src", "href", "xlink:href"}]
    assert references
    assert all(value.startswith(("#", "data:,")) for value in references)


def test_ids_are_unique_and_every_reference_finds_its_own(run: Path) -> None:
    html = page(run)
    ids = [value for name, value in outline(html).attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', html)) <= {(i, "") for i in ids} | {
        ("", i) for i in ids
    }


def test_the_same_run_gives_the_same_page_byte_for_byte(run: Path) -> None:
    assert page(run) == page(run)
    assert sorted(p.name for p in run.iterdir() if "report" in p.name) == ["report.html"]


@pytest.mark.parametrize("lines", [0, 1, 2, 20, 25, 26, 40, 101, 197, 199])
def test_any_beginning_of_a_journal_gives_a_whole_page(run: Path, lines: int) -> None:
    (run / "result.json").unlink()
    (run / "timing.jsonl").unlink()
    journal = run / "journal.jsonl"
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:lines]))
    html = page(run)
    outline(html)
    assert '<span class="status running">' in html
    assert "The test split stays closed" in html


def test_a_run_in_which_nobody_was_evaluated_gives_a_page(run: Path) -> None:
    (run / "result.json").unlink()
    entries = [e for e in RunRecord.read(run).entries if e["type"] in {"run", "individual"}]
    failed = {"status": "failed", "score": None, "fitness": None, "reason": "<b>no</b>"}
    entries = [e if e["type"] == "run" else e | failed for e in entries]
    (run / "journal.jsonl").write_text("".join(json.dumps(e) + "\n" for e in entries))
    html = page(run)
    assert "No individual has a score yet." in html
    assert "&lt;b&gt;no&lt;/b&gt;" in html


def test_a_result_without_a_test_split_claims_no_test_score(run_factory: Callable[..., Path]) -> None:
    html = page(run_factory(test=None))
    assert "No test split was opened" in html
    assert "From dev to test" not in html
    assert "best so far</td>" not in html


def test_what_changed_is_marked_with_ins_and_del(run: Path) -> None:
    html = page(run)
    assert re.search(r"<ins>[^<]*word", html)
    assert "<del>spam</del>" in html
    assert '<span class="tag">added</span>' in html
    assert '<span class="tag">removed</span>' in html


def test_a_founder_that_stayed_the_best_is_called_so(run_factory: Callable[..., Path]) -> None:
    assert "The best is a founder" in page(run_factory(generations=1))


def test_figures_are_svg_that_scales_with_the_page(run: Path) -> None:
    figures = re.findall(r"<svg .*?</svg>", page(run), flags=re.DOTALL)
    assert len(figures) == 4
    for figure in figures:
        assert ElementTree.fromstring(figure).get("width") is None
        assert "<text" in figure


def test_a_page_of_five_hundred_individuals_takes_less_than_a_second(
    run_factory: Callable[..., Path],
) -> None:
    run = run_factory(generations=20, size=25)
    write_report(run)  # the first one pays for imports and fonts
    began = time.process_time()
    write_report(run)
    assert time.process_time() - began < 1.0


def test_labels_at_the_end_of_lines_are_moved_apart() -> None:
    places = spread([0.5, 0.5, 0.51, 0.9], 0.05)
    assert all(b - a >= 0.05 - 1e-4 for a, b in pairwise(places))
    assert places[-1] == 0.9
