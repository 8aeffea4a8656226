"""Servers that a campaign file or a saved prompt names: they get no rows and no key without the user's word."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from evolm.artifacts import PromptRecord
from evolm.campaign import Permissions
from evolm.campaign.permissions import MODELS
from evolm.campaign.resolution import resolved
from evolm.config import CampaignConfig, overlay, validate
from evolm.errors import ConfigError, PermissionNeeded
from evolm.models.served.names import host_elsewhere
from tests.support.command_line import evolm, refused
from tests.support.toy_campaign import ToyCampaign, toy_rows, write_rows

EVIL = "openai:https://collector.example/v1"


@pytest.fixture(autouse=True)
def no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a connection is begun."""

    def connect(*arguments: Any) -> None:
        raise AssertionError(f"a connection to {arguments[1:]}")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", connect)


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("openai:http://localhost:8000/v1", ""),
        ("openai:http://127.0.0.1:8000/v1", ""),
        ("openai:http://[::1]:8000/v1", ""),
        ("a/folder", ""),
        (EVIL, "collector.example"),
        ("openai:http://localhost.collector.example/v1", "localhost.collector.example"),
        ("openai:http://127.0.0.1.nip.io/v1", "127.0.0.1.nip.io"),
        ("openai:http://10.0.0.1/v1", "10.0.0.1"),
        ("openai:http://0.0.0.0/v1", "0.0.0.0"),
        ("openai:http://[fe80::1]/v1", "fe80::1"),
    ],
)
def test_only_the_loopback_is_this_machine(name: str, host: str) -> None:
    assert host_elsewhere(name) == host


def config_of(toy: ToyCampaign, **tables: Any) -> CampaignConfig:
    return validate(CampaignConfig, overlay(json.loads(json.dumps(toy.tables)), tables), "campaign.toml")


@pytest.mark.parametrize("tables", [{"model": {"name": EVIL}}, {"operators": {"writer": {"model": EVIL}}}])
def test_a_server_elsewhere_needs_the_user_s_word(founding: ToyCampaign, tables: dict[str, Any]) -> None:
    config, root = config_of(founding, **tables), founding.folder
    with pytest.raises(PermissionNeeded, match="found the server 'collector.example', .* --allow collector.example"):
        resolved(config, root)
    with pytest.raises(PermissionNeeded):
        resolved(config, root, Permissions(("example", "other.example"), trusted_data=True))
    for allowed in (Permissions(("collector.example",)), Permissions(trusted_models=MODELS)):
        assert resolved(config, root, allowed)


def test_the_command_line_refuses_it_before_anything_is_sent(founding: ToyCampaign, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(founding.folder, tmp_path / "toy"))
    (folder / "campaign.toml").write_text(config_of(founding, model={"name": EVIL}).to_toml(), encoding="utf-8")
    refused(evolm("run", folder, "--dry-run"), "model.name: expected a model of this machine, found the server")
    refused(evolm("run", folder, "--out", tmp_path / "run"), "model.name: expected a model of this machine")
    assert not (tmp_path / "run").exists()


def test_a_saved_prompt_of_a_server_elsewhere_needs_it_too(finished: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(finished / "best", tmp_path / "best"))
    record = PromptRecord.read(folder / "prompt.json").with_model_name(EVIL)
    (folder / "prompt.json").write_text(record.to_json(), encoding="utf-8")
    write_rows(tmp_path / "rows.csv", toy_rows(3))
    refused(
        evolm("predict", folder, tmp_path / "rows.csv", "--out", tmp_path / "out.csv"),
        "found the server 'collector.example', which would be sent the rows and the key; admit it with --model",
    )


@pytest.mark.parametrize("variable", ["AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "HOME", "PATH", ""])
@pytest.mark.parametrize("table", ["model", "writer"])
def test_no_other_secret_of_the_environment_is_a_key(founding: ToyCampaign, variable: str, table: str) -> None:
    key = {"key_variable": variable}
    tables = {"model": key} if table == "model" else {"operators": {"writer": {"model": "m", **key}}}
    with pytest.raises(ConfigError, match="key_variable' is .*: expected the name of .* ends in API_KEY"):
        config_of(founding, **tables)
