"""The README says what the program does."""

import re
import tomllib
from pathlib import Path

import pytest

from evolm import config as configuration
from evolm.reference import BLOCKS, rewritten

README = Path(__file__).parent.parent / "README.md"


@pytest.fixture(scope="module")
def text() -> str:
    return README.read_text(encoding="utf-8")


def test_the_generated_tables_are_those_of_this_code(text: str) -> None:
    for name in BLOCKS:
        assert f"<!-- {name}: generated -->" in text
    assert rewritten(text) == text, "run: python -m evolm.reference README.md"


def test_the_example_campaign_is_valid(text: str) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    campaign = configuration.validate(configuration.Campaign, tomllib.loads(example), "README")
    assert campaign.budget.evaluations == 100


def test_every_command_of_the_examples_exists(text: str) -> None:
    from evolm.cli import app

    known = {command.name or command.callback.__name__ for command in app.registered_commands}
    fences = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    used = set(re.findall(r"^(?:\S*/)?evolm ([a-z]+) ", fences, re.MULTILINE))
    assert {"run", "predict"} <= used <= known
