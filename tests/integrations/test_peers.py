"""The peers of ``benchmarks.quality`` on the tiny model: rows and budget in, answers to the test rows out."""

from __future__ import annotations

import json
import math
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.peers import EVOLM, FREE, PEERS, Peer
from benchmarks.peers.chat import LocalChat
from benchmarks.peers.contract import Meter, Setting
from benchmarks.peers.openai_server import serving
from benchmarks.quality import Cell, Limits, chosen, figure, run
from benchmarks.quality_cells import failed, read_cell, write_cell
from benchmarks.quality_table import compared, markdown
from tests.support.kinds_of_campaigns import write_kind
from tests.support.toy_campaign import write_campaign

ITEMS = 60
TABLES: dict[str, Any] = {"task": {"split": {"train": 10, "dev": 6, "validation": 4, "test": 14}}}
INSTRUCTIONS = ("Which one?", "Read the text, then answer.", "Answer with one word.", "Say what fits best.")
HELLO = [{"role": "user", "content": "win a free prize"}]


@pytest.fixture
def setting(tmp_path: Path, tiny_model_folder: Path) -> Callable[..., Setting]:
    """A function that returns the setting of a small campaign of some kind."""

    def build(kind: str = "classification", items: float = ITEMS, minutes: float = math.inf) -> Setting:
        folder = tmp_path / "population"
        if kind == "classification":
            write_campaign(folder, tiny_model_folder)
        else:
            write_kind(folder, tiny_model_folder, kind)
        lines = [json.dumps({"instruction": text}) for text in INSTRUCTIONS]
        (folder / "founders.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        tables = TABLES if kind == "classification" else {}
        return Setting(str(folder), tables, 3, Meter(items, minutes), tmp_path / "cell")

    return build


def test_a_written_answer_is_the_label_that_it_names_first(setting: Callable[..., Setting]) -> None:
    given = setting()
    item = given.task.test[0]
    assert given.words == ["ham", "spam"]
    assert given.index(item, "It is Spam, not ham.") == 1
    assert given.index(item, "hamster") == -1
    assert given.score(item, str(item.gold)) == 1


def test_options_are_named_by_letters_before_the_last_line(setting: Callable[..., Setting]) -> None:
    given = setting("choice")
    item = given.task.test[0]
    lines = given.text(item).split("\n")
    assert lines[-1].endswith("(the letter)")
    assert f"A) {item.options[0]}" in lines[:-1]
    assert given.outcome(item, f"{given.gold(item)}) because") == item.options.index(str(item.gold))


def test_the_meter_ends_a_search_and_leaves_test_rows_alone(tiny_model_folder: Path) -> None:
    meter = Meter(items=2)
    chat = LocalChat(str(tiny_model_folder), meter)
    answers = [chat.answer(HELLO, 3) for _ in range(3)]
    assert [each.written > 0 for each in answers] == [True, True, False]
    assert meter.spent["items"] == 2 and meter.over
    meter.end_search()
    assert chat.answer(HELLO, 3).text == answers[0].text
    assert meter.test["items"] == 1 and not meter.over


def test_kept_keys_and_values_change_no_answer(tiny_model_folder: Path) -> None:
    chat = LocalChat(str(tiny_model_folder), Meter())
    places = ("lunch", "home", "lunch today", "lunch")
    asked = [[{"role": "user", "content": f"see you at {place}"}] for place in places]
    together = [chat.answer(each, 6).text for each in asked]
    alone = [LocalChat(str(tiny_model_folder), Meter()).answer(each, 6).text for each in asked]
    assert together == alone


def test_the_server_speaks_the_protocol(tiny_model_folder: Path) -> None:
    chat = LocalChat(str(tiny_model_folder), Meter())
    body = json.dumps({"model": "local", "messages": HELLO, "max_tokens": 4}).encode()
    with serving(chat) as address:
        with urllib.request.urlopen(urllib.request.Request(f"{address}/chat/completions", body)) as response:
            found = json.load(response)
    assert found["choices"][0]["message"]["content"] == chat.answer(HELLO, 4).text
    assert found["usage"]["prompt_tokens"] > 0


def test_a_cell_of_evolm_has_free_rows_and_a_table(setting: Callable[..., Setting], tmp_path: Path) -> None:
    given = setting()
    cell = Cell(given.population, PEERS[EVOLM], 3, tmp_path / "cell")
    record = run(cell, Limits(items=ITEMS), dict(TABLES))
    assert read_cell(cell.directory) == record
    assert record.items == [item.digest for item in given.task.test]
    assert 0 < record.spent["items"] <= ITEMS
    part = {"populations": {"toy": compared([(EVOLM, 3, record), ("GEPA", 3, failed("no memory"))], EVOLM)}}
    shown = markdown({"60 items": part})
    assert all(row in shown for row in FREE) and "toy, GEPA: no memory" in shown
    assert len(figure(part["populations"]).axes) == 1
    scores = {group["name"]: group["score"] for group in part["populations"]["toy"]["groups"]}
    gold = given.task.gold_indices(given.task.test)
    answers = np.array(record.outcomes["best"])
    assert scores[EVOLM] == pytest.approx(given.task.metric_of(answers, given.task.test))
    assert len(gold) == len(answers)


def test_patterns_name_cells(tmp_path: Path) -> None:
    cells = [Cell("toy", peer, 0, tmp_path) for peer in PEERS.values()]
    assert [cell.peer.name for cell in chosen(cells, ["toy/DSPy*"])] == ["DSPy bootstrap", "DSPy MIPROv2"]
    with pytest.raises(ValueError, match=r"--cells other/\*: expected one of toy/evolm auto"):
        chosen(cells, ["other/*"])


def test_the_name_of_a_budget_holds_every_limit() -> None:
    assert Limits(items=300, minutes=4, small=True).name == "300 items, 4 minutes, small splits"
    assert Limits(minutes=10).options() == ["--minutes", "10"]


def test_a_cell_that_failed_says_why(tmp_path: Path) -> None:
    write_cell(tmp_path, failed("x" * 1000))
    record = read_cell(tmp_path)
    assert record is not None and set(record.failure) == {"x"} and not record.outcomes


def installed(name: str) -> Peer:
    """Return a peer; skip the test if one of its packages is missing."""
    for package in PEERS[name].packages:
        pytest.importorskip(package)
    return PEERS[name]


@pytest.mark.extras
@pytest.mark.parametrize("kind", ["classification", "choice", "generation"])
@pytest.mark.parametrize("name", [name for name in PEERS if name != EVOLM])
def test_a_peer_answers_every_test_row_within_its_budget(
    name: str, kind: str, setting: Callable[..., Setting]
) -> None:
    peer = installed(name)
    given = setting(kind)
    if given.form not in peer.forms:
        pytest.skip(peer.limit)
    given.directory.mkdir()
    found = peer.run(given)
    assert found.outcomes.shape == (len(given.task.test),)
    assert given.meter.seconds is not None
    assert 0 < given.meter.spent["items"] <= ITEMS
    assert 0 <= given.task.metric_of(found.outcomes, given.task.test) <= 1


@pytest.mark.extras
@pytest.mark.parametrize("name", [name for name in PEERS if name != EVOLM])
def test_a_limit_of_time_alone_ends_the_search_of_a_peer(name: str, setting: Callable[..., Setting]) -> None:
    peer = installed(name)
    given = setting(items=math.inf, minutes=1 / 60)
    given.directory.mkdir()
    found = peer.run(given)
    assert found.outcomes.shape == (len(given.task.test),)
    assert given.meter.seconds is not None and given.meter.spent["items"] > 0
