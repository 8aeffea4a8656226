"""No character ends a command: not on a stream that lacks it, and not in a file under a locale without UTF-8."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import evolm as package
from evolm.progress_view import SPARKS
from evolm.streams import EQUIVALENTS, accept_every_character, in_ascii
from tests.support.tiers import slow
from tests.support.toy_campaign import SPAM, ToyCampaign, bytes_of, toy_rows, write_rows
from tests.support.warm_evolm import PACKAGE

LABELS = {"spam": "垃圾", "ham": "正常"}
ESCAPED = {"spam": r"\u5783\u573e", "ham": r"\u6b63\u5e38"}
SETTINGS: dict[str, Any] = {
    "budget__evaluations": 6,
    "space__prompt__verbalizers": {},
    "founders": [],
    "baselines__random_search": False,
}


@pytest.fixture
def chinese(toy: Callable[..., ToyCampaign]) -> ToyCampaign:
    """The toy campaign with Chinese labels, an emoji in each text of one of them, and generated founders."""
    campaign = toy(**SETTINGS)
    write_rows(campaign.folder / "toy.csv", [(f"{text} 😀 €", LABELS[label]) for text, label in toy_rows()])
    return campaign


def expect_success(told: dict[str, Any]) -> str:
    assert told["exit"] == 0 and "Traceback" not in told["log"], told["log"]
    return told["log"]


@pytest.mark.parametrize("encoding", ["cp1252", slow("ascii")])
def test_a_run_and_a_dry_run_show_what_they_can_on_a_stream_that_is_not_utf_8(
    evolm: Any, chinese: ToyCampaign, tmp_path: Path, encoding: str
) -> None:
    options = {"encoding": encoding, "locale": "C"}
    shown = expect_success(evolm("run", chinese.folder, "--dry-run", **options))
    assert all(word in shown for word in ESCAPED.values())
    assert "Report: " in expect_success(evolm("run", chinese.folder, "--out", tmp_path / "run", **options))


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1"])
def test_every_verb_shows_what_it_can_on_a_stream_that_is_not_utf_8(
    evolm: Any, chinese: ToyCampaign, tmp_path: Path, encoding: str
) -> None:
    run, data = tmp_path / "run", chinese.folder / "toy.csv"
    chinese.run(run)

    def shown(*arguments: object) -> str:
        return expect_success(evolm(*arguments, encoding=encoding, locale="C"))

    assert "Report: " in shown("resume", run, "--add", "evaluations=3")
    assert "95 % interval" in shown("report", run).replace("\xa0", " ")
    assert all(word in shown("score", run, data) for word in ESCAPED.values())
    shown("predict", run, data, "--out", tmp_path / "out.csv")
    assert SPAM[0] + " 0 😀 €" in (tmp_path / "out.csv").read_text(encoding="utf-8")
    shown("export", run, tmp_path / "population", "--to", "population")
    shown("init", data, "--out", tmp_path / "drafted", "--copy")
    assert LABELS["ham"] in (tmp_path / "drafted" / "campaign.toml").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_run_writes_the_same_bytes_whatever_the_encoding_of_its_streams(
    evolm: Any, chinese: ToyCampaign, tmp_path: Path
) -> None:
    places = {"utf-8": tmp_path / "utf-8", "ascii": tmp_path / "ascii"}
    for encoding, out in places.items():
        expect_success(evolm("run", chinese.folder, "--out", out, encoding=encoding, locale="C"))
    assert bytes_of(places["utf-8"]) == bytes_of(places["ascii"])


def process(*arguments: object, **environment: str) -> subprocess.CompletedProcess[bytes]:
    paths = os.pathsep.join([str(PACKAGE), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", package.__name__, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONPATH": paths, **environment})


NO_UTF_8 = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.slow
@pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "cp1252"}, {"PYTHONIOENCODING": "ascii"}, NO_UTF_8])
def test_a_report_on_such_a_stream_is_whole(finished: Path, environment: dict[str, str]) -> None:
    done = process("report", finished, **environment)
    assert done.returncode == 0, done.stderr
    assert b"Report: " in done.stdout and done.stderr == b""


@pytest.mark.slow
def test_a_locale_without_utf_8_runs_resumes_and_exports(chinese: ToyCampaign, tmp_path: Path) -> None:
    for arguments in (
        ("run", chinese.folder, "--out", tmp_path / "run"),
        ("resume", tmp_path / "run", "--add", "evaluations=3"),
        ("export", tmp_path / "run", tmp_path / "population", "--to", "population"),
    ):
        done = process(*arguments, **NO_UTF_8)
        assert done.returncode == 0, done.stderr
    assert LABELS["ham"] in (tmp_path / "run" / "best" / "prompt.txt").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_schema_is_valid_json_in_every_encoding() -> None:
    assert json.loads(process("schema", PYTHONIOENCODING="ascii").stdout)["title"]


def test_an_escape_keeps_labels_apart_and_typography_has_an_equivalent() -> None:
    assert in_ascii("gain \N{MINUS SIGN}0.25 – “é” ∞") == 'gain -0.25 - "\\xe9" inf'
    assert in_ascii("正面") != in_ascii("负面")
    assert in_ascii(SPARKS) == "12345678"
    assert all(value.isascii() for value in EQUIVALENTS.values())


def test_a_file_name_of_bytes_that_are_no_utf_8_can_be_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", stream)
    accept_every_character()
    print(os.fsdecode(b"r\xe9sum\xe9"), "−", file=stream, flush=True)
    assert stream.buffer.getvalue().decode("utf-8") == "r\\udce9sum\\udce9 −\n"  # type: ignore[attr-defined]
