"""A hostile working directory: somebody enters a folder that was downloaded, and calls evolm there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from evolm.evaluation import executors
from evolm.models import PassSettings
from evolm.models.specs import ModelSpec
from evolm.report import plots, svg
from tests.support.toy_campaign import ToyCampaign

# Modules that a worker, or loky's tracker of resources, imports first.
NAMES = ("joblib", "cloudpickle", "pickle", "threading", "numpy", "torch", "struct", "signal")

COMMAND = "from evolm.cli import main; main()"
LIBRARY = """
from pathlib import Path
from evolm.campaign import start_run
from evolm.config import load
start_run(load(Path("campaign.toml")), Path(), Path("run"))
"""


@pytest.fixture
def hostile(toy: Callable[..., ToyCampaign]) -> Path:
    """A campaign's folder with modules that leave a mark beside them if they are imported."""
    folder = toy(evaluation__n_jobs=2, budget__evaluations=6, baselines__random_search=False).folder
    for name in NAMES:
        code = f"open({str(folder / 'imported')!r}, 'a').write({name!r})"
        (folder / f"{name}.py").write_text(code, encoding="utf-8")
    return folder


def python(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=folder, check=False, capture_output=True, encoding="utf-8"
    )


def test_python_itself_does_import_them_there(hostile: Path) -> None:
    """Else the tests below would show nothing."""
    python(hostile, "-m", "joblib")
    assert (hostile / "imported").exists()


def test_workers_import_nothing_from_the_working_directory(hostile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(spec: ModelSpec, batch: list[int]) -> int:
        return batch[0]

    monkeypatch.chdir(hostile)
    monkeypatch.setattr(executors, "answer_in_worker", work)
    monkeypatch.setattr(executors, "start_local_worker", lambda parent, kept: None)  # its own imports torch
    executor = executors.JoblibExecutor(ModelSpec(None, "off", "", PassSettings()), 2)  # type: ignore[arg-type]
    try:
        assert list(executor.run([[1], [2], [3]])) == [1, 2, 3]
    finally:
        executor.close()
    assert not (hostile / "imported").exists()


@pytest.mark.slow
@pytest.mark.parametrize("code", [pytest.param(COMMAND, id="command"), pytest.param(LIBRARY, id="library")])
def test_a_campaign_imports_nothing_from_the_working_directory(hostile: Path, tmp_path: Path, code: str) -> None:
    script = tmp_path / "script" / "evolm_script.py"  # as a console script: the path begins with its folder
    script.parent.mkdir()
    script.write_text(f"if __name__ == '__main__':\n    exec({code!r})", encoding="utf-8")
    done = python(hostile, script, *(["run", ".", "--out", "run"] if code == COMMAND else []))
    assert done.returncode == 0, done.stderr
    assert (hostile / "run" / "result.json").exists()
    assert not (hostile / "imported").exists()


def test_settings_of_matplotlib_in_the_working_directory_change_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """``matplotlibrc`` is read from there; ``text.usetex`` starts LaTeX with the file's preamble."""

    def draw(record: None) -> plots.Figure:
        return svg.wide_figure(2.0)[0]

    before = svg.render(draw, None, "empty")
    for key, value in {"text.usetex": True, "text.latex.preamble": r"\input{secret}", "font.size": 40.0}.items():
        monkeypatch.setitem(svg.matplotlib.rcParams, key, value)
    assert svg.render(draw, None, "empty") == before
