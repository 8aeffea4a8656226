"""Values that are nested so deeply that a parser's stack ends are refused in one sentence, at every door."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.command_line import evolm, refused
from tests.support.toy_campaign import ToyCampaign

DEEP = "[" * 200_000


@pytest.mark.parametrize(
    ("name", "content", "command", "message"),
    [
        ("prompt.json", f'{{"prompt": {DEEP}', "predict {}/prompt.json {}/toy.csv --out {}/o.csv", "saved by evolm"),
        ("founders.jsonl", f'{{"instruction": {DEEP}', "run {} --dry-run", "founders.jsonl.*expected a JSON object"),
        (
            "campaign.toml",
            f"name = {DEEP}",
            "run {} --dry-run",
            "campaign.toml: expected TOML: .*not nested so deeply",
        ),
        (
            "rows.jsonl",
            f'{{"text": {DEEP}',
            "init {}/rows.jsonl --out {}/new --copy",
            "expected a JSON object in line 1",
        ),
        ("rows.csv", "text,label\na,b\n", f"run {{}} --dry-run --set seed={DEEP[:9_000]}", "seed"),
    ],
)
def test_values_that_are_nested_too_deeply_are_refused(
    toy: Callable[..., ToyCampaign], name: str, content: str, command: str, message: str
) -> None:
    folder = toy().folder
    (folder / name).write_text(content, encoding="utf-8")
    refused(evolm(*command.replace("{}", str(folder)).split()), message)
