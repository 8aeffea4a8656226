"""Every input of ``tests/data/bad_inputs.toml`` is refused in one sentence, and changes no file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.bad_inputs import (
    BadInput,
    bad_inputs,
    build_base,
    content,
    copy_base,
    expect_refusal,
    expect_words,
)
from tests.support.once import SharedFolder
from tests.support.toy_campaign import quick

INPUTS = bad_inputs()


@pytest.fixture(scope="session")
def base(shared_folder: SharedFolder, tiny_model_folder: Path) -> Path:
    """The folder that every input finds, changed by no test."""

    def build(folder: Path) -> None:
        with quick():
            build_base(folder, tiny_model_folder)

    return shared_folder.once("bad-inputs", build)


@pytest.fixture
def here(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, in which the test runs."""
    copy_base(base, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("bad", INPUTS, ids=[f"{number}-{each.command}" for number, each in enumerate(INPUTS)])
def test_a_bad_input_is_refused_in_one_sentence_and_changes_no_file(bad: BadInput, here: Path) -> None:
    expect_refusal(bad, here)


@pytest.mark.slow
@pytest.mark.parametrize("bad", INPUTS[::12], ids=[each.command for each in INPUTS[::12]])
def test_a_process_of_its_own_refuses_it_in_the_same_sentence(evolm: Any, bad: BadInput, here: Path) -> None:
    bad.write(here)
    before = content(here)
    told = evolm(*bad.arguments, folder=str(here))
    sentences = [line for line in told["log"].splitlines() if line.startswith("error: ")]
    assert told["exit"] == 2 and len(sentences) == 1 and "Traceback" not in told["log"], told["log"]
    expect_words(sentences[0], bad, here)
    assert content(here) == before


def test_there_are_at_least_two_hundred_bad_inputs_and_none_stands_there_twice() -> None:
    different = {(each.command, str(each.files), str(each.bytes)) for each in INPUTS}
    assert len(different) == len(INPUTS) >= 200
