"""The documentation says what the program does."""

import re
import sys
import tomllib
from pathlib import Path

import pytest

from evolm import config as configuration
from evolm.docs_tables import BLOCKS
from evolm.genomes.encodings import ENCODINGS
from evolm.readouts import READOUTS
from evolm.strategies import STRATEGIES

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "docs" / "_ext"))

import benchmark_results  # noqa: E402
import generated_blocks  # noqa: E402

README = ROOT / "README.md"
PAGES = sorted(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts)
SHOWN = sorted(generated_blocks.shown_results())


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


OWN = ("populations", "recipes", "attacks", "all results", "other results")


def test_every_generated_table_and_every_result_has_a_page() -> None:
    used = {name for path in PAGES for name in generated_blocks.MARKER.findall(read(path))}
    others = {name for name in used if not name.startswith("measured ")} - BLOCKS.keys()
    assert others == {*OWN, *(f"result {name}" for name in SHOWN)}
    assert BLOCKS.keys() <= used
    programs = {path.stem for path in (ROOT / "benchmarks").iterdir()}
    for name in set(SHOWN) - set(benchmark_results.names()):
        assert name in programs, name
        assert benchmark_results.result(name).startswith("Not measured yet")


@pytest.mark.parametrize("name", [*BLOCKS, *OWN, *(f"result {name}" for name in SHOWN)])
def test_a_generated_text_takes_its_marker_s_place(name: str) -> None:
    page = generated_blocks.expanded(f"before\n\n<!-- generated: {name} -->\n\nafter")
    assert page == f"before\n\n{generated_blocks.block(name)}\n\nafter"
    assert len(page) > 60


@pytest.mark.parametrize("fence", ["```", "````", ":::", "~~~"])
def test_a_generated_text_holds_no_directive(fence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It quotes names of populations and results; a directive would include any file, or import any module."""
    monkeypatch.setattr(generated_blocks, "block", lambda name: f"text\n{fence}{{include}} /etc/passwd\n{fence}")
    assert f"{fence}{{" not in generated_blocks.expanded("<!-- generated: populations -->")


def test_a_result_is_shown_with_its_command_commit_and_machine() -> None:
    for name in benchmark_results.names():
        shown = generated_blocks.block(f"result {name}")
        settings = benchmark_results.settings(benchmark_results.read(name))
        assert settings, f"{name}.json holds no command, commit and machine"
        for _, setting in settings:
            assert f"`{setting['command']}`" in shown
            assert setting["commit"][:8] in shown


def test_the_readme_is_short_and_shows_the_demo_as_it_was_measured() -> None:
    assert len(read(README).splitlines()) <= 160
    (output,) = re.findall(r"```text\n.*?```", generated_blocks.block("measured sms-spam"), re.DOTALL)
    assert output in read(README)


def test_every_link_of_the_readme_leads_to_a_file() -> None:
    for page in (README, ROOT / "CONTRIBUTING.md"):
        links = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", read(page))
        assert all((ROOT / link).exists() for link in links), links


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
    read_by = example("concepts/readouts.md", base)
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
