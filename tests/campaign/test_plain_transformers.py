"""The best prompt, scored again with nothing but transformers: one full forward pass per item and label."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.support.saved_prompts import render, task_of
from tests.support.toy_campaign import TEST, ToyCampaign, result_of


def plain_predictions(run: Path, folder: Path, contexts: list[str], bos: bool) -> np.ndarray:
    """Return the index of the likeliest answer of every context, its prior taken away where there is one."""
    record = json.loads((run / "best" / "prompt.json").read_text(encoding="utf-8"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    predictions = []
    for context in contexts:
        scores = []
        for label, answer in record["answers"].items():
            before = tokenizer(context, add_special_tokens=bos).input_ids
            whole = tokenizer(context + answer, add_special_tokens=bos).input_ids
            with torch.inference_mode():
                logprobs = model(torch.tensor([whole])).logits[0].log_softmax(-1)
            terms = [logprobs[i - 1, whole[i]].item() for i in range(len(before), len(whole))]
            score = np.mean(terms) if record["normalization"] == "tokens" else np.sum(terms)
            scores.append(score - (record["prior"] or {}).get(label, 0.0))
        predictions.append(int(np.argmax(scores)))
    return np.array(predictions)


def check(run: Path, folder: Path, context: Callable[[dict[str, str]], str], bos: bool) -> None:
    """Compare with the dev score, and on test with score and confusion matrix."""
    task, result = task_of(run), result_of(run)
    for items, recorded in ((task.dev, result["dev"]["best"]), (task.test, result["test"]["best"])):
        predictions = plain_predictions(run, folder, [context(dict(item.fields)) for item in items], bos)
        assert task.metric_of(predictions, items) == pytest.approx(recorded)
    counts = np.zeros((2, 2), int)
    np.add.at(counts, (task.gold_indices(task.test), predictions), 1)
    assert counts.tolist() == result["test"]["confusion"]
    assert counts.sum() == TEST


def test_plain_transformers_gives_the_recorded_scores(finished: Path, tiny_model_folder: Path) -> None:
    record = json.loads((finished / "best" / "prompt.json").read_text(encoding="utf-8"))
    prompt = (finished / "best" / "prompt.txt").read_text(encoding="utf-8")
    check(finished, tiny_model_folder, lambda fields: render(record, prompt, fields), bos=True)


def test_without_a_system_message_the_exact_prompt_gives_the_recorded_scores(
    toy: Callable[..., ToyCampaign], tiny_model_folder: Path, tmp_path: Path
) -> None:
    out = toy(model__chat_template="on").run(tmp_path / "run").directory
    record = json.loads((out / "best" / "prompt.json").read_text(encoding="utf-8"))
    prompt = (out / "best" / "prompt.txt").read_text(encoding="utf-8")
    assert "system" not in prompt  # the template's own default would have been added
    assert not (out / "best" / "messages.json").exists()  # they would not make this prompt
    check(out, tiny_model_folder, lambda fields: render(record, prompt, fields), bos=False)


def test_messages_json_in_plain_transformers_gives_the_recorded_scores(
    toy: Callable[..., ToyCampaign], tiny_model_folder: Path, tmp_path: Path
) -> None:
    out = toy(model__chat_template="on", template__system="You sort mail.").run(tmp_path / "run").directory
    record = json.loads((out / "best" / "prompt.json").read_text(encoding="utf-8"))
    messages = json.loads((out / "best" / "messages.json").read_text(encoding="utf-8"))
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_folder)

    def context(fields: dict[str, str]) -> str:
        *system, user = messages
        filled = [*system, {"role": "user", "content": render(record, user["content"], fields)}]
        return tokenizer.apply_chat_template(filled, tokenize=False, add_generation_prompt=True)

    task = task_of(out)
    shown = [context(dict(item.fields)) for item in task.dev]
    assert all(("You are a helpful" in text) is False for text in shown), "a default system message was added"
    check(out, tiny_model_folder, context, bos=False)
