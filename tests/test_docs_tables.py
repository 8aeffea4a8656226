"""The README says what the program does."""

import re
import tomllib
from pathlib import Path

import pytest

from evolm import config as configuration
from evolm.docs_tables import BLOCKS, rewritten
from evolm.genomes.encodings import ENCODINGS
from evolm.readouts import READOUTS
from evolm.strategies import STRATEGIES

README = Path(__file__).parent.parent / "README.md"


@pytest.fixture(scope="module")
def text() -> str:
    return README.read_text(encoding="utf-8")


def test_the_generated_tables_are_those_of_this_code(text: str) -> None:
    for name in BLOCKS:
        assert f"<!-- {name}: generated -->" in text
    assert rewritten(text) == text, "run: python -m evolm.docs_tables README.md"


def test_the_example_campaign_is_valid(text: str) -> None:
    example, readouts, deltas, stages = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    tables = tomllib.loads(example)
    campaign = configuration.validate(configuration.CampaignConfig, tables, "README")
    assert campaign.budget.evaluations == 100
    changed = configuration.validate(configuration.CampaignConfig, {**tables, **tomllib.loads(deltas)}, "README")
    assert changed.space.delta is not None
    assert STRATEGIES[changed.strategy["name"]].Params
    assert changed.space.delta.encoding in ENCODINGS
    read = configuration.validate(configuration.CampaignConfig, {**tables, **tomllib.loads(readouts)}, "README")
    assert read.space.readout is not None
    assert set(read.space.readout.kinds) <= READOUTS.keys()
    staged = configuration.validate(configuration.CampaignConfig, {**tables, **tomllib.loads(stages)}, "README")
    assert [stage.space for stage in staged.stage or ()] == [("prompt", "readout"), ("delta",)]


def test_every_command_of_the_examples_exists(text: str) -> None:
    from evolm.cli import app

    known = {command.name or command.callback.__name__ for command in app.registered_commands}
    fences = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    used = set(re.findall(r"^(?:\S*/)?evolm ([a-z]+) ", fences, re.MULTILINE))
    assert {"run", "predict"} <= used <= known
