"""OpenAI's chat completions for generation tasks: a user's message is a row, the generated text is the reply.

The instruction, the demonstrations and the decoding are those of the served prompt. Whatever a request says otherwise
is refused, since an answer that ignores it would be another one than the client asked for.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evolm.config import CampaignConfig, GenerationSection
from evolm.errors import RequestError
from evolm.models import Cost
from evolm.serving.answers import RowAnswer
from evolm.serving.bodies import object_of
from evolm.tasks.items import LABEL
from evolm.tasks.kinds import KINDS
from evolm.wording import listed

# Keys that change no answer of this server.
IGNORED = frozenset(
    {"metadata", "prompt_cache_key", "safety_identifier", "seed", "service_tier", "store", "stream_options", "user"}
)
LENGTHS = ("max_tokens", "max_completion_tokens")
DONE = "data: [DONE]\n\n"


@dataclass(frozen=True)
class ChatRequest:
    """A request for one reply.

    Attributes:
        row: column -> cell.
        stream: whether the reply is sent as events.
        usage: whether the last event counts tokens.
    """

    row: dict[str, Any]
    stream: bool
    usage: bool


def read_chat(body: Mapping[str, Any], config: CampaignConfig, name: str) -> ChatRequest:
    """Read a request.

    Args:
        body: its JSON object; numbers are texts.
        config: the campaign of the served prompt.
        name: the served prompt's.

    Raises:
        RequestError: if the task generates no text, or the request asks for what the prompt does not do.
    """
    task = config.task
    if not KINDS[task.kind].open:
        raise RequestError(
            f"expected a task of kind 'generation' behind /v1/chat/completions, found {task.kind!r}; POST /predict "
            "answers its rows",
            404,
        )
    if body.get("model") != name:
        raise RequestError(f"model: expected {name!r}, found {body.get('model')!r}", 404)
    _check_keys(body, config.generation)
    columns = [column for field, column in task.columns.items() if field != LABEL and isinstance(column, str)]
    options = body.get("stream_options")
    usage = isinstance(options, dict) and options.get("include_usage") is True
    return ChatRequest(_row(_content(body.get("messages")), columns), body.get("stream") is True, usage)


def _check_keys(body: Mapping[str, Any], decoding: GenerationSection) -> None:
    """Refuse a key that would change the answer, unless it has the value that the answer is made with."""
    fixed: dict[str, Sequence[Any]] = {
        "temperature": (decoding.temperature,),
        "top_p": (decoding.top_p,),
        "stop": ([], list(decoding.stop_strings)),
        "n": (1,),
        "presence_penalty": (0,),
        "frequency_penalty": (0,),
        "logit_bias": ({},),
        "logprobs": (False,),
        "top_logprobs": (0,),
        "tools": ([],),
        "modalities": (["text"],),
        "response_format": ({"type": "text"},),
        "stream": (False, True),
    }
    for key, value in body.items():
        if value is None or key in IGNORED or key in ("model", "messages"):
            continue
        if key in LENGTHS:
            if not _number(value) >= decoding.max_new_tokens:
                raise _fixed(key, f"at least {decoding.max_new_tokens}", value)
        elif key not in fixed:
            raise RequestError(
                f"{key}: expected a key of plain chat completions, found one that is not known here", 400
            )
        elif not any(_equal(value, each) for each in fixed[key]):
            raise _fixed(key, json.dumps(fixed[key][-1], ensure_ascii=False), value)


def _fixed(key: str, expected: str, value: Any) -> RequestError:
    found = json.dumps(value, ensure_ascii=False)[:80]
    return RequestError(f"{key}: expected {expected} or none, with which the prompt was evolved, found {found}", 400)


def _equal(value: Any, expected: Any) -> bool:
    if isinstance(expected, bool) or not isinstance(expected, int | float):
        return bool(value == expected)
    return _number(value) == expected


def _number(value: Any) -> float:
    """Return a number that was read as text; NaN if it is none."""
    try:
        return float(value) if isinstance(value, str) else float("nan")
    except ValueError:
        return float("nan")


def _content(messages: Any) -> str:
    """Return the text of the only message."""
    known = messages if isinstance(messages, list) else []
    roles = [message.get("role") if isinstance(message, dict) else None for message in known]
    if roles != ["user"]:
        raise RequestError(
            "messages: expected one message of the role 'user', since the served prompt has all others, found "
            f"{listed(roles)}",
            400,
        )
    content = known[0].get("content")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    texts = [part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None for part in parts]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise RequestError("messages: expected a text as the content, found something else", 400)
    return "".join(text for text in texts if isinstance(text, str))


def _row(content: str, columns: Sequence[str]) -> dict[str, Any]:
    """Return the row of a message: its text is the only column, or a JSON object with all columns."""
    if len(columns) == 1:
        return {columns[0]: content}
    try:
        return object_of(content.encode())
    except RequestError as error:
        raise RequestError(
            f"messages: expected a JSON object with the columns {listed(columns)} as the content: {error}", 400
        ) from None


# -- replies ---------------------------------------------------------------------------------------------------


def completion(answer: RowAnswer, name: str) -> dict[str, Any]:
    """Return the reply in one piece."""
    message = {"role": "assistant", "content": answer.record["text"], "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _reason(answer)}
    return {**_head("chat.completion", name), "choices": [choice], "usage": _usage(answer.cost)}


def events(answer: RowAnswer, name: str, usage: bool) -> Iterator[str]:
    """Yield the reply as server-sent events: the text in one piece, since it is complete by then, and its end."""
    head = _head("chat.completion.chunk", name)
    delta = {"role": "assistant", "content": answer.record["text"]}
    for piece, reason in ((delta, None), ({}, _reason(answer))):
        choice = {"index": 0, "delta": piece, "logprobs": None, "finish_reason": reason}
        yield _event({**head, "choices": [choice]})
    if usage:
        yield _event({**head, "choices": [], "usage": _usage(answer.cost)})
    yield DONE


def models(name: str) -> dict[str, Any]:
    """Return the list of models, of which the served prompt is the only one."""
    return {"object": "list", "data": [{"id": name, "object": "model", "created": 0, "owned_by": "evolm"}]}


def _head(kind: str, name: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{secrets.token_hex(12)}", "object": kind, "created": int(time.time()), "model": name}


def _reason(answer: RowAnswer) -> str:
    return "stop" if answer.finished else "length"


def _usage(cost: Cost) -> dict[str, int]:
    read = cost.tokens - cost.generated
    return {"prompt_tokens": read, "completion_tokens": cost.generated, "total_tokens": cost.tokens}


def _event(record: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(record, ensure_ascii=False)}\n\n"
