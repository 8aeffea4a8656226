"""Checks that the wheel works without the checkout: ``python tests/wheel_alone.py dist``.

The wheel is unpacked by pip into an empty folder, which alone is put before the installed dependencies. There, it
must find every founding population of the checkout, read each, draft a campaign, and run the demo's campaign with a
tiny model.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
from pathlib import Path

POPULATIONS = Path(__file__).parents[1] / "populations"
FOUND = """
import evolm, sys
from pathlib import Path
from evolm.config import FILE_NAME, load
from evolm.founders.populations import shipped_populations
from evolm.testing.tiny_model import write_tiny_model

folder, site, *populations = map(Path, sys.argv[1:])
assert Path(evolm.__file__).is_relative_to(site), evolm.__file__
found = shipped_populations()
assert sorted(found) == sorted(path.parent.name for path in populations), sorted(found)
for name, place in found.items():
    assert place.is_relative_to(site), place
    load(place / FILE_NAME)
write_tiny_model(folder / "tiny")
"""
# The demo with a tiny model, on 60 rows that stand for its data; the founders' prompts are too long for that model.
DEMO = {
    "model.dtype": "float32",
    "task.columns": '{text="text", label="spam"}',
    "task.split": "{train=16, dev=12, validation=12, test=20}",
    "founders": "[]",
    "space.prompt.demonstrations": "[0, 1]",
    "budget.evaluations": "14",
    "evaluation.n_jobs": "1",
}


def run(command: list[str], folder: Path, site: Path) -> str:
    """Run Python in ``folder`` with the wheel's folder before the installed packages; return its output.

    Raises:
        SystemExit: if it fails.
    """
    environment = {**os.environ, "PYTHONPATH": str(site), "EVOLM_CACHE": str(folder / "cache")}
    ended = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, encoding="utf-8", check=False
    )
    if ended.returncode != 0:
        raise SystemExit(f"{' '.join(command[:4])} ended with {ended.returncode}\n{ended.stdout}\n{ended.stderr}")
    return ended.stdout


def check(wheel: Path) -> None:
    """Install a wheel into an empty folder and use it there."""
    with tempfile.TemporaryDirectory() as name:
        folder, site = Path(name) / "work", Path(name) / "site"
        folder.mkdir()
        install = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site), str(wheel)]
        run(install, folder, site)
        run(["-c", FOUND, str(folder), str(site), *map(str, POPULATIONS.glob("*/campaign.toml"))], folder, site)
        with (folder / "messages.csv").open("w", newline="", encoding="utf-8") as stream:
            rows = [(f"{('see you at', 'win a prize')[i % 2]} {i}", i % 2) for i in range(60)]
            csv.writer(stream).writerows([("text", "spam"), *rows])
        places = {"model.name": folder / "tiny", "task.data": folder / "messages.csv"}
        settings = [part for key, value in {**places, **DEMO}.items() for part in ("--set", f"{key}={value}")]
        said = run(["-m", "evolm", "run", "sms-spam", "--out", "demo", *settings], folder, site)
        assert "best of evolution" in said, said
        run(["-m", "evolm", "predict", "demo", "messages.csv", "--out", "labelled.csv"], folder, site)
        run(["-m", "evolm", "init", "messages.csv", "--label", "spam"], folder, site)
        print(f"{wheel.name}: finds its founding populations, runs the demo, predicts and drafts")


if __name__ == "__main__":
    (found,) = Path(sys.argv[1]).glob("evolm-*.whl")
    check(found.resolve())
