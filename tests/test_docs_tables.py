"""The documentation says what the program does."""

import re
import tomllib
from pathlib import Path

import pytest

from evolm import config as configuration
from evolm.docs_tables import BLOCKS, expanded, used_blocks
from evolm.genomes.encodings import ENCODINGS
from evolm.readouts import READOUTS
from evolm.strategies import STRATEGIES

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = sorted(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts)


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def fences(language: str, *paths: Path) -> list[str]:
    """Return the code of one language in these documents, in order."""
    return [code for path in paths for code in re.findall(rf"```{language}\n(.*?)```", read(path), re.DOTALL)]


@pytest.fixture(scope="module")
def base() -> dict[str, object]:
    """The tables of the first campaign that the documentation shows."""
    (example,) = fences("toml", ROOT / "docs/start/own-data.md")
    return tomllib.loads(example)


def test_every_generated_table_has_a_page() -> None:
    assert {name for path in PAGES for name in used_blocks(read(path))} == BLOCKS.keys()


@pytest.mark.parametrize("name", BLOCKS)
def test_a_generated_table_takes_its_marker_s_place(name: str) -> None:
    page = expanded(f"before\n<!-- generated: {name} -->\nafter")
    assert page.startswith("before\n")
    assert BLOCKS[name]() in page
    assert "<!--" not in page


def test_the_readme_is_short() -> None:
    assert len(read(README).splitlines()) <= 160


def test_the_example_campaign_is_valid(base: dict[str, object]) -> None:
    campaign = configuration.validate(configuration.CampaignConfig, base, "own-data.md")
    assert campaign.budget.evaluations == 100


def example(page: str, base: dict[str, object]) -> configuration.CampaignConfig:
    """Return the first campaign of the documentation with the tables of this page's example."""
    (code,) = fences("toml", ROOT / "docs" / page)
    return configuration.validate(configuration.CampaignConfig, {**base, **tomllib.loads(code)}, page)


def test_the_examples_of_deltas_readouts_and_stages_are_valid(base: dict[str, object]) -> None:
    changed = example("start/weights.md", base)
    assert changed.space.delta is not None
    assert STRATEGIES[changed.strategy["name"]].Params
    assert changed.space.delta.encoding in ENCODINGS
    read_by = example("recipes/probe.md", base)
    assert read_by.space.readout is not None
    assert set(read_by.space.readout.kinds) <= READOUTS.keys()
    staged = example("recipes/stages.md", base)
    assert [stage.space for stage in staged.stage or ()] == [("prompt", "readout"), ("delta",)]


def test_every_command_of_the_examples_exists() -> None:
    from evolm.cli import app

    known = {command.name or command.callback.__name__ for command in app.registered_commands}
    code = "\n".join(fences("sh", README, *PAGES))
    used = set(re.findall(r"^(?:\S*/)?evolm ([a-z]+) ", code, re.MULTILINE))
    assert {"run", "predict"} <= used <= known
