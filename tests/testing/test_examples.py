"""The example of ``evolm.testing`` runs as a test file of its own, and the suites find a broken promise."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import evolm.testing

EXAMPLE = textwrap.dedent((evolm.testing.__doc__ or "").partition("::\n")[2].partition("\n``prompt_search``")[0])
WRONG = """
class Changing(FewAtATime):
    '''Forgets its promise: the same seed does not draw the same genomes.'''

    made = 0

    def first(self):
        Changing.made += 1
        self.randomness.numpy.random(Changing.made)
        return super().first()

class TestChanging(StrategySuite):
    @pytest.fixture
    def make(self):
        return lambda seed=0: Changing(Changing.Params(population_size=6), prompt_search(seed))
"""


def run(folder: Path, text: str, *options: str) -> str:
    """Run a test file in a process of its own and return what pytest says."""
    (folder / "test_mine.py").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "test_mine.py", *options]
    return subprocess.run(command, cwd=folder, text=True, capture_output=True, encoding="utf-8").stdout


def test_the_example_is_short_and_only_a_broken_promise_fails(tmp_path: Path) -> None:
    assert len([line for line in EXAMPLE.splitlines() if line.strip()]) <= 30
    said = run(tmp_path, EXAMPLE + WRONG)
    failed = [line for line in said.splitlines() if line.startswith("FAILED")]
    assert failed and all("TestChanging" in line for line in failed), said
    assert any("same_seed" in line for line in failed)
    assert "error" not in said and " passed" in said, said
