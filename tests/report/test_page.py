"""The page: complete, escaped, self-contained, and there from the first line of the journal on."""

from __future__ import annotations

import cProfile
import json
import pstats
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from evolm.report import RunRecord, write_report
from evolm.report.plots import confusion
from evolm.report.svg import VARIABLES, label_right, spread
from tests.support.synthetic_run import HOSTILE, revise, write_lines, write_outcomes

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
        "What each choice adds",
        "What the operators did",
        "What it cost",
        "Individuals that failed",
        "To reproduce",
    ]
    claim = json.loads((run / "result.json").read_text(encoding="utf-8"))["claim"]
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
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    result["task"]["labels"] = ["ham", hostile]
    result["test"]["per_class"][1]["label"] = hostile
    (run / "result.json").write_text(json.dumps(result), encoding="utf-8")
    lines = (run / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    first = json.loads(lines[0])
    first["name"] = first["task"]["metric"] = hostile
    (run / "journal.jsonl").write_text("\n".join([json.dumps(first), *lines[1:]]) + "\n", encoding="utf-8")
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
    journal.write_text(
        "".join(journal.read_text(encoding="utf-8").splitlines(keepends=True)[:lines]), encoding="utf-8"
    )
    html = page(run)
    outline(html)
    assert '<span class="status running">' in html
    assert "The test split stays closed" in html


def test_a_run_in_which_nobody_was_evaluated_gives_a_page(run: Path) -> None:
    (run / "result.json").unlink()
    entries = [e for e in RunRecord.read(run).entries if e["type"] in {"run", "individual"}]
    failed = {"status": "failed", "score": None, "fitness": None, "reason": "<b>no</b>"}
    entries = [e if e["type"] == "run" else e | failed for e in entries]
    (run / "journal.jsonl").write_text("".join(json.dumps(e) + "\n" for e in entries), encoding="utf-8")
    html = page(run)
    assert "No individual has a score yet." in html
    assert "&lt;b&gt;no&lt;/b&gt;" in html


def test_a_result_without_a_test_split_claims_no_test_score(run_factory: Callable[..., Path]) -> None:
    html = page(run_factory(test=None))
    assert "No test split was opened" in html
    assert "From dev to test" not in html
    assert "best so far</td>" not in html


@pytest.mark.parametrize("lines", [1, 2, 20, 26, 101])
def test_any_beginning_of_a_journal_with_a_front_gives_a_whole_page(pareto: Path, lines: int) -> None:
    (pareto / "result.json").unlink()
    journal = pareto / "journal.jsonl"
    journal.write_text(
        "".join(journal.read_text(encoding="utf-8").splitlines(keepends=True)[:lines]), encoding="utf-8"
    )
    outline(page(pareto))


def test_a_front_is_drawn_and_every_member_can_be_opened(pareto: Path) -> None:
    html = page(pareto)
    outline(html)
    assert "<h2>The front: 3 prompts</h2>" in html
    assert "Picked: the highest balanced accuracy on dev and validation together" in html
    table = html[html.index('<table class="front">') :].split("</table>")[0]
    assert table.count("<details>") == 3
    assert "balanced accuracy ↑" in table
    assert "prompt tokens ↓" in table
    assert "fewer is better" in html
    assert "highest so far" in html


def test_a_front_of_three_objectives_says_that_two_are_shown(pareto: Path) -> None:
    third = {"fluency": {"weight": 1.0, "needs_gold": False}}
    revise(pareto, run=lambda head: {"scorers": {**head["scorers"], **third}})
    html = page(pareto)
    assert "Two of 3 objectives are shown" in html
    assert "fluency ↑" in html


def test_a_score_without_gold_is_audited_for_newcomers(audited: Path) -> None:
    html = page(audited)
    outline(html)
    section = html[html.index("<h2>Does the model’s own score mean anything?</h2>") :].split("</section>")[0]
    assert "Mutual information scores prompts without gold labels" in section
    assert "a model can become confident in wrong answers" in section
    assert "which the search never saw" in section
    assert re.search(r"[+−]0\.\d{3} <span>rank correlation, 91 prompts</span>", section)
    assert "mutual information (needs no gold)" in section
    assert "mutual information on dev" in html  # the axis of the curves


def test_several_audits_have_figures_of_their_own(audited: Path) -> None:
    second = {"fluency": {"weight": 0.5, "needs_gold": False}}
    revise(
        audited,
        run=lambda head: {"scorers": {**head["scorers"], **second}},
        individual=lambda e: {"measures": {**e["measures"], "fluency": -float(e["id"])}} if e["measures"] else {},
    )
    html = page(audited)
    ids = [value for name, value in outline(html).attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert "Mutual information and fluency score prompts" in html
    assert html.count("rank correlation, ") == 2


def test_where_nobody_knows_gold_the_page_says_that_nothing_was_checked(audited: Path) -> None:
    revise(audited, run=lambda head: {"task": {**head["task"], "gold": None}}, result=lambda _: {"test": None})
    html = page(audited)
    outline(html)
    assert "this task has none to compare with" in html
    assert "rank correlation" not in html


def test_a_search_that_saw_gold_is_not_audited(run: Path) -> None:
    assert "while the answers stay wrong" not in page(run)


def test_a_best_that_answers_one_label_to_everything_is_flagged_at_the_top(audited: Path) -> None:
    assert 'class="warning"' not in page(audited)
    revise(audited, individual=lambda e: {"measures": {**e["measures"], "largest_share": 0.99}})
    html = page(audited)
    assert html.index("<h1>") < html.index('<p class="warning">') < html.index("<table")
    assert "99\N{NO-BREAK SPACE}% of the dev items" in html


def test_what_was_written_is_shown_beside_its_target_and_escaped(run: Path) -> None:
    write_outcomes(
        run,
        inputs=[{"text": HOSTILE}, {"text": "a", "tone": "b"}],
        targets=[HOSTILE, "two"],
        predictions={"best": [HOSTILE + " sold", ""], "founder": ["<u>x</u>", "two"]},
        outcomes={"best": [[0.9, 0.0]], "founder": [[0.1, 1.0]]},
    )
    revise(run, result=lambda result: {"founder": {**result["founder"], "digest": "another"}})
    html = page(run)
    assert not {"script", "img", "u"} & set(outline(html).tags)
    section = html[html.index("<h2>What the best writes</h2>") :].split("</section>")[0]
    assert "<mark> sold</mark>" in section
    assert "(nothing)" in section
    assert section.count('data-name="founder"') == 2


def test_a_task_without_labels_has_no_confusion_and_needs_no_majority(run: Path) -> None:
    def generation(result: dict[str, object]) -> dict[str, object]:
        test = {k: v for k, v in result["test"].items() if k not in {"confusion", "per_class"}}  # type: ignore[attr-defined]
        return {"test": test | {"majority": None, "prior_corrected": None}}

    revise(run, result=generation)
    html = page(run)
    outline(html)
    assert "Where the best is right and wrong" not in html
    assert "always the commonest label" not in html


def test_another_readout_is_marked_as_won(run: Path) -> None:
    def calibrated(result: dict[str, dict[str, dict[str, dict[str, object]]]]) -> dict[str, object]:
        return {
            "best": {
                **result["best"],
                "genome": {**result["best"]["genome"], "readout": {"kind": "contextual"}},
            }
        }

    revise(run, result=calibrated)
    html = page(run)
    assert "<ins>read by: contextual calibration</ins>" in html
    assert "best of evolution (contextual readout)" in html


def test_operators_that_speak_show_how_often_another_stood_in(run: Path) -> None:
    assert "stood in for" not in page(run)
    revise(run, operators=lambda e: {"rates": {**e["rates"], "paraphrase": {"tried": 9, "fallback": 7}}})
    html = page(run)
    assert '<th class="n">stood in for</th>' in html
    assert '<td class="n">9</td><td class="n">7</td>' in html


def test_figures_take_their_colours_from_the_page_so_that_a_dark_scheme_reaches_them(run: Path) -> None:
    html = page(run)
    figures = re.findall(r"<svg .*?</svg>", html, flags=re.DOTALL)
    for color, variable in VARIABLES.items():
        assert f"var({variable}, {color})" in "".join(figures)
        assert f"{variable}: " in html
    styles = re.findall(r'style="([^"]*)"', "".join(figures))
    assert not [style for style in styles if re.search(r"(?<!, )#[0-9a-f]{6}", style)]
    assert "prefers-color-scheme: dark" in html


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


@pytest.mark.slow
def test_the_work_for_a_page_grows_no_faster_than_the_population(run_factory: Callable[..., Path]) -> None:
    def calls(size: int) -> int:
        run = run_factory(generations=20, size=size)
        write_report(run)  # the first one pays for imports and fonts
        profile = cProfile.Profile()
        profile.runcall(write_report, run)
        return pstats.Stats(profile).total_calls  # type: ignore[attr-defined,no-any-return]

    assert calls(25) < 5 * calls(5)


def test_labels_of_equal_lines_at_the_top_stay_inside_of_the_figure() -> None:
    axes = Figure().add_subplot()
    axes.set_ylim(0.0, 1.0)
    label_right(axes, [(0.99, name, "black") for name in "abcd"])
    heights = [text.xy[1] for text in axes.texts if isinstance(text, Annotation)]
    assert max(heights) < 1 and min(np.diff(sorted(heights))) > 0.06


def test_labels_at_the_end_of_lines_are_moved_apart() -> None:
    places = spread([0.5, 0.5, 0.51, 0.9], 0.05)
    assert all(b - a >= 0.05 - 1e-4 for a, b in pairwise(places))
    assert places[-1] == 0.9


@pytest.mark.parametrize(("labels", "named"), [(3, True), (250, False)])
def test_a_confusion_of_many_labels_has_no_names_beside_it(labels: int, named: bool, tmp_path: Path) -> None:
    names = [f"label {n}" for n in range(labels)]
    write_lines(tmp_path / "journal.jsonl", [{"type": "run", "task": {"metric": "accuracy", "labels": names}}])
    record = replace(
        RunRecord.read(tmp_path),
        result={"task": {"labels": names}, "test": {"confusion": np.eye(labels).tolist()}},
    )
    figure = confusion(record)
    assert figure is not None
    shown = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert shown == (names if named else [])
    assert (str(labels) in figure.axes[0].get_xlabel()) != named
