"""campaign.toml with any content: a campaign, or one sentence."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from evolm.config import load
from evolm.early import check_early
from evolm.tasks import load_task
from tests.support.mutations import altered, changed, fuzz
from tests.support.sealed import works_or_refuses
from tests.support.tiers import slow
from tests.support.toy_campaign import ToyCampaign

TIERS = (60, slow(200))
WIDE = {
    "name": "wide",
    "model": {"revision": "", "key_variable": "OPENAI_API_KEY"},
    "task": {"labels": {"spam": "spam", "ham": "ham"}, "exclude": "^x", "read": {"encoding": "utf-8"}},
    "template": {"item": "{{ text }}\\nLabel:", "answer": " {{ label }}"},
    "scorers": {"label_likelihood": 1.0},
    "learning": {"loss": "margin", "reward": {"exact_match": 1.0}},
    "operators": {"instruction_swap": 1.0},
    "guard": {"data": "general.txt"},
    "stage": [{"space": ["prompt"], "share": 1.0}],
}


@pytest.fixture(scope="module")
def folder(founding: ToyCampaign, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(shutil.copytree(founding.folder, tmp_path_factory.mktemp("campaigns") / "toy"))
    (folder.parent / "secret").mkdir()
    (folder / "general.txt").write_text("general text", encoding="utf-8")
    return folder


def read(folder: Path) -> None:
    """Read a campaign and its rows, as ``evolm run`` does before it loads a model."""
    config = load(folder / "campaign.toml")
    check_early(config, folder)
    load_task(config.task, config.template, root=folder)


def merged(base: Any, more: Any) -> Any:
    if not isinstance(base, dict) or not isinstance(more, dict):
        return more
    return {**base, **{key: merged(base.get(key), value) for key, value in more.items()}}


@pytest.mark.parametrize("examples", TIERS)
def test_changed_values_are_read_or_refused(folder: Path, founding: ToyCampaign, examples: int) -> None:
    tables = merged(founding.tables, WIDE)

    @fuzz(examples)
    @given(changed(tables))
    def check(values: Any) -> None:
        try:
            text = tomlkit.dumps(values)
        except (ValueError, TypeError, OverflowError):  # null, which TOML has not
            return
        (folder / "campaign.toml").write_text(text, encoding="utf-8", errors="replace")
        works_or_refuses(lambda: read(folder), folder)

    check()


@pytest.mark.parametrize("examples", TIERS)
def test_altered_bytes_are_read_or_refused(folder: Path, founding: ToyCampaign, examples: int) -> None:
    @fuzz(examples)
    @given(altered((founding.folder / "campaign.toml").read_bytes()))
    def check(content: bytes) -> None:
        (folder / "campaign.toml").write_bytes(content)
        works_or_refuses(lambda: read(folder), folder)

    check()


PIECES = st.sampled_from(
    [
        *("{{ text }}", "{{", "}}", "{%", "%}", "{#", "text", "label", "for a in text", "endfor", "if text", "endif"),
        *(
            "|join(text)",
            "|replace('', text)",
            "|center(99999)",
            "|upper",
            "|list",
            "~ text",
            "* 9",
            "** 99",
            "range(9)",
        ),
        *(
            ".__class__",
            "()",
            "[0]",
            "set x =",
            "macro m()",
            "endmacro",
            "m()",
            "recursive",
            "(" * 400,
            "import os",
            "\0",
        ),
        *("9" * 5000, "1e999", "'", '"', "- ", "\n", "include 'x'", "block b", "endblock", "self.b()", "[text] * 99"),
    ]
)


@pytest.mark.parametrize("examples", TIERS)
def test_any_template_is_used_or_refused(folder: Path, founding: ToyCampaign, examples: int) -> None:
    (folder / "campaign.toml").write_bytes((founding.folder / "campaign.toml").read_bytes())

    @fuzz(examples)
    @given(st.lists(PIECES, min_size=1, max_size=12).map(" ".join), st.sampled_from(["item", "answer"]))
    def check(source: str, key: str) -> None:
        def use() -> None:
            config = load(folder / "campaign.toml", {"template": {key: source}})
            load_task(config.task, config.template, root=folder)

        works_or_refuses(use, folder)

    check()


@pytest.mark.parametrize("examples", TIERS)
def test_any_expression_is_searched_or_refused(folder: Path, founding: ToyCampaign, examples: int) -> None:
    (folder / "campaign.toml").write_bytes((founding.folder / "campaign.toml").read_bytes())
    others = [r"\d", r"\p{L}", r"\1", "(?R)", "(?1)", "{1,9999}", "(?P<text>", "(?<=a)", "{e<=9}", "(?:a|a)*"]
    parts = st.sampled_from([*"()[]*+?{}|^$.a\\", *others])

    @fuzz(examples)
    @given(st.lists(parts, min_size=1, max_size=12).map("".join))
    def check(pattern: str) -> None:
        def use() -> None:
            config = load(folder / "campaign.toml", {"task": {"exclude": pattern}})
            load_task(config.task, config.template, root=folder)

        works_or_refuses(use, folder)

    check()
