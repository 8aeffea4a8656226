"""Requests for chat completions: what changes no answer is accepted, the rest is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from evolm.config import CampaignConfig, validate
from evolm.errors import RequestError
from evolm.serving.bodies import object_of
from evolm.serving.chat import ChatRequest, read_chat

MESSAGE = {"role": "user", "content": "a cat"}


def campaign(columns: dict[str, str], kind: str = "generation") -> CampaignConfig:
    tables = {
        "model": {"name": "tiny"},
        "task": {"data": "rows.csv", "kind": kind, "columns": {**columns, "label": "summary"}},
        "generation": {"max_new_tokens": 6, "stop_strings": ["\n"]},
    }
    return validate(CampaignConfig, tables, "campaign.toml")


def read(body: dict[str, Any], columns: dict[str, str] | None = None) -> ChatRequest:
    sent = {"model": "rows", "messages": [MESSAGE], **body}
    return read_chat(object_of(json.dumps(sent).encode()), campaign(columns or {"text": "body"}), "rows")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"temperature": 0, "top_p": 1, "n": 1, "seed": 7, "user": "me"},
        {"temperature": 0.0, "max_tokens": 6, "max_completion_tokens": 4096},
        {"stop": ["\n"], "tools": [], "logprobs": False, "response_format": {"type": "text"}},
        {"stop": None, "stream": None, "tools": None},
    ],
)
def test_what_changes_no_answer_is_accepted(body: dict[str, Any]) -> None:
    assert read(body) == ChatRequest({"body": "a cat"}, stream=False, usage=False)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"temperature": 0.7}, 'temperature: expected 0.0 or none, .* found "0.7"'),
        ({"temperature": True}, "temperature: expected"),
        ({"n": 2}, "n: expected 1 or none"),
        ({"max_tokens": 5}, "max_tokens: expected at least 6 or none"),
        ({"max_tokens": "many"}, "max_tokens: expected at least 6"),
        ({"stop": "a"}, "stop: expected"),
        ({"logprobs": True}, "logprobs: expected false"),
        ({"tools": [{}]}, "tools: expected"),
        ({"stream": "yes"}, "stream: expected true"),
        ({"beams": 4}, "beams: expected a key of plain chat completions"),
        ({"model": None}, "model: expected 'rows', found None"),
        ({"messages": []}, "messages: expected one message of the role 'user'"),
        ({"messages": [{"role": "system", "content": "b"}, MESSAGE]}, "found 'system', 'user'"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "expected a text as the content"),
        ({"messages": [{"role": "user", "content": 3}, 4]}, "found 'user', 'None'"),
        ({"messages": "a cat"}, "messages: expected one message"),
    ],
)
def test_what_the_prompt_does_not_do_is_refused_by_name(body: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        read(body)


def test_a_task_of_several_columns_takes_a_json_object() -> None:
    columns = {"title": "head", "text": "body"}
    row = {"role": "user", "content": json.dumps({"head": "b", "body": "c"})}
    assert read({"messages": [row]}, columns).row == {"head": "b", "body": "c"}
    with pytest.raises(RequestError, match=r"with the columns 'head', 'body' as the content: expected JSON, found"):
        read({}, columns)


def test_a_task_that_generates_no_text_says_where_its_rows_are_answered() -> None:
    with pytest.raises(RequestError, match="found 'classification'; POST /predict answers its rows"):
        read_chat({"model": "rows", "messages": [MESSAGE]}, campaign({"text": "body"}, "classification"), "rows")
