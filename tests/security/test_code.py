"""Code that files bring along or name: none of it runs."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evolm.campaign import build
from evolm.errors import ModelError, PermissionNeeded, RunError
from evolm.models import LanguageModel, prepare
from evolm.storage import AnswerStore
from evolm.storage.answers import TABLE
from tests.support.sealed import sealed
from tests.support.toy_campaign import ToyCampaign

MARK = "open({!r}, 'w').write('ran')"


@pytest.fixture
def model(tiny_model_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model with Python beside it, which leaves a mark if it is imported."""
    folder = Path(shutil.copytree(tiny_model_folder, tmp_path / "all" / "model"))
    (tmp_path / "secret").mkdir()
    code = MARK.format(str(tmp_path / "ran")) + "\nfrom transformers import LlamaConfig as Evil, LlamaForCausalLM\n"
    for name in ("modeling_evil", "configuration_evil", "tokenization_evil"):
        (folder / f"{name}.py").write_text(code, encoding="utf-8")
    return folder


def changed(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **values}), encoding="utf-8")


AUTO_MAP = {
    "AutoConfig": "configuration_evil.Evil",
    "AutoModelForCausalLM": "modeling_evil.LlamaForCausalLM",
    "AutoTokenizer": ["tokenization_evil.Evil", "tokenization_evil.Evil"],
}


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("config.json", {"auto_map": AUTO_MAP}),
        ("config.json", {"auto_map": {"AutoModelForCausalLM": "someone/else--modeling_evil.Evil"}}),
        ("config.json", {"auto_map": AUTO_MAP, "model_type": "evil"}),
        ("config.json", {"architectures": ["modeling_evil.Evil"], "trust_remote_code": True}),
        ("tokenizer_config.json", {"auto_map": AUTO_MAP}),
        ("tokenizer_config.json", {"tokenizer_class": "tokenization_evil.Evil", "trust_remote_code": True}),
        ("config.json", {"attn_implementation": "someone/kernel"}),
        ("config.json", {"experts_implementation": "someone/kernel"}),
    ],
)
def test_code_beside_a_model_never_runs(model: Path, tmp_path: Path, file: str, values: dict[str, Any]) -> None:
    changed(model / file, **values)
    with sealed(model.parent, tmp_path / "secret"):
        try:
            loaded = LanguageModel(prepare(str(model), dtype="float32", device="cpu"), "off")
            assert loaded.count_tokens("hello") and loaded.forward is not None
        except ModelError as error:
            assert "\n" not in str(error)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pth", "model.pkl"])
def test_pickled_weights_are_never_read(model: Path, tmp_path: Path, name: str) -> None:
    (model / "model.safetensors").unlink()
    (model / name).write_bytes(b"cbuiltins\nexec\n(V" + MARK.format(str(tmp_path / "ran")).encode() + b"\ntR.")
    with sealed(model.parent, tmp_path / "secret"), pytest.raises(ModelError, match="expected .safetensors files"):
        prepare(str(model), dtype="float32", device="cpu")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "template", ["{{ ''.__class__.__mro__ }}", "{% for a in b %}", "{{ cycler.__init__.__globals__ }}"]
)
def test_a_chat_template_is_no_code(model: Path, tmp_path: Path, template: str) -> None:
    changed(model / "tokenizer_config.json", chat_template=template)
    with sealed(model.parent, tmp_path / "secret"):
        try:
            loaded = LanguageModel(prepare(str(model), dtype="float32", device="cpu"), "on")
            loaded.render_messages([{"role": "user", "content": "hello"}])
        except ModelError as error:
            assert "\n" not in str(error)


TABLES = {
    "scorers": {"os:system": 1.0},
    "strategy": {"name": "subprocess:Popen"},
    "space": {"os:system": {}},
    "operators": {"os:system": 1.0},
    "baselines": {"os:system": True},
}


@pytest.mark.parametrize("table", TABLES)
def test_code_that_a_campaign_names_is_not_even_imported(
    table: str, toy: Callable[..., ToyCampaign], tmp_path: Path
) -> None:
    from evolm.errors import ConfigError

    campaign = toy(**{table: TABLES[table]})
    (tmp_path / "secret").mkdir()
    with (
        sealed(campaign.folder, tmp_path / "secret"),
        pytest.raises((PermissionNeeded, ConfigError), match="os:|sub"),
    ):
        build(campaign.config, campaign.folder).engine.close()


# -- databases -----------------------------------------------------------------------------------------------

TRIGGER = "CREATE TRIGGER t AFTER INSERT ON answers BEGIN SELECT randomblob(1000000000); END"
SCHEMAS = {
    "a trigger": f"CREATE TABLE {TABLE}; {TRIGGER}",
    "a view": "CREATE VIEW answers AS SELECT randomblob(1000000000) AS key, randomblob(1000000000) AS answer",
    "a computed column": "CREATE TABLE answers (key BLOB PRIMARY KEY, answer BLOB AS (zeroblob(1000000000)))",
    "another table": f"CREATE TABLE {TABLE}; CREATE TABLE other (a)",
    "an index of an expression": f"CREATE TABLE {TABLE}; CREATE INDEX i ON answers (hex(answer))",
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_database_with_anything_but_answers_is_refused(name: str, tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "answers.sqlite")
    connection.executescript(SCHEMAS[name])
    connection.close()
    with pytest.raises(RunError, match="expected a cache of answers, found a damaged file .*; delete it"):
        AnswerStore(tmp_path / "answers.sqlite").put({b"a": b"b"})
