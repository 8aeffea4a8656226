"""Hostile text in what evolm writes: pages, terminals, Markdown, and campaign files of ``evolm init``."""

from __future__ import annotations

import csv
import io
import json
import logging
import tomllib
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolm.errors import EvolmError
from evolm.export.model_cards import Origin, adapter_card, merged_card
from evolm.export.population_readme import population_readme
from evolm.progress_view import log_to
from evolm.report import RunRecord
from evolm.report.page import render_page
from evolm.terminal import Console
from evolm.wording import as_code, in_markdown
from tests.support.command_line import evolm
from tests.support.mutations import fuzz
from tests.support.synthetic_run import make_audited, make_pareto, make_run
from tests.support.tiers import slow

# Ends a tag, an attribute, a style, a comment and a script; a payload that ran would change the page's title.
PAYLOAD = (
    "\"'></style></title></textarea></svg>--><script>document.title='run'</script>"
    "<img src=x onerror=document.title='run'><svg onload=document.title='run'>"
    "<a href=javascript:document.title='run'>x</a>{{ 7*7 }}{% raw %}]]>&lt;"
)
# Values that decide what an entry is, and keys of entries; every other text of a run is replaced.
STRUCTURE = {
    *("type", "search", "status", "event", "kind", "metric", "gold", "combine", "pick", "time", "schema", "digest"),
    *("normalization", "strongest_baseline", "strategy", "operators"),
}
NAMED = {"labels", "verbalizers", "fields", "measures", "scorers"}  # tables whose keys are names of the user's


def hostile(value: Any, key: str = "") -> Any:
    """Return a JSON value with the payload in every text that a user's files or a model give."""
    if isinstance(value, dict):
        return {
            (name + PAYLOAD if key in NAMED else name): inner if name in STRUCTURE else hostile(inner, name)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [hostile(each, key) for each in value]
    return value + PAYLOAD if isinstance(value, str) else value


def make_hostile(run: Path) -> Path:
    """Put the payload into all files of a synthetic run."""
    for path in (run / "journal.jsonl", run / "timing.jsonl"):
        lines = path.read_text(encoding="utf-8").splitlines()
        path.write_text("".join(json.dumps(hostile(json.loads(line))) + "\n" for line in lines), encoding="utf-8")
    (run / "result.json").write_text(
        json.dumps(hostile(json.loads((run / "result.json").read_bytes()))), encoding="utf-8"
    )
    for name in ("campaign.toml", "best/prompt.txt"):
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_text(PAYLOAD, encoding="utf-8")
    return run


class Marks(HTMLParser):
    """Collects the tags of a page, each with the names of its attributes, and its title."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: set[tuple[str, str]] = set()
        self.links: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {(tag, ""), *((tag, name) for name, _ in attrs)}
        self.links |= {value or "" for name, value in attrs if name in ("href", "src", "xlink:href", "action")}


@pytest.fixture
def quick_campaigns() -> None:
    """Draw figures: these tests read them."""


@pytest.mark.parametrize("form", ["plain", slow("audited"), slow("pareto")])
def test_a_page_has_no_tag_and_no_attribute_from_its_data(form: str, tmp_path: Path, quick_campaigns: None) -> None:
    change: Callable[[Path], Path] = {"audited": make_audited, "pareto": make_pareto}.get(form, lambda run: run)
    benign = Marks(render_page(RunRecord.read(change(make_run(tmp_path / "benign", 2, 8, hostile=False)))))
    html = render_page(RunRecord.read(make_hostile(change(make_run(tmp_path / "hostile", 2, 8)))))
    found = Marks(html)
    plain = {"mark", "del", "ins", "details", "summary", "span", "li", "ol", "p", "b", "h4"}  # of the page's own
    assert {each for each in found.found - benign.found if each[0] not in plain} == set()
    assert not {tag for tag, _ in found.found} & {"script", "iframe", "object", "embed", "form", "a", "img"}
    assert not {name for _, name in found.found if name.startswith("on")}
    assert all(link.startswith(("#", "data:,")) for link in found.links)
    assert html.count("<style") == html.count("</style>") and "49" not in html.partition("</title>")[0]


# -- terminals -----------------------------------------------------------------------------------------------

CONTROLS = [*map(chr, range(32)), *map(chr, range(127, 160)), *"\u202a\u202e\u2066\u2069"]


@pytest.mark.parametrize("terminal", [True, False])
def test_no_character_of_a_log_controls_a_terminal(terminal: bool, logger_as_it_was: None) -> None:
    stream = io.StringIO()
    log_to(Console(file=stream, force_terminal=terminal, color_system=None, width=500))
    logging.getLogger("evolm").warning("a label %s", "".join(CONTROLS))
    written = stream.getvalue()
    assert "\\x1b" in written and "\\u202e" in written
    assert not set(CONTROLS) & set(written) - {"\n", "\t"}


@pytest.mark.parametrize(
    "command", ["run {0} --dry-run", "init {0}/rows.csv --out {0}/new --copy", "run {0}/\x1b[2J"]
)
def test_no_command_prints_controls_of_names_labels_or_rows(command: str, toy: Callable[..., Any]) -> None:
    campaign = toy(**{"space.prompt.verbalizers": {}, "task.name": "a\x1b[2J\u202ename"})
    rows = [(f"win {n}\x1b[2J\x9b1m", f"{'spam' if n % 2 else 'ham'}\x1b]0;title\x07\u202e") for n in range(60)]
    for name in ("toy.csv", "rows.csv"):
        with (campaign.folder / name).open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([("text", "label"), *rows])
    said = evolm(*[part.replace("{0}", str(campaign.folder)) for part in command.split(" ")])
    assert not set(CONTROLS) & set(said.output) - {"\n", "\t"}


def test_text_is_no_markup_of_the_terminal() -> None:
    from rich.text import Text

    stream = io.StringIO()
    Console(file=stream, force_terminal=True, width=200).print(Text("[link=http://x]a[/link] [red]b[/red]"))
    assert "[link=http://x]a[/link] [red]b[/red]" in stream.getvalue() and "\x1b]8" not in stream.getvalue()


# -- Markdown ------------------------------------------------------------------------------------------------

TEXTS = st.lists(
    st.sampled_from(
        [
            "```{include} /etc/passwd",
            "\n",
            "\n\n",
            "`",
            "``",
            "```",
            "<script>",
            "[a](javascript:x)",
            "|",
            "# ",
            "---",
            "~~~",
        ]
    )
    | st.text(max_size=3),
    max_size=8,
).map("".join)


@fuzz(60)
@given(TEXTS)
def test_names_stay_within_their_line_of_markdown(text: str) -> None:
    for line in (in_markdown(text), as_code(text)):
        assert len(line.splitlines()) <= 1
    assert "<" not in in_markdown(text)
    code = as_code(text)
    ticks = code[: len(code) - len(code.lstrip("`"))]
    assert ticks and ticks not in code.strip("`")  # nothing inside ends it


def test_a_readme_of_hostile_names_has_no_directive_and_no_html(tmp_path: Path) -> None:
    name = "x\n\n```{include} /etc/passwd\n```\n<script>"
    run = make_run(tmp_path / "run", 2, 8)
    make_hostile(run)
    record = RunRecord.read(run)
    record.run["name"] = record.run["task"]["name"] = record.run["model"]["name"] = name
    origin = Origin(name, name, name, "float32", name, 1, 1)
    pages = [
        population_readme(
            record, founders=1, shown=0, changed=0, keys=0, left_out=False, surroundings="It needs rows."
        ),
        adapter_card(origin, "LoRA", name, True),
        merged_card(origin),
    ]
    for page in pages:
        assert not [line for line in page.splitlines() if line.lstrip().startswith(("```{", ":::", "~~~"))]
        outside = "".join(part for place, part in enumerate(page.split("```python")) if not place)
        assert "<script>" not in outside.replace("`", "\0").split("\0")[0]


# -- evolm init ----------------------------------------------------------------------------------------------

NAMES = st.lists(
    st.sampled_from(
        ['"', "'", "\n", "\r", "#", "=", "]", "[model]", "\\", '"""', "\x1b", "\u2028", "\x85", "a", "b"]
    ),
    min_size=1,
    max_size=6,
).map("".join)


@pytest.mark.parametrize("examples", [6, slow(150)])
def test_names_of_columns_and_labels_are_values_of_the_drafted_campaign(examples: int, tmp_path: Path) -> None:
    drafts = 0

    @fuzz(examples)
    @given(NAMES, NAMES, NAMES)
    def check(column: str, first: str, second: str) -> None:
        nonlocal drafts
        drafts += 1
        place = tmp_path / str(drafts)
        place.mkdir()
        rows = [{f"{column} text": f"words {n} of a row", "label": (first, second)[n % 2]} for n in range(60)]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (place / "rows.jsonl").write_text(lines, encoding="utf-8")
        said = evolm("init", place / "rows.jsonl", "--out", place / "new", "--copy")
        if said.exit_code:
            assert said.exit_code == 2 and "error: " in said.output
            return
        tables = tomllib.loads((place / "new" / "campaign.toml").read_text(encoding="utf-8"))
        assert tables["model"].keys() <= {"name", "dtype", "chat_template"}
        assert not {"scorers", "operators", "stage", "guard"} & tables.keys() or "text" not in str(tables["model"])
        for fields in tables["task"]["columns"].values():
            assert fields in (f"{column} text", "label") or fields.strip() == f"{column} text".strip()

    check()


def test_the_payload_is_refused_as_a_name_of_a_template_s_field() -> None:
    from evolm.config import TemplateSection
    from evolm.tasks.template import Template

    with pytest.raises(EvolmError):
        Template.from_section(TemplateSection(), [PAYLOAD, "label"])
