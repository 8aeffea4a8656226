"""The page docs/recipes/serve.md: its commands are executed against the server that it starts."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.documents import ROOT, Page
from tests.support.serving import serving

pytestmark = pytest.mark.extras
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

PAGE = Page(ROOT / "docs/recipes/serve.md")
ADDRESS = "http://127.0.0.1:8000"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_server_of_the_page_answers_the_request_of_the_page(finished: Path, tmp_path: Path) -> None:
    command, request = (fence.code for fence in PAGE.fences if fence.language in ("sh", "bash"))
    verb, *arguments = shlex.split(command.removeprefix("evolm "))
    assert (verb, arguments) == ("serve", ["runs/first"])
    shown = json.loads(next(fence.code for fence in PAGE.fences if fence.language == "json"))
    with serving(tmp_path, finished) as running:
        assert ADDRESS in request
        done = subprocess.run(
            ["bash", "-c", request.replace(ADDRESS, running.url)], capture_output=True, encoding="utf-8", check=True
        )
    answer = json.loads(done.stdout)
    assert list(answer) == list(shown)
    for found, example in zip(answer["predictions"], shown["predictions"], strict=True):
        assert {name: type(value) for name, value in found.items()} == {n: type(v) for n, v in example.items()}
        assert found["probabilities"].keys() == example["probabilities"].keys()


def test_the_page_has_the_limits_that_are_the_defaults() -> None:
    from evolm.serving.limits import Limits

    limits = Limits()
    assert f"`--max-rows` ({limits.rows})" in PAGE.text
    assert f"`--max-waiting` ({limits.waiting})" in PAGE.text
    assert limits.body == 2**20 and "(1 MiB)" in PAGE.text
    assert re.search(rf"not sent within {limits.patience:g} seconds", PAGE.text)
